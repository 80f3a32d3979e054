package sqlite_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// names are the columns that name users.
var names = []string{"username", "author", "follower", "followee"}

// texts are the columns of text that name no user.
var texts = []string{"email", "display_name", "password_hash", "client", "source", "key", "body", "state"}

func TestTracesAreFoundByEachColumnThatNamesAUser(t *testing.T) {
	path := migrated(t)
	s := open(t, path)
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path}).String())
	require.NoError(t, err)
	defer db.Close()
	tables := map[string]map[string]string{} // and their columns with a value for each
	rows, err := db.QueryContext(t.Context(), `SELECT m.name, c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name != 'schema_migrations'`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var table, column, kind string
		require.NoError(t, rows.Scan(&table, &column, &kind))
		if tables[table] == nil {
			tables[table] = map[string]string{}
		}
		tables[table][column] = map[string]string{"TEXT": "'x'", "BLOB": "randomblob(16)", "INTEGER": "0"}[kind]
		require.False(t, kind == "TEXT" && !slices.Contains(names, column) && !slices.Contains(texts, column),
			"does column %s of %s name a user?", column, table)
	}
	require.NoError(t, rows.Err())
	found := 0
	for table, columns := range tables {
		for _, named := range names {
			if columns[named] == "" {
				continue
			}
			found++
			username := fmt.Sprintf("user%d", found)
			var into, what []string
			for column, value := range columns {
				if column == named {
					value = "'" + username + "'"
				}
				into, what = append(into, column), append(what, value)
			}
			raw(t, path, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(into, ", "), strings.Join(what, ", ")))
			got, err := s.Traces(t.Context(), username)
			require.NoError(t, err)
			require.Equal(t, []string{table}, got, named)
		}
	}
	require.Equal(t, 15, found)
}
