package cmd_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMigrateWaitsForAStoreThatDoesNotAnswerYet(t *testing.T) {
	t.Chdir(t.TempDir())
	code, stdout, stderr := twtr(t, "migrate", "--timeout", "1500ms", "--store", "cassandra", "--cassandra-hosts", "127.0.0.1:1")
	require.Equal(t, 1, code)
	requireLine(t, stdout, "waiting for the store: cassandra does not answer at 127.0.0.1:1")
	requireLine(t, stderr, "twtr: waited for the store in vain: cassandra does not answer at 127.0.0.1:1")
	code, stdout, stderr = twtr(t, "migrate", "--timeout", "1s") // there is no schema, but a store
	require.Equal(t, 0, code, stderr)
	require.Equal(t, "the schema of store sqlite is up to date\n", stdout)
}
