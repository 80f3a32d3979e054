package workflows_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

// request sends a request to delete ann after that time.
func (e *env) requestDeletion(after time.Duration) *result {
	r, update := &result{}, workflows.DeleteUserInput{}.Update()
	e.RegisterDelayedCallback(func() { e.UpdateWorkflow(update.UpdateName, update.UpdateID, r.callback()) }, after)
	return r
}

// deleteAnn runs ann's workflow to its end.
func (e *env) deleteAnn() (result workflows.ErasureResult) {
	e.t.Helper()
	e.ExecuteWorkflow(workflows.DeleteUser, workflows.DeleteUserInput{Username: "ann"})
	require.True(e.t, e.IsWorkflowCompleted())
	require.NoError(e.t, e.GetWorkflowResult(&result))
	return result
}

// traces are the tables that hold anything of ann.
func (e *env) traces() []string {
	traces, err := e.store.Traces(e.t.Context(), "ann")
	require.NoError(e.t, err)
	return traces
}

// signUp creates ann at that time.
func (e *env) signUp(at time.Time) error {
	return e.store.CreateUser(e.t.Context(), twtr.User{Username: "ann", Email: "new@example.com", PasswordHash: "new", CreatedAt: at})
}

// settle gives ann followers, followings and tweets.
func (e *env) settle() {
	for i := range 300 {
		name := fmt.Sprintf("user-%d", i)
		require.NoError(e.t, e.store.Store.PutFollow(e.t.Context(), twtr.Follow{Follower: name, Followee: "ann", At: start}))
		require.NoError(e.t, e.store.Store.PutFollow(e.t.Context(), twtr.Follow{Follower: "ann", Followee: name, At: start}))
	}
	require.NoError(e.t, e.store.Store.PutFollow(e.t.Context(), twtr.Follow{Follower: "ann", Followee: "bob", At: start}))
	count := twtr.FollowerCount{Username: "bob", Bucket: twtr.FollowerBucket("ann"), Count: 1, Version: 1}
	require.NoError(e.t, e.store.PutFollowerCount(e.t.Context(), count))
	count = twtr.FollowerCount{Username: "ann", Bucket: 3, Count: 300, Version: 1}
	require.NoError(e.t, e.store.PutFollowerCount(e.t.Context(), count))
	for i := range 3 {
		tweet := e.tweet(start.Add(time.Duration(i)*time.Minute), "user-1", "user-2")
		receipt := twtr.Receipt{TweetID: tweet.ID, Username: "ann", State: twtr.DeliveryComplete, Delivered: 300, CompletedAt: start}
		require.NoError(e.t, e.store.PutReceipt(e.t.Context(), receipt))
	}
	e.login(3)
}

func TestADeletedUserIsGoneAtOnceAndThenLeavesNothing(t *testing.T) {
	e := newEnv(t)
	e.settle()
	e.histories.running, e.histories.ended = 3, int64(3)
	deleted, again := e.requestDeletion(0), e.requestDeletion(time.Second)
	var late []uuid.UUID
	e.RegisterDelayedCallback(func() {
		e.requireDone(deleted)
		_, err := e.store.User(t.Context(), "ann")
		require.Equal(t, twtr.NotFound, twtr.ErrorCode(err))
		require.Empty(t, e.sessions())
		require.Len(t, e.feedOf("user-1"), 3, "deliveries may still be running")
		late = e.login(1) // that was accepted before
	}, 2*time.Second)
	require.Equal(t, workflows.ErasureResult{Followings: 301, Tweets: 3, Histories: 3, Feeds: 300}, e.deleteAnn())
	e.requireDone(again)
	require.Zero(t, e.histories.running, "the erasure waited for deliveries")
	ended, err := e.store.EndedSessions(t.Context(), time.Now().Add(-time.Minute))
	require.NoError(t, err)
	require.Subset(t, ended, late, "its access tokens are refused")
	require.Empty(t, e.traces())
	require.Empty(t, e.sessions())
	require.Empty(t, e.feedOf("user-1"))
	counts, err := e.store.FollowerCounts(t.Context(), "bob")
	require.NoError(t, err)
	require.Equal(t, []twtr.FollowerCount{{Username: "bob", Bucket: twtr.FollowerBucket("ann"), Version: 2}}, counts)
	require.Equal(t, twtr.Conflict, twtr.ErrorCode(e.signUp(time.Now().Add(nameHold-time.Minute))))
	require.NoError(t, e.signUp(time.Now().Add(nameHold+time.Second)))
}

func (e *env) feedOf(reader string) []twtr.Tweet {
	items, err := e.store.Feed(e.t.Context(), reader, twtr.Window{}, 1000)
	require.NoError(e.t, err)
	return items
}

func TestAnErasureTakesAsLongAsTheStoreIsUnavailable(t *testing.T) {
	e := newEnv(t)
	e.settle()
	var mu sync.Mutex
	failed := map[string]int{}
	e.store.before = func(method string, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if failed[method] < 8 {
			failed[method]++
			return twtr.Errorf(twtr.Unavailable, "the store is unavailable")
		}
		return nil
	}
	deleted := e.requestDeletion(0)
	e.deleteAnn()
	e.requireDone(deleted)
	require.Equal(t, map[string]int{"RetireUser": 8, "EndSession": 8, "EraseTweets": 8, "EraseFromFeed": 8, "EraseFollow": 8, "EraseUser": 8,
		"CountFollowers": 8}, failed)
	require.Empty(t, e.traces())
}

func TestFeedsAreCleanedWhenNoBackfillHasTweetsThatWereErased(t *testing.T) {
	e := newEnv(t)
	e.settle()
	var mu sync.Mutex
	at := map[string]time.Time{} // the first call of a method
	e.store.before = func(method string, calls int) error {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := at[method]; !ok {
			at[method] = e.Now()
		}
		return nil
	}
	e.deleteAnn()
	require.Greater(t, at["EraseFromFeed"].Sub(at["EraseTweets"]), 3*time.Second)
}

func TestAnErasureStartsOverAsLongAsSomethingIsWrittenLate(t *testing.T) {
	e := newEnv(t)
	e.settle()
	var late twtr.Tweet
	e.store.before = func(method string, calls int) error {
		if method == "EraseUser" && calls < 2 { // it comes right after that
			require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "user-7", Followee: "ann", At: start}))
			late = e.tweet(start.Add(time.Duration(calls)*time.Hour), "user-7")
		}
		return nil
	}
	e.deleteAnn()
	require.NotZero(t, late)
	require.Empty(t, e.traces())
	require.Empty(t, e.feedOf("user-7"))
}

func TestAnErasureThatFindsSomethingEachTimeFailsAndTheNameStaysTaken(t *testing.T) {
	e := newEnv(t)
	var users *activities.Users
	e.OnActivity(users.Remains, mock.Anything, mock.Anything).Return(true, nil)
	e.ExecuteWorkflow(workflows.DeleteUser, workflows.DeleteUserInput{Username: "ann"})
	require.ErrorContains(t, e.GetWorkflowError(), "something of ann was found after each of 10 erasures")
	require.Equal(t, twtr.Conflict, twtr.ErrorCode(e.signUp(time.Now().Add(10*nameHold))))
}

func TestARequestAfterTheNameIsReleasedIsOfALaterUser(t *testing.T) {
	e := newEnv(t)
	var users *activities.Users
	second, update := &result{}, workflows.DeleteUserInput{}.Update()
	released := 0
	e.OnActivity(users.ReleaseUsername, mock.Anything, mock.Anything).Return(func(ctx context.Context, username string) error {
		if released++; released == 1 {
			require.NoError(t, e.store.ReleaseUsername(ctx, username, start))
			require.NoError(t, e.signUp(start.Add(time.Hour)))
			e.UpdateWorkflow(update.UpdateName, update.UpdateID, second.callback())
		}
		return nil
	})
	e.deleteAnn()
	require.Equal(t, 2, released)
	e.requireDone(second)
	_, err := e.store.User(t.Context(), "ann")
	require.Equal(t, twtr.NotFound, twtr.ErrorCode(err))
}

func TestAnErasureOfManyTakesFewSteps(t *testing.T) {
	e := newEnv(t)
	var tweets *activities.Tweets
	var feeds *activities.Feeds
	const many = 100_000_000
	steps := 0
	e.OnActivity(tweets.EraseTweets, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.EraseTweetsInput) (activities.ErasedTweets, error) {
			steps++
			done := min(in.From.Done+in.Budget, many)
			return activities.ErasedTweets{Last: uuid.Max, Done: done, Complete: done == many}, nil
		})
	e.OnActivity(feeds.EraseFeeds, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.EraseFeedsInput) (twtr.Progress, error) {
			steps++
			p := twtr.Progress{Left: in.From.Left, Done: min(in.From.Done+in.Budget, many)}
			if p.Done == many {
				p.Left = nil
			}
			return p, nil
		})
	require.Equal(t, workflows.ErasureResult{Tweets: many, Feeds: many}, e.deleteAnn())
	require.Less(t, steps, 100)
}

// A follow is written to two partitions of Cassandra. Here its first attempt writes one of them and fails, and before the second one
// a user is retired.
func TestAFollowThatWasHalfWrittenWhenAUserIsRetiredLeavesNothing(t *testing.T) {
	for _, retired := range []string{"ann", "bob"} {
		for _, lost := range []string{
			"DELETE FROM followers WHERE username='ann' AND follower='bob'",
			"DELETE FROM followings WHERE username='bob' AND followee='ann'",
		} {
			t.Run(retired+" "+lost, func(t *testing.T) {
				e := newEnv(t)
				e.store.before = func(method string, calls int) error {
					if method != "PutFollow" || calls > 0 {
						return nil
					}
					return twtr.Errorf(twtr.Unavailable, "the store is unavailable")
				}
				e.store.after = func() {
					e.tweet(start, "bob") // a delivery meets the edge
					db, err := sql.Open("sqlite", e.path)
					require.NoError(t, err)
					defer db.Close()
					_, err = db.ExecContext(t.Context(), lost)
					require.NoError(t, err)
					require.NoError(t, e.store.RetireUser(t.Context(), retired))
				}
				r := e.request(0, false)
				_ = e.follow(workflows.FollowInput{Follower: "bob", Followee: "ann"})
				require.ErrorContains(t, r.err, "there is no user "+retired)
				e.next()
				e.ExecuteWorkflow(workflows.DeleteUser, workflows.DeleteUserInput{Username: retired})
				require.NoError(t, e.GetWorkflowError())
				if retired == "ann" {
					require.Empty(t, e.feed())
				}
				db, err := sql.Open("sqlite", e.path)
				require.NoError(t, err)
				defer db.Close()
				for _, table := range []string{"followers", "followings"} {
					var n int
					require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table+" WHERE NOT removed").Scan(&n))
					require.Zero(t, n, table)
				}
			})
		}
	}
}

func TestAFeedThatCannotBeCleanedFailsTheErasureAndTheNextOneCleansIt(t *testing.T) {
	e := newEnv(t)
	e.settle()
	e.store.refuse = "user-2"
	e.ExecuteWorkflow(workflows.DeleteUser, workflows.DeleteUserInput{Username: "ann"})
	require.ErrorContains(t, e.GetWorkflowError(), "the store refuses to clean 1 feeds; the first are those of user-2")
	require.Empty(t, e.feedOf("user-1"), "all others are clean")
	require.Equal(t, twtr.Conflict, twtr.ErrorCode(e.signUp(time.Now().Add(nameHold+time.Second))), "the name stays taken")
	e.next()
	e.store.refuse = ""
	e.deleteAnn()
	require.Empty(t, e.traces())
}
