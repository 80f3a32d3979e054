package activities_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

var errRefused = errors.New("the row is refused")

// refusing is a store that does not take some rows, as an engine that finds them too large: a write of them and others fails.
type refusing struct {
	twtr.Store
	readers []string
	tweets  []uuid.UUID
	with    error // nil: errRefused
}

func (s *refusing) check(readers []string, ids ...uuid.UUID) error {
	refused := func(reader string) bool { return slices.Contains(s.readers, reader) }
	if slices.ContainsFunc(readers, refused) || slices.ContainsFunc(ids, func(id uuid.UUID) bool { return slices.Contains(s.tweets, id) }) {
		return cmp.Or(s.with, errRefused)
	}
	return nil
}

func (s *refusing) PutFeedItem(ctx context.Context, t twtr.Tweet, readers []string) error {
	if err := s.check(readers); err != nil {
		return err
	}
	return s.Store.PutFeedItem(ctx, t, readers)
}

func (s *refusing) RetractFeedItem(ctx context.Context, id uuid.UUID, readers []string, at time.Time) error {
	if err := s.check(readers); err != nil {
		return err
	}
	return s.Store.RetractFeedItem(ctx, id, readers, at)
}

func (s *refusing) PutFeedItems(ctx context.Context, reader string, tweets []twtr.Tweet, at time.Time) error {
	for _, t := range tweets {
		if err := s.check([]string{reader}, t.ID); err != nil {
			return err
		}
	}
	return s.Store.PutFeedItems(ctx, reader, tweets, at)
}

func (s *refusing) DeleteFeedItems(ctx context.Context, reader string, ids []uuid.UUID, at time.Time) error {
	if err := s.check([]string{reader}, ids...); err != nil {
		return err
	}
	return s.Store.DeleteFeedItems(ctx, reader, ids, at)
}

// haveNot are the readers whose feeds lack the tweet.
func haveNot(t *testing.T, s twtr.Store, tweet twtr.Tweet, readers []string) (lack []string) {
	have, err := s.ReadersHavingFeedItem(t.Context(), tweet.ID, readers)
	require.NoError(t, err)
	for _, reader := range readers {
		if !slices.Contains(have, reader) {
			lack = append(lack, reader)
		}
	}
	return lack
}

func TestFeedsThatTheStoreRefusesAreCountedAndAllOthersWritten(t *testing.T) {
	s := &refusing{Store: newStore(t)}
	readers, tweet := hot(t, s, 1700), newTweet(t, s)
	s.readers = []string{readers[3], readers[4], readers[700], readers[701], readers[702], readers[1699]}
	d, err := deliver(feeds(s), tweet, oneBucket(""), 0)
	require.NoError(t, err)
	require.Equal(t, twtr.Progress{Done: 1694, Failed: 6, FailedReaders: s.readers[:5]}, d.Progress)
	require.Equal(t, s.readers, haveNot(t, s, tweet, readers))

	audit := func(repair bool) (report twtr.Audit) {
		a := feeds(s)
		report, err := run(a, a.AuditDelivery, activities.AuditDeliveryInput{TweetID: tweet.ID, Repair: repair}, nil)
		require.NoError(t, err)
		return report
	}
	require.Equal(t, twtr.Audit{Checked: 1700, Missing: 6}, audit(false))
	require.Equal(t, twtr.Audit{Checked: 1700, Missing: 6, Failed: 6}, audit(true))
	s.readers = s.readers[:1]
	require.Equal(t, twtr.Audit{Checked: 1700, Missing: 6, Failed: 1}, audit(true))
	require.Equal(t, s.readers, haveNot(t, s, tweet, readers))
	s.readers = nil
	require.Equal(t, twtr.Audit{Checked: 1700, Missing: 1}, audit(true))
	require.Equal(t, twtr.Audit{Checked: 1700}, audit(false))

	s.readers = readers[400:402]
	require.NoError(t, s.PutReceipt(t.Context(), twtr.Receipt{TweetID: tweet.ID, Username: "ann", State: twtr.DeliveryRetracting}))
	require.NoError(t, s.DeleteTweet(t.Context(), tweet))
	a := feeds(s)
	p, err := run(a, a.Retract, activities.RetractInput{TweetID: tweet.ID, Author: "ann", At: time.Now(), From: twtr.NewProgress()}, nil)
	require.NoError(t, err)
	require.Equal(t, twtr.Progress{Done: 1698, Failed: 2, FailedReaders: s.readers}, p)
	require.Equal(t, twtr.Audit{Checked: 1700, Extra: 2, Failed: 2}, audit(true))
	s.readers = nil
	require.Equal(t, twtr.Audit{Checked: 1700, Extra: 2}, audit(true))
	require.Equal(t, twtr.Audit{Checked: 1700}, audit(false))
}

func TestAStoreThatRefusesManyRowsOrAllFailsTheAttempt(t *testing.T) {
	s := &refusing{Store: newStore(t)}
	readers, tweet := follow(t, s, 300), newTweet(t, s)
	s.readers = readers[100:111]
	_, err := deliver(feeds(s), tweet, twtr.NewProgress(), 1000)
	require.ErrorContains(t, err, errRefused.Error())
	s.readers = readers[100:110]
	d, err := deliver(feeds(s), tweet, twtr.NewProgress(), 1000)
	require.NoError(t, err)
	require.EqualValues(t, 10, d.Failed)

	s = &refusing{Store: newStore(t)}
	s.readers, tweet = follow(t, s, 2), newTweet(t, s)
	_, err = deliver(feeds(s), tweet, twtr.NewProgress(), 1000)
	require.ErrorContains(t, err, errRefused.Error())
}

// As of one partition, whose node is down: the row is written later, however often it fails.
func TestAnOutageIsNoRefusal(t *testing.T) {
	s := &refusing{Store: newStore(t), with: twtr.Errorf(twtr.Unavailable, "no connection")}
	readers, tweet := follow(t, s, 3), newTweet(t, s)
	s.readers = readers[:1]
	_, err := deliver(feeds(s), tweet, twtr.NewProgress(), 1000)
	require.ErrorContains(t, err, "no connection")
	s.readers = nil
	d, err := deliver(feeds(s), tweet, twtr.NewProgress(), 1000)
	require.NoError(t, err)
	require.Equal(t, delivered(3), d)
}

func TestTweetsThatTheStoreRefusesAreMissingAfterABackfillAndTheOthersAreThere(t *testing.T) {
	s := &refusing{Store: newStore(t)}
	at := time.Now().UTC()
	require.NoError(t, s.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: at}))
	var all []uuid.UUID
	for range 20 {
		all = append(all, newTweet(t, s).ID)
	}
	s.tweets = []uuid.UUID{all[7]}
	a := feeds(s)
	in := activities.FeedEdgeInput{Reader: "bob", Author: "ann", At: time.Now().Add(time.Second)}
	_, err := run(a, a.Backfill, in, nil)
	require.NoError(t, err)
	count := func() int {
		items, err := s.Feed(t.Context(), "bob", twtr.Window{}, 100)
		require.NoError(t, err)
		return len(items)
	}
	require.Equal(t, 19, count())
	report, err := run(a, a.RebuildFeed, activities.RebuildFeedInput{Reader: "bob", DryRun: true}, nil)
	require.NoError(t, err)
	require.Equal(t, twtr.Audit{Checked: 1, Missing: 1}, report)
	other := newTweet(t, s) // so that the store refuses one row of two
	report, err = run(a, a.RebuildFeed, activities.RebuildFeedInput{Reader: "bob"}, nil)
	require.NoError(t, err)
	require.Equal(t, twtr.Audit{Checked: 1, Missing: 2, Failed: 1}, report)
	require.NoError(t, s.DeleteFeedItems(t.Context(), "bob", []uuid.UUID{other.ID}, time.Now().Add(time.Minute)))

	s.tweets = []uuid.UUID{all[9]}
	in.At = in.At.Add(time.Second)
	_, err = run(a, a.Sweep, in, nil)
	require.NoError(t, err)
	require.Equal(t, 1, count())
}
