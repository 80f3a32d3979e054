package cmd_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWaitSaysInOneLineWhatItWaitedForInVain(t *testing.T) {
	t.Chdir(t.TempDir())
	nobody := []string{"wait", "--timeout", "1500ms", "--cassandra-hosts", "127.0.0.1:1"}
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	for _, step := range []struct{ what, why, engine string }{
		{"the store", "cassandra does not answer at 127.0.0.1:1", "cassandra"},
		{"the schema", "there is no store at .twtr/twtr.db: run `twtr migrate`\n", "sqlite"},
	} {
		code, stdout, stderr := twtr(t, append(nobody, "--store", step.engine)...)
		require.Equal(t, 1, code)
		requireLine(t, stdout, "waiting for "+step.what+": "+step.why)
		requireLine(t, stderr, "twtr: waited for "+step.what+" in vain: "+step.why)
	}
	code, _, stderr := twtr(t, "migrate")
	require.Equal(t, 0, code, stderr)
	code, stdout, stderr := twtr(t, nobody...)
	require.Equal(t, 1, code)
	requireLine(t, stdout, "waiting for Temporal: no Temporal answers at 127.0.0.1:1 (TEMPORAL_ADDRESS)")
	requireLine(t, stderr, "twtr: waited for Temporal in vain: no Temporal answers at 127.0.0.1:1 (TEMPORAL_ADDRESS)")
}

// requireLine wants one line, which begins so.
func requireLine(t *testing.T, text, begin string) {
	t.Helper()
	require.True(t, strings.HasPrefix(text, begin), text)
	require.Equal(t, strings.Index(text, "\n"), len(text)-1, text)
}

func TestWaitRefusesAWrongSettingAtOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TEMPORAL_PROFILE", "none")
	for want, args := range map[string][]string{
		"twtr: store must be sqlite or cassandra, not \"mysql\"\n": {"wait", "--store", "mysql"},
		"twtr: invalid argument \"soon\" for \"--timeout\" flag: ": {"wait", "--timeout", "soon"},
		"twtr: the TEMPORAL_* settings: ":                          {"wait"},
	} {
		code, _, stderr := twtr(t, args...)
		requireLine(t, stderr, want)
		require.Equal(t, 2, code)
	}
}
