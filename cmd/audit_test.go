package cmd_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	domain "github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/store/sqlite"
)

func TestAuditUserPrintsTheTablesThatHoldAnythingOfAUser(t *testing.T) {
	t.Chdir(t.TempDir())
	code, _, stderr := twtr(t, "migrate")
	require.Equal(t, 0, code, stderr)
	s, err := sqlite.Open(t.Context(), ".twtr/twtr.db")
	require.NoError(t, err)
	defer s.Close()
	ctx, follow := t.Context(), domain.Follow{Follower: "ann", Followee: "bob", At: time.Now()}
	require.NoError(t, s.CreateUser(ctx, domain.User{Username: "ann", PasswordHash: "hash", CreatedAt: time.Now()}))
	require.NoError(t, s.PutFollow(ctx, follow))
	require.NoError(t, s.PutReceipt(ctx, domain.Receipt{TweetID: uuid.New(), Username: "bob", State: domain.DeliveryComplete}))

	requireAudit := func(code int, stdout, stderr string, args ...string) {
		t.Helper()
		gotCode, gotOut, gotErr := twtr(t, append([]string{"audit-user"}, args...)...)
		require.Equal(t, []any{code, stdout, stderr}, []any{gotCode, gotOut, gotErr})
	}
	requireAudit(3, "follow_changes\nfollowers\nfollowings\nusers\n", "twtr: the store holds something of user ann\n", "Ann")
	requireAudit(3, "deliveries\nfollow_changes\nfollowers\nfollowings\n", "twtr: the store holds something of user bob\n", "bob")
	requireAudit(0, "", "", "eve")
	requireAudit(2, "", "twtr: accepts 1 arg(s), received 0; usage: twtr audit-user USER [flags]\n")
	require.NoError(t, s.EraseFollow(ctx, follow.Follower, follow.Followee))
	require.NoError(t, s.RetireUser(ctx, "ann"))
	requireAudit(0, "", "", "ann")
	requireAudit(1, "", "twtr: there is no store at .twtr/none.db: run `twtr migrate`\n", "ann", "--sqlite-path", ".twtr/none.db")
}
