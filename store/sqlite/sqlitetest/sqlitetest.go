// Package sqlitetest opens stores for the tests of other packages.
package sqlitetest

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/store/sqlite"
)

// Open returns an empty store in a file of its own. It is closed and removed when the test ends.
func Open(t testing.TB) *sqlite.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "twtr.db")
	require.NoError(t, sqlite.Migrate(t.Context(), path))
	s, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}
