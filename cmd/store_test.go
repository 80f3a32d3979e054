package cmd_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

func TestMigrateWaitsForAStoreThatIsUnavailable(t *testing.T) {
	t.Chdir(t.TempDir())
	code, stdout, stderr := twtr(t, "migrate", "--timeout", "1500ms", "--store", "cassandra", "--cassandra-hosts", "127.0.0.1:1")
	require.Equal(t, 1, code)
	requireLine(t, stdout, "waiting for the store: ")
	require.Contains(t, stdout, "127.0.0.1:1")
	requireLine(t, stderr, "twtr: gave up after 1.5s: ")
	require.Contains(t, stderr, "127.0.0.1:1")
	code, stdout, stderr = twtr(t, "migrate", "--timeout", "1s") // there is no schema, but a store
	require.Equal(t, 0, code, stderr)
	require.Equal(t, "the schema of store sqlite is up to date\n", stdout)
}

func TestMigrateLeavesANewerSchemaAsItIs(t *testing.T) {
	t.Chdir(t.TempDir())
	code, _, stderr := twtr(t, "migrate", "--sqlite-path", "twtr.db")
	require.Equal(t, 0, code, stderr)
	db, err := sql.Open("sqlite", "twtr.db")
	require.NoError(t, err)
	defer db.Close()
	for dirty, want := range map[bool]string{false: "", true: "twtr: the schema is in the middle of the migration to version 99: run `twtr migrate`\n"} {
		_, err = db.ExecContext(t.Context(), "UPDATE schema_migrations SET version = 99, dirty = ?", dirty)
		require.NoError(t, err)
		_, _, stderr = twtr(t, "migrate", "--sqlite-path", "twtr.db") // as an earlier version does after a rollback
		require.Equal(t, want, stderr)
	}
}
