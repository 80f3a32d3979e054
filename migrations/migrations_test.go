package migrations

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// allowed matches statements that are idempotent and lose no data.
var allowed = regexp.MustCompile(`^(CREATE (TABLE|INDEX) IF NOT EXISTS|ALTER TABLE \S+ ADD IF NOT EXISTS) `)

func TestMigrationsCanBeRunAgainAndDropNothing(t *testing.T) {
	for _, engine := range []string{"cassandra", "sqlite"} {
		files, err := fs.Glob(files, engine+"/*")
		require.NoError(t, err)
		require.Len(t, files, Latest(engine))
		for i, file := range files {
			require.Regexp(t, fmt.Sprintf(`^%04d_[a-z_]+\.up\.(cql|sql)$`, i+1), path.Base(file), "numbered without a gap")
			// golang-migrate splits CQL at every semicolon, even in a comment.
			require.NotRegexp(t, `(?m)--.*;`, text(t, file))
			for statement := range strings.SplitSeq(withoutComments(text(t, file)), ";") {
				if statement = strings.TrimSpace(statement); statement != "" {
					require.Regexp(t, allowed, statement, file)
				}
			}
		}
	}
}

func TestAStoreOfAnEarlierTwtrIsRecognised(t *testing.T) {
	require.True(t, OfThisSchema(nil), "an empty store")
	require.True(t, OfThisSchema([]string{"id", "username", "body"}))
	require.False(t, OfThisSchema([]string{"id", "username", "content"}))
}

func text(t *testing.T, file string) string {
	content, err := files.ReadFile(file)
	require.NoError(t, err)
	return string(content)
}

func withoutComments(text string) string {
	return regexp.MustCompile(`(?m)--.*$`).ReplaceAllString(text, "")
}

func TestCheckSaysWhatToDoAboutAnOldSchema(t *testing.T) {
	require.NoError(t, Check("sqlite", Latest("sqlite"), false))
	require.NoError(t, Check("sqlite", Latest("sqlite")+1, false), "a newer program's, which only added to it")
	require.ErrorContains(t, Check("sqlite", 0, false), "run `twtr migrate`")
	require.ErrorContains(t, Check("sqlite", 1, true), "run `twtr migrate`")
}
