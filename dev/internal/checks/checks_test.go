package checks

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheFirstCheckThatFailsIsTheLastThatRuns(t *testing.T) {
	var out bytes.Buffer
	r := Runner{Out: &out}
	r.Explain = func() { out.WriteString("why\n") }
	wrong := errors.New("wrong")
	err := r.Run(t.Context(), "^a", []Check{
		{"a1", func(context.Context) error { r.Say("%d things", 2); return nil }},
		{"b", func(context.Context) error { t.Error("it does not match"); return nil }},
		{"a2", func(context.Context) error { return NotRun("nothing to look at") }},
		{"a3", func(context.Context) error { return wrong }},
		{"a4", func(context.Context) error { t.Error("the one before failed"); return nil }},
	})
	require.ErrorIs(t, err, wrong)
	require.Equal(t, "ok           0 s  a1; 2 things\nNOT RUN      0 s  a2: nothing to look at\nFAILED       0 s  a3\nwhy\n", out.String())
}
