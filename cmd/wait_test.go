package cmd_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWaitSaysInOneLineWhatItWaitsForAndWhyItGaveUp(t *testing.T) {
	t.Chdir(t.TempDir())
	args := []string{"wait", "--timeout", "1500ms", "--cassandra-hosts", "127.0.0.1:1"}
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	requireWait := func(what, why, engine string) {
		t.Helper()
		code, stdout, stderr := twtr(t, append(args, "--store", engine)...)
		require.Equal(t, 1, code)
		requireLine(t, stdout, "waiting for "+what+": ")
		requireLine(t, stderr, "twtr: gave up after 1.5s: ")
		require.Contains(t, stdout, why)
		require.Contains(t, stderr, why)
	}
	requireWait("the store", "127.0.0.1:1", "cassandra")
	requireWait("the schema", ".twtr/twtr.db: run `twtr migrate`\n", "sqlite")
	code, _, stderr := twtr(t, "migrate")
	require.Equal(t, 0, code, stderr)
	requireWait("Temporal", "no response from Temporal at 127.0.0.1:1 (TEMPORAL_ADDRESS): ", "sqlite")
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
