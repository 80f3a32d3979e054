//go:build linux

package main

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// testFaults are three, two of them of one part.
func testFaults() (all []fault) {
	for _, f := range []struct{ name, part string }{{"a", "one"}, {"b", "one"}, {"c", "two"}} {
		all = append(all, fault{name: f.name, part: f.part, atLeast: time.Second, atMost: 5 * time.Second,
			strike: func(context.Context, *rand.Rand) (func(context.Context) error, error) { return nil, nil }})
	}
	return all
}

func TestTheSeedDecidesWhichFaultsStrikeAndWhen(t *testing.T) {
	run := func(seed uint64) (all []struck) {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			s := &striker{all: testFaults(), random: rand.New(rand.NewPCG(seed, 0)), now: func() time.Duration { return time.Since(began) }}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			require.NoError(t, s.run(ctx))
			all = s.struck
		})
		return all
	}
	first := run(1)
	require.Equal(t, first, run(1))
	require.NotEqual(t, first, run(2))
	kinds := map[string]int{}
	for i, f := range first {
		kinds[f.name]++
		if i > 0 && f.began == first[i-1].began { // two at once are of different parts
			require.Contains(t, []string{f.name, first[i-1].name}, "c")
		}
	}
	require.Len(t, kinds, 3)
	require.InDelta(t, kinds["a"], kinds["b"], 2) // each strikes before one strikes again
}
