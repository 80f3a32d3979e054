package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

// Column is a column of an engine's schema.
type Column struct {
	Table, Name string
	Text        bool
	Value       string // that any row may have, as a literal
}

var (
	// userColumns are the columns that name users.
	userColumns = []string{"username", "author", "follower", "followee"}
	// textColumns are the columns of text that name no user.
	textColumns = []string{"email", "display_name", "password_hash", "client", "source", "key", "body", "state", "requests"}
)

// RunTraces asserts that Traces finds a row by each of the schema's columns that name a user, which are so many. The last argument
// runs a statement.
func RunTraces(t *testing.T, s twtr.Store, columns []Column, many int, run func(statement string)) {
	tables := map[string]map[string]string{} // and their columns with a value for each
	for _, c := range columns {
		if tables[c.Table] == nil {
			tables[c.Table] = map[string]string{}
		}
		tables[c.Table][c.Name] = c.Value
		require.False(t, c.Text && !slices.Contains(userColumns, c.Name) && !slices.Contains(textColumns, c.Name),
			"does column %s of %s name a user?", c.Name, c.Table)
	}
	found := 0
	for table, columns := range tables {
		for _, named := range userColumns {
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
			run(fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(into, ", "), strings.Join(what, ", ")))
			require.Equal(t, []string{table}, tracesOf(t, s, username), named)
		}
	}
	require.Equal(t, many, found)
}
