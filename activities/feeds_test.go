package activities_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/store/sqlite"
)

func newStore(t *testing.T) twtr.Store {
	path := filepath.Join(t.TempDir(), "twtr.db")
	require.NoError(t, sqlite.Migrate(t.Context(), path))
	s, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
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
		items, err := s.Feed(t.Context(), reader, uuid.Nil, 10)
		require.NoError(t, err)
		require.Equal(t, []twtr.Tweet{tweet}, items, reader)
	}
}

func feeds(s twtr.Store) *activities.Feeds {
	return &activities.Feeds{Tweets: s, Deliveries: s, Follows: s, Store: s, Pages: make(chan struct{}, 4), LargePages: make(chan struct{}, 4), Rate: activities.NewRate(0), MaxItems: 1000}
}

func deliver(a *activities.Feeds, in activities.DeliverInput, heartbeat *twtr.Delivery) (d twtr.Delivery, err error) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(a)
	if heartbeat != nil {
		env.SetHeartbeatDetails(*heartbeat)
	}
	result, err := env.ExecuteActivity(a.Deliver, in)
	if err == nil {
		err = result.Get(&d)
	}
	return d, err
}

// newTweet is a tweet of ann's that is stored.
func newTweet(t *testing.T, s twtr.Store) twtr.Tweet {
	tweet, err := twtr.NewTweet("ann", "hello")
	require.NoError(t, err)
	require.NoError(t, s.PutTweet(t.Context(), tweet))
	return tweet
}

func TestDeliverReachesEveryFollowerInOneStep(t *testing.T) {
	s := newStore(t)
	readers, tweet := follow(t, s, 1200), newTweet(t, s)
	d, err := deliver(feeds(s), activities.DeliverInput{Tweet: tweet, Delivery: twtr.NewDelivery(), Budget: 5000}, nil)
	require.NoError(t, err)
	require.Equal(t, twtr.Delivery{Delivered: 1200}, d)
	requireDelivered(t, s, tweet, readers)
	empty := newStore(t)
	require.NoError(t, empty.PutTweet(t.Context(), tweet))
	none, err := deliver(feeds(empty), activities.DeliverInput{Tweet: tweet, Delivery: twtr.NewDelivery(), Budget: 5000}, nil)
	require.NoError(t, err)
	require.Equal(t, twtr.Delivery{}, none, "nobody follows")
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

func TestDeliverStopsAfterItsBudgetAndGoesOnFromWhatItLeft(t *testing.T) {
	s := newStore(t)
	readers, tweet := hot(t, s, 1700), newTweet(t, s)
	d, err := deliver(feeds(s), activities.DeliverInput{Tweet: tweet, Delivery: twtr.NewDelivery(), Budget: 1000}, nil)
	require.NoError(t, err)
	require.Equal(t, twtr.Delivery{Left: []twtr.BucketCursor{{Bucket: 3, After: readers[999]}}, Delivered: 1000}, d)
	requireDelivered(t, s, tweet, readers[:1000])
	rest, err := deliver(feeds(s), activities.DeliverInput{Tweet: tweet, Delivery: twtr.Delivery{Left: d.Left}}, nil)
	require.NoError(t, err)
	require.Equal(t, twtr.Delivery{Delivered: 700}, rest)
	requireDelivered(t, s, tweet, readers)
}

func TestARetryResumesFromTheLastHeartbeat(t *testing.T) {
	s := newStore(t)
	readers, tweet := hot(t, s, 1700), newTweet(t, s)
	heartbeat := &twtr.Delivery{Left: []twtr.BucketCursor{{Bucket: 3, After: readers[1499]}}, Delivered: 1500}
	d, err := deliver(feeds(s), activities.DeliverInput{Tweet: tweet, Delivery: twtr.NewDelivery()}, heartbeat)
	require.NoError(t, err)
	require.Equal(t, twtr.Delivery{Delivered: 1700}, d)
	requireDelivered(t, s, tweet, readers[1500:])
	items, err := s.Feed(t.Context(), readers[0], uuid.Nil, 10)
	require.NoError(t, err)
	require.Empty(t, items, "what was delivered is not done again")
}

// failing is a store that fails after so many pages.
type failing struct {
	twtr.Store
	pages atomic.Int32
}

var errStore = errors.New("the store is away")

func (s *failing) PutFeedItem(ctx context.Context, tweet twtr.Tweet, readers []string) error {
	if s.pages.Add(-1) < 0 {
		return errStore
	}
	return s.Store.PutFeedItem(ctx, tweet, readers)
}

func TestAFailureOfTheStoreFailsTheTry(t *testing.T) {
	s := &failing{Store: newStore(t)}
	s.pages.Store(2)
	hot(t, s, 1700)
	_, err := deliver(feeds(s), activities.DeliverInput{Tweet: newTweet(t, s), Delivery: twtr.NewDelivery()}, nil)
	require.ErrorContains(t, err, errStore.Error())
}

// overloaded is a store that does not manage so many pages.
type overloaded struct {
	twtr.Store
	pages atomic.Int32
}

func (s *overloaded) PutFeedItem(ctx context.Context, tweet twtr.Tweet, readers []string) error {
	if s.pages.Add(-1) >= 0 {
		return twtr.Errorf(twtr.Unavailable, "too much at a time")
	}
	return s.Store.PutFeedItem(ctx, tweet, readers)
}

func TestAnOverloadOfTheStoreSlowsADeliveryDownAndDoesNotFailIt(t *testing.T) {
	s := &overloaded{Store: newStore(t)}
	s.pages.Store(3)
	readers, tweet := hot(t, s, 1700), newTweet(t, s)
	d, err := deliver(feeds(s), activities.DeliverInput{Tweet: tweet, Delivery: twtr.NewDelivery()}, nil)
	require.NoError(t, err)
	require.Equal(t, twtr.Delivery{Delivered: 1700}, d)
	requireDelivered(t, s, tweet, readers)
	s.pages.Store(1 << 20)
	_, err = deliver(feeds(s), activities.DeliverInput{Tweet: tweet, Delivery: twtr.NewDelivery()}, nil)
	require.ErrorContains(t, err, "too much at a time", "one that stays is for Temporal to show")
}

func TestARateThatIsRaisedMeanwhileLetsTheDeliveryGoOn(t *testing.T) {
	s := newStore(t)
	readers, tweet := hot(t, s, 1700), newTweet(t, s)
	a := feeds(s)
	a.Rate = activities.NewRate(1) // a page at once, and then one in more than 8 minutes
	before := make(chan int, 1)
	raised := time.AfterFunc(200*time.Millisecond, func() {
		have, err := s.HaveFeedItem(t.Context(), tweet.ID, readers)
		if err != nil {
			t.Error(err)
		}
		before <- len(have)
		a.Rate.Set(0)
	})
	defer raised.Stop()
	begin := time.Now()
	d, err := deliver(a, activities.DeliverInput{Tweet: tweet, Delivery: twtr.NewDelivery()}, nil)
	require.NoError(t, err)
	require.Greater(t, time.Since(begin), 200*time.Millisecond)
	require.LessOrEqual(t, <-before, 1000, "the page at once, and at most the one after it")
	require.Equal(t, twtr.Delivery{Delivered: 1700}, d)
	requireDelivered(t, s, tweet, readers)
}

func TestBackfillBringsTheNewest100(t *testing.T) {
	s := newStore(t)
	var want []twtr.Tweet
	for range 120 {
		tweet := newTweet(t, s)
		want = append([]twtr.Tweet{tweet}, want...)
	}
	require.NoError(t, feeds(s).Backfill(t.Context(), activities.EdgeInput{Reader: "bob", Author: "ann", At: time.Now()}))
	items, err := s.Feed(t.Context(), "bob", uuid.Nil, 1000)
	require.NoError(t, err)
	require.Equal(t, want[:100], items)
}
