package cmd_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	domain "github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/store/sqlite"
)

func TestGenerateWritesTheSameEachTimeAndResumesWhereItStopped(t *testing.T) {
	t.Chdir(t.TempDir())
	generate := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := twtr(t, append([]string{"generate"}, args...)...)
		require.Equal(t, 0, code, stderr)
		require.Empty(t, stderr, "no progress bar without a terminal")
		return stdout
	}
	code, _, stderr := twtr(t, "migrate")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, generate("--users", "300"), "users: 300, of which 0 existed")
	out := generate("--users", "400", "--follows", "10", "--tweets", "500")
	require.Contains(t, out, "users: 400, of which 172 existed", "those that may have been in flight are written again")
	require.Contains(t, out, "tweets: 500, of which 0 existed")
	require.Regexp(t, `(?m)^follows: [123]\d{3}, of which 0 existed`, out, "rows, not users")
	require.Contains(t, generate("--followers", "200", "--of", "G1-7"), "followers of g1-7: 200, of which")

	s, err := sqlite.Open(t.Context(), ".twtr/twtr.db")
	require.NoError(t, err)
	defer s.Close()
	look := func() (seen string) {
		var all []any
		for i := range 400 {
			name := fmt.Sprintf("g1-%d", i)
			user, err := s.User(t.Context(), name)
			require.NoError(t, err)
			followings, err := s.Followings(t.Context(), name, "", 100)
			require.NoError(t, err)
			tweets, err := s.TweetsByUser(t.Context(), name, domain.Window{}, 100)
			require.NoError(t, err)
			require.NotEmpty(t, tweets)
			all = append(all, user.DisplayName, followings, tweets)
		}
		return fmt.Sprint(all...)
	}
	before := look()
	require.Contains(t, generate("--users", "400", "--follows", "10", "--tweets", "500"), "tweets: 500, of which 500 existed")
	require.Equal(t, before, look())

	followers := func(name string) (n int) {
		counts, err := s.FollowerCounts(t.Context(), name)
		require.NoError(t, err)
		for _, c := range counts {
			n += c.Count
			counted, err := s.CountFollowers(t.Context(), name, c.Bucket)
			require.NoError(t, err)
			require.Equal(t, c.Count, counted)
		}
		return n
	}
	require.GreaterOrEqual(t, followers("g1-7"), 199)
	again := followers("g1-7")
	generate("--followers", "300", "--of", "g1-7")
	require.Greater(t, followers("g1-7"), again, "a count that exists is replaced")
	require.Greater(t, followers("g1-0"), 10*followers("g1-200")+10, "few are followed by many")
	_, err = s.Follow(t.Context(), "g1-0", "g1-0")
	require.Equal(t, domain.NotFound, domain.ErrorCode(err))
}

func TestGenerateSaysWhatIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	for want, args := range map[string]string{
		"set --users, or --followers and --of USER": "",
		"--followers and --of must be set together": "--followers 1",
		"--follows must be from 0 to 5000":          "--users 1 --follows 5001",
		"--skew must be above 1":                    "--users 1 --skew 1",
		"the name of the last user must":            "--users 1000000 --seed 123456789012",
		"--follows and --tweets need --users":       "--tweets 1 --followers 1 --of ann",
	} {
		code, _, stderr := twtr(t, append([]string{"generate"}, strings.Fields(args)...)...)
		require.Equal(t, 2, code, stderr)
		require.Contains(t, stderr, want)
	}
}
