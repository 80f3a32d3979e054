package activities_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/store/sqlite/sqlitetest"
)

func newStore(t *testing.T) twtr.Store { return sqlitetest.Open(t) }

// signUp creates users.
func signUp(t *testing.T, s twtr.Store, names ...string) {
	for _, name := range names {
		require.NoError(t, s.CreateUser(t.Context(), twtr.User{Username: name, PasswordHash: "first", CreatedAt: time.Now()}))
	}
}

// follow lets n readers follow ann.
func follow(t *testing.T, s twtr.Store, n int) (readers []string) {
	for i := range n {
		f := twtr.Follow{Follower: fmt.Sprintf("reader-%d", i), Followee: "ann", At: time.Now()}
		require.NoError(t, s.PutFollow(t.Context(), f))
		readers = append(readers, f.Follower)
	}
	return readers
}

func requireDelivered(t *testing.T, s twtr.Store, tweet twtr.Tweet, readers []string) {
	t.Helper()
	for _, reader := range readers {
		items, err := s.Feed(t.Context(), reader, twtr.Window{}, 10)
		require.NoError(t, err)
		require.Equal(t, []twtr.Tweet{tweet}, items, reader)
	}
}

func feeds(s twtr.Store) *activities.Feeds {
	return activities.NewFeeds(s, activities.FeedsConfig{MaxItems: 1000})
}

// run executes an activity as a worker does.
func run[In, Out any](a any, activity func(context.Context, In) (Out, error), in In, heartbeat any) (out Out, err error) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(a)
	if heartbeat != nil {
		env.SetHeartbeatDetails(heartbeat)
	}
	result, err := env.ExecuteActivity(activity, in)
	if err == nil {
		err = result.Get(&out)
	}
	return out, err
}

func deliver(a *activities.Feeds, tweet twtr.Tweet, from twtr.Progress, budget int64) (activities.DeliverResult, error) {
	return run(a, a.Deliver, activities.DeliverInput{TweetID: tweet.ID, Author: "ann", From: from, Budget: budget}, nil)
}

func delivered(n int64) activities.DeliverResult {
	return activities.DeliverResult{Progress: twtr.Progress{Done: n}}
}

// newTweet is a tweet of ann's that is stored.
func newTweet(t *testing.T, s twtr.Store) twtr.Tweet {
	tweet := tweetAt(t, time.Now())
	require.NoError(t, s.PutTweet(t.Context(), tweet))
	return tweet
}

// tweetAt is a tweet of ann's whose API server's clock says that time.
func tweetAt(t *testing.T, at time.Time) twtr.Tweet {
	id, err := twtr.NewTweetID(at)
	require.NoError(t, err)
	tweet, err := twtr.NewTweet(id, "ann", twtr.Post{Content: "hello"})
	require.NoError(t, err)
	return tweet
}

func TestDeliverReachesEveryFollowerInOneStep(t *testing.T) {
	s := newStore(t)
	readers, tweet := follow(t, s, 1200), newTweet(t, s)
	d, err := deliver(feeds(s), tweet, twtr.NewProgress(), 5000)
	require.NoError(t, err)
	require.Equal(t, delivered(1200), d)
	requireDelivered(t, s, tweet, readers)
	empty := newStore(t)
	require.NoError(t, empty.PutTweet(t.Context(), tweet))
	none, err := deliver(feeds(empty), tweet, twtr.NewProgress(), 5000)
	require.NoError(t, err)
	require.Equal(t, delivered(0), none, "nobody follows")
}

// hot are the names of followers in one bucket, so many that it has several pages.
func hot(t *testing.T, s twtr.Store, n int) (readers []string) {
	for i := 0; len(readers) < n; i++ {
		name := fmt.Sprintf("r%d", i)
		if twtr.FollowerBucket(name) == 3 {
			require.NoError(t, s.PutFollow(t.Context(), twtr.Follow{Follower: name, Followee: "ann", At: time.Now()}))
			readers = append(readers, name)
		}
	}
	slices.Sort(readers)
	return readers
}

// oneBucket is a walk over bucket 3 that has come to the follower.
func oneBucket(after string) twtr.Progress {
	return twtr.Progress{Left: []twtr.BucketCursor{{Bucket: 3, After: after}}}
}

func TestDeliverStopsAfterItsBudgetAndContinuesFromWhatItLeft(t *testing.T) {
	s := newStore(t)
	readers, tweet := hot(t, s, 1700), newTweet(t, s)
	d, err := deliver(feeds(s), tweet, oneBucket(""), 1000)
	require.NoError(t, err)
	left := oneBucket(readers[999])
	left.Done = 1000
	require.Equal(t, activities.DeliverResult{Progress: left}, d)
	requireDelivered(t, s, tweet, readers[:1000])
	rest, err := deliver(feeds(s), tweet, oneBucket(readers[999]), 0)
	require.NoError(t, err)
	require.Equal(t, delivered(700), rest)
	requireDelivered(t, s, tweet, readers)
}

func TestARetryResumesFromTheLastHeartbeat(t *testing.T) {
	s := newStore(t)
	readers, tweet := hot(t, s, 1700), newTweet(t, s)
	heartbeat := oneBucket(readers[1499])
	heartbeat.Done = 1500
	a := feeds(s)
	d, err := run(a, a.Deliver, activities.DeliverInput{TweetID: tweet.ID, Author: "ann", From: twtr.NewProgress()}, heartbeat)
	require.NoError(t, err)
	require.Equal(t, delivered(1700), d)
	requireDelivered(t, s, tweet, readers[1500:])
	items, err := s.Feed(t.Context(), readers[0], twtr.Window{}, 10)
	require.NoError(t, err)
	require.Empty(t, items, "what was delivered is not written again")
}

// counting is a store that counts how often followers are counted.
type counting struct {
	twtr.Store
	reads int
	err   error
}

func (s *counting) FollowerCounts(ctx context.Context, username string) ([]twtr.FollowerCount, error) {
	s.reads++
	if s.err != nil {
		return nil, s.err
	}
	return s.Store.FollowerCounts(ctx, username)
}

func TestADeliveryOfSeveralPagesTellsAboutHowManyFollowersThereAre(t *testing.T) {
	s := &counting{Store: newStore(t)}
	for bucket, n := range []int{2000, 40} {
		require.NoError(t, s.PutFollowerCount(t.Context(), twtr.FollowerCount{Username: "ann", Bucket: bucket, Count: n, Version: 1}))
	}
	follow(t, s, 3)
	d, err := deliver(feeds(s), newTweet(t, s), twtr.NewProgress(), 0)
	require.NoError(t, err)
	require.Equal(t, delivered(3), d)
	require.Zero(t, s.reads, "one page needs no count")

	hot(t, s, 2037)
	d, err = deliver(feeds(s), newTweet(t, s), twtr.NewProgress(), 0)
	require.NoError(t, err)
	require.EqualValues(t, 2040, d.Done)
	require.EqualValues(t, 2040, d.Followers)
	require.Equal(t, 1, s.reads)

	s.err = errors.New("unavailable")
	d, err = deliver(feeds(s), newTweet(t, s), twtr.NewProgress(), 0)
	require.NoError(t, err, "the count is for people who watch")
	require.EqualValues(t, 2040, d.Done)
	require.Zero(t, d.Followers)
}

// faulty is a store whose feed writes fail when and as the test says.
type faulty struct {
	twtr.Store
	put  func() error
	trim func() error
}

func (s *faulty) PutFeedItem(ctx context.Context, tweet twtr.Tweet, readers []string) error {
	if s.put != nil {
		if err := s.put(); err != nil {
			return err
		}
	}
	return s.Store.PutFeedItem(ctx, tweet, readers)
}

func (s *faulty) TrimFeed(ctx context.Context, reader string, keep int) error {
	if s.trim != nil {
		return s.trim()
	}
	return s.Store.TrimFeed(ctx, reader, keep)
}

// slow is a store that cannot write so many rows within a page's window.
type slow struct {
	twtr.Store
	rows int
}

func (s *slow) PutFeedItem(ctx context.Context, tweet twtr.Tweet, readers []string) error {
	if len(readers) > s.rows {
		return context.DeadlineExceeded
	}
	return s.Store.PutFeedItem(ctx, tweet, readers)
}

func TestAPageThatTheStoreIsTooSlowForBecomesSmaller(t *testing.T) {
	s := &slow{Store: newStore(t), rows: 130}
	readers, tweet := hot(t, s, 1700), newTweet(t, s)
	for _, from := range []twtr.Progress{twtr.NewProgress(), oneBucket("")} {
		d, err := deliver(feeds(s), tweet, from, 0)
		require.NoError(t, err)
		require.Equal(t, delivered(1700), d)
		requireDelivered(t, s, tweet, readers)
	}
}

func TestAnErrorOfTheStoreFailsTheAttempt(t *testing.T) {
	s := &faulty{Store: newStore(t)}
	var pages atomic.Int32
	s.put = func() error {
		if pages.Add(1) > 2 {
			return errors.New("the disk is on fire")
		}
		return nil
	}
	hot(t, s, 1700)
	_, err := deliver(feeds(s), newTweet(t, s), oneBucket(""), 0)
	require.ErrorContains(t, err, "the disk is on fire")
}

func TestAnOverloadOfTheStoreSlowsADeliveryDownAndDoesNotFailIt(t *testing.T) {
	s := &faulty{Store: newStore(t)}
	var failures atomic.Int32
	s.put = func() error {
		if failures.Add(-1) >= 0 {
			return twtr.Errorf(twtr.Unavailable, "overloaded")
		}
		return nil
	}
	failures.Store(3)
	readers, tweet := hot(t, s, 1700), newTweet(t, s)
	d, err := deliver(feeds(s), tweet, oneBucket(""), 0)
	require.NoError(t, err)
	require.Equal(t, delivered(1700), d)
	requireDelivered(t, s, tweet, readers)
	failures.Store(1 << 20)
	_, err = deliver(feeds(s), tweet, oneBucket(""), 0)
	require.ErrorContains(t, err, "overloaded", "an overload that stays is for Temporal to show")
}

func TestARateThatIsRaisedWhileADeliveryWaitsSpeedsItUp(t *testing.T) {
	s := newStore(t)
	readers, tweet := hot(t, s, 1700), newTweet(t, s)
	rate := activities.NewRate(1) // a page at once, and then one in more than 8 minutes
	a := activities.NewFeeds(s, activities.FeedsConfig{MaxItems: 1000, Rate: rate})
	before := make(chan int, 1)
	raised := time.AfterFunc(200*time.Millisecond, func() {
		have, err := s.ReadersHavingFeedItem(t.Context(), tweet.ID, readers)
		if err != nil {
			t.Error(err)
		}
		before <- len(have)
		rate.Set(0)
	})
	defer raised.Stop()
	begin := time.Now()
	d, err := deliver(a, tweet, oneBucket(""), 0)
	require.NoError(t, err)
	require.Greater(t, time.Since(begin), 200*time.Millisecond)
	require.LessOrEqual(t, <-before, 1000, "the page at once, and at most the one after it")
	require.Equal(t, delivered(1700), d)
	requireDelivered(t, s, tweet, readers)
}

func TestADeliveryStopsWhenItsTweetIsDeleted(t *testing.T) {
	for name, afterPages := range map[string]int32{"before the first page": 0, "between two pages": 2, "after the last page": 4} {
		t.Run(name, func(t *testing.T) {
			s := &faulty{Store: newStore(t)}
			readers, tweet := hot(t, s, 1700), newTweet(t, s)
			var pages atomic.Int32
			remove := func() {
				if pages.Load() == afterPages {
					require.NoError(t, s.DeleteTweet(t.Context(), tweet))
				}
			}
			remove()
			s.put = func() error {
				pages.Add(1)
				defer remove()
				return nil
			}
			d, err := deliver(feeds(s), tweet, oneBucket(""), 0)
			require.NoError(t, err)
			want := min(int64(afterPages)*500, 1700)
			require.Equal(t, want < 1700, d.Deleted)
			require.Equal(t, want, d.Done)
			have, err := s.ReadersHavingFeedItem(t.Context(), tweet.ID, readers)
			require.NoError(t, err)
			require.Len(t, have, int(want))

			a := feeds(s)
			retract := activities.RetractInput{TweetID: tweet.ID, Author: "ann", At: activities.RetractionTime(time.Now(), tweet.ID), From: twtr.NewProgress()}
			p, err := run(a, a.Retract, retract, nil)
			require.NoError(t, err)
			require.Equal(t, twtr.Progress{Done: 1700}, p)
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, readers), "a delivery that comes late")
			have, err = s.ReadersHavingFeedItem(t.Context(), tweet.ID, readers)
			require.NoError(t, err)
			require.Empty(t, have)
		})
	}
}

func TestADeliveryTrimsFeedsAndAFailedTrimDoesNotFailIt(t *testing.T) {
	s := &faulty{Store: newStore(t)}
	readers := follow(t, s, 3)
	a := activities.NewFeeds(s, activities.FeedsConfig{MaxItems: 5, TrimEvery: 1})
	var want []twtr.Tweet
	for range 7 {
		tweet := newTweet(t, s)
		_, err := deliver(a, tweet, twtr.NewProgress(), 100)
		require.NoError(t, err)
		want = append([]twtr.Tweet{tweet}, want...)
	}
	for _, reader := range readers {
		items, err := s.Feed(t.Context(), reader, twtr.Window{}, 100)
		require.NoError(t, err)
		require.Equal(t, want[:5], items)
	}
	s.trim = func() error { return twtr.Errorf(twtr.Unavailable, "too many tombstones") }
	d, err := deliver(a, newTweet(t, s), twtr.NewProgress(), 100)
	require.NoError(t, err)
	require.Equal(t, delivered(3), d)
}

func TestARetractionTrimsFeedsToo(t *testing.T) {
	s := newStore(t)
	follow(t, s, 1)
	a := activities.NewFeeds(s, activities.FeedsConfig{MaxItems: 5, TrimEvery: 1})
	kept := newTweet(t, s)
	require.NoError(t, s.PutFeedItem(t.Context(), kept, []string{"reader-0"}))
	for range 20 { // marks of old tweets that the feed does not hold any more
		old := tweetAt(t, time.Now().Add(-time.Hour))
		_, err := run(a, a.Retract, activities.RetractInput{TweetID: old.ID, Author: "ann", At: time.Now(), From: twtr.NewProgress()}, nil)
		require.NoError(t, err)
	}
	fifth, err := s.FeedFloor(t.Context(), "reader-0", 5)
	require.NoError(t, err)
	floor, err := s.FeedFloor(t.Context(), "reader-0", 6)
	require.NoError(t, err)
	require.Equal(t, fifth, floor, "there is no sixth row")
	items, err := s.Feed(t.Context(), "reader-0", twtr.Window{}, 100)
	require.NoError(t, err)
	require.Equal(t, []twtr.Tweet{kept}, items)
}

func TestBackfillAddsTheNewest100(t *testing.T) {
	s := newStore(t)
	var want []twtr.Tweet
	for range 120 {
		tweet := newTweet(t, s)
		want = append([]twtr.Tweet{tweet}, want...)
	}
	at := time.Now().UTC().Add(time.Hour)
	backfilled := func() []twtr.Tweet {
		used, err := feeds(s).Backfill(t.Context(), activities.FeedEdgeInput{Reader: "bob", Author: "ann", At: at})
		require.NoError(t, err)
		require.Equal(t, at, used)
		items, err := s.Feed(t.Context(), "bob", twtr.Window{}, 1000)
		require.NoError(t, err)
		return items
	}
	require.Empty(t, backfilled(), "bob does not follow: one of the two was erased")
	edge := twtr.Follow{Follower: "bob", Followee: "ann", At: at, Since: want[99].ID}
	require.NoError(t, s.PutFollow(t.Context(), edge))
	require.Equal(t, want[:100], backfilled())
	for range 150 { // before the backfill, by deliveries that had read the followers before the edge was put
		want = append([]twtr.Tweet{newTweet(t, s)}, want...)
	}
	require.Equal(t, want[:250], backfilled())
	for _, tweet := range want[:200] {
		require.NoError(t, s.DeleteTweet(t.Context(), tweet))
		require.NoError(t, s.RetractFeedItem(t.Context(), tweet.ID, []string{"bob"}, at))
	}
	require.Equal(t, want[200:], backfilled(), "the newest 100, or as many as there are")
}

// audits returns what audits say about bob's feed: of all of it, and of the tweets that ann has.
func audits(t *testing.T, s twtr.Store) (feed, deliveries twtr.Audit) {
	t.Helper()
	a := feeds(s)
	feed, err := run(a, a.RebuildFeed, activities.RebuildFeedInput{Reader: "bob", DryRun: true}, nil)
	require.NoError(t, err)
	tweets, err := s.TweetsByUser(t.Context(), "ann", twtr.Window{}, 1000)
	require.NoError(t, err)
	for _, tweet := range tweets {
		one, err := run(a, a.AuditDelivery, activities.AuditDeliveryInput{TweetID: tweet.ID}, nil)
		require.NoError(t, err)
		deliveries.Checked += one.Checked
		deliveries.Missing += one.Missing
		deliveries.Extra += one.Extra
	}
	return feed, deliveries
}

func TestWhatDeletionsMakeOneOfTheNewestIsNotMissingAndWhatWasBackfilledIs(t *testing.T) {
	s := newStore(t)
	signUp(t, s, "ann", "bob")
	newest := []twtr.Tweet{}
	for range 150 {
		newest = append([]twtr.Tweet{newTweet(t, s)}, newest...)
	}
	remove := func(tweets ...twtr.Tweet) {
		for _, tweet := range tweets {
			require.NoError(t, s.DeleteTweet(t.Context(), tweet))
			require.NoError(t, s.RetractFeedItem(t.Context(), tweet.ID, []string{"bob"}, time.Now()))
		}
	}
	remove(newest[:20]...) // before the follow
	newest = newest[20:]
	followers := &activities.Followers{Store: s}
	edge, err := followers.ReadEdge(t.Context(), activities.Pair{Follower: "bob", Followee: "ann"})
	require.NoError(t, err)
	f := twtr.Follow{Follower: "bob", Followee: "ann", At: time.Now().UTC(), Since: edge.Since}
	require.NoError(t, followers.StoreFollow(t.Context(), f))
	_, err = feeds(s).Backfill(t.Context(), activities.FeedEdgeInput{Reader: "bob", Author: "ann", At: f.At})
	require.NoError(t, err)
	remove(newest[3])

	feed, deliveries := audits(t, s)
	require.Equal(t, twtr.Audit{Checked: 1}, feed)
	require.Equal(t, twtr.Audit{Checked: 129}, deliveries)

	last := newest[99] // the oldest that the backfill added
	require.NoError(t, s.DeleteFeedItems(t.Context(), "bob", []uuid.UUID{last.ID}, f.At.Add(time.Second)))
	feed, deliveries = audits(t, s)
	require.Equal(t, twtr.Audit{Checked: 1, Missing: 1}, feed)
	require.Equal(t, twtr.Audit{Checked: 129, Missing: 1}, deliveries)

	f.At = f.At.Add(2 * time.Second) // as after an unfollow and a follow
	require.NoError(t, s.PutFollow(t.Context(), f))
	rebuilt, err := run(feeds(s), feeds(s).RebuildFeed, activities.RebuildFeedInput{Reader: "bob"}, nil)
	require.NoError(t, err)
	require.Equal(t, twtr.Audit{Checked: 1, Missing: 1}, rebuilt)
	items, err := s.Feed(t.Context(), "bob", twtr.Window{}, 1000)
	require.NoError(t, err)
	require.Equal(t, append(newest[:3:3], newest[4:101]...), items, "also the one that is among the newest 100 now")
	feed, deliveries = audits(t, s)
	require.Equal(t, twtr.Audit{Checked: 1}, feed)
	require.Equal(t, twtr.Audit{Checked: 129}, deliveries)
}

func TestWhatATrimRemovedIsNotMissingWhenAnUnfollowMakesRoom(t *testing.T) {
	s := newStore(t)
	signUp(t, s, "ann", "bob", "carl")
	const max = 5
	a := activities.NewFeeds(s, activities.FeedsConfig{MaxItems: max})
	for _, author := range []string{"ann", "carl"} {
		require.NoError(t, s.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: author, At: time.Now().Add(-time.Second)}))
	}
	trimmed := []twtr.Tweet{newTweet(t, s), newTweet(t, s)}
	require.NoError(t, s.PutFeedItems(t.Context(), "bob", trimmed, time.Now()))
	for range max {
		tweet := tweetAt(t, time.Now())
		tweet.Username = "carl"
		require.NoError(t, s.PutTweet(t.Context(), tweet))
		require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{"bob"}))
	}
	require.NoError(t, s.TrimFeed(t.Context(), "bob", max))
	kept := newTweet(t, s)
	require.NoError(t, s.PutFeedItem(t.Context(), kept, []string{"bob"}))
	unfollowed := twtr.Follow{Follower: "bob", Followee: "carl", At: time.Now().Add(time.Second)}
	require.NoError(t, s.DeleteFollow(t.Context(), unfollowed))
	_, err := a.Sweep(t.Context(), activities.FeedEdgeInput{Reader: "bob", Author: "carl", At: unfollowed.At})
	require.NoError(t, err)
	for _, tweet := range trimmed {
		report, err := run(a, a.AuditDelivery, activities.AuditDeliveryInput{TweetID: tweet.ID, Repair: true}, nil)
		require.NoError(t, err)
		require.Equal(t, twtr.Audit{Checked: 1}, report)
	}
	report, err := run(a, a.RebuildFeed, activities.RebuildFeedInput{Reader: "bob"}, nil)
	require.NoError(t, err)
	require.Equal(t, twtr.Audit{Checked: 1}, report)
	items, err := s.Feed(t.Context(), "bob", twtr.Window{}, 10)
	require.NoError(t, err)
	require.Equal(t, []twtr.Tweet{kept}, items)
}

func TestASweepRemovesTweetsOfTheFuture(t *testing.T) {
	s := newStore(t)
	future := tweetAt(t, time.Now().Add(65*time.Minute))
	require.NoError(t, s.PutFeedItem(t.Context(), future, []string{"bob"}))
	used, err := feeds(s).Sweep(t.Context(), activities.FeedEdgeInput{Reader: "bob", Author: "ann", At: time.Now()})
	require.NoError(t, err)
	require.True(t, used.After(future.CreatedAt()), "the next change of the feed must be later than this one")
	items, err := s.Feed(t.Context(), "bob", twtr.Window{}, 10)
	require.NoError(t, err)
	require.Empty(t, items)
}

func TestAnAuditDoesNotMissWhatNewerTweetsHaveTrimmed(t *testing.T) {
	s := newStore(t)
	readers := follow(t, s, 3)
	tweet := tweetAt(t, time.Now().Add(time.Second)) // after the follow
	require.NoError(t, s.PutTweet(t.Context(), tweet))
	for n := range 5 { // full of newer tweets: 4 and the mark of a deleted one
		newer := tweetAt(t, time.Now().Add(time.Minute))
		require.NoError(t, s.PutFeedItem(t.Context(), newer, readers[:1]))
		if n == 0 {
			require.NoError(t, s.RetractFeedItem(t.Context(), newer.ID, readers[:1], time.Now().Add(2*time.Minute)))
		}
	}
	require.NoError(t, s.PutFeedItem(t.Context(), tweet, readers[1:2]))
	a := activities.NewFeeds(s, activities.FeedsConfig{MaxItems: 5})
	audit := func(repair bool, missing int64) {
		t.Helper()
		report, err := run(a, a.AuditDelivery, activities.AuditDeliveryInput{TweetID: tweet.ID, Repair: repair}, nil)
		require.NoError(t, err)
		require.Equal(t, twtr.Audit{Checked: 3, Missing: missing}, report)
	}
	audit(false, 1)
	audit(true, 1)
	audit(false, 0)
	have, err := s.ReadersHavingFeedItem(t.Context(), tweet.ID, readers)
	require.NoError(t, err)
	require.Equal(t, readers[1:], have)
}
