package sqlite_test

import (
	"database/sql"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/store/storetest"
)

func TestTracesAreFoundByEachColumnThatNamesAUser(t *testing.T) {
	path := migrated(t)
	s := open(t, path)
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path}).String())
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT m.name, c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name != 'schema_migrations'`)
	require.NoError(t, err)
	defer rows.Close()
	values := map[string]string{"TEXT": "'x'", "BLOB": "randomblob(16)", "INTEGER": "0"}
	var columns []storetest.Column
	for rows.Next() {
		var column storetest.Column
		var kind string
		require.NoError(t, rows.Scan(&column.Table, &column.Name, &kind))
		column.Text, column.Value = kind == "TEXT", values[kind]
		columns = append(columns, column)
	}
	require.NoError(t, rows.Err())
	storetest.RunTraces(t, s, columns, 18, func(statement string) { raw(t, path, statement) })
}
