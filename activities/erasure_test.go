package activities_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

// erasing is a store that notes what is erased, and fails when it has erased so many pages of tweets.
type erasing struct {
	twtr.Store
	erased []uuid.UUID
	pages  int // -1: any number
}

func (s *erasing) EraseTweets(ctx context.Context, username string, ids []uuid.UUID) error {
	if s.pages == 0 {
		return errors.New("the disk is on fire")
	}
	s.pages--
	s.erased = append(s.erased, ids...)
	return s.Store.EraseTweets(ctx, username, ids)
}

func TestTweetsAreErasedStepByStepAndARetryResumes(t *testing.T) {
	s := &erasing{Store: newStore(t), pages: -1}
	ids := make([]uuid.UUID, 1800)
	for i := range ids {
		tweet := tweetAt(t, time.Now().Add(-time.Duration(i)*time.Minute))
		require.NoError(t, s.PutTweet(t.Context(), tweet))
		ids[i] = tweet.ID
	}
	a := &activities.Tweets{Erasure: s}
	erase := func(from activities.ErasedTweets, heartbeat any) (activities.ErasedTweets, error) {
		s.erased = nil
		return run(a, a.EraseTweets, activities.EraseTweetsInput{Username: "ann", From: from, Budget: 700}, heartbeat)
	}
	got, err := erase(activities.ErasedTweets{}, nil)
	require.NoError(t, err)
	require.Equal(t, activities.ErasedTweets{Last: ids[999], Done: 1000}, got, "whole pages")
	require.Equal(t, ids[:1000], s.erased)
	s.pages = 1
	_, err = erase(got, nil)
	require.ErrorContains(t, err, "the disk is on fire")
	require.Equal(t, ids[1000:1500], s.erased)
	s.pages = -1
	got, err = erase(got, activities.ErasedTweets{Last: ids[1499], Done: 1500}) // of the attempt that failed
	require.NoError(t, err)
	require.Equal(t, activities.ErasedTweets{Last: ids[1799], Done: 1800, Complete: true}, got)
	require.Equal(t, ids[1500:], s.erased)
}

func TestFeedsAreErasedStepByStepAndARetryResumes(t *testing.T) {
	s := newStore(t)
	readers, tweet := follow(t, s, 3000), newTweet(t, s)
	require.NoError(t, s.PutFeedItem(t.Context(), tweet, readers))
	a := feeds(s)
	erase := func(from twtr.Progress, heartbeat any) (twtr.Progress, error) {
		return run(a, a.EraseFeeds, activities.EraseFeedsInput{Author: "ann", From: from, Budget: 2000}, heartbeat)
	}
	first, err := erase(twtr.NewProgress(), nil)
	require.NoError(t, err)
	require.EqualValues(t, 3000, first.Done, "the first followers of all, and at least a page of each bucket")
	left := func() (n int) {
		for _, reader := range readers {
			items, err := s.Feed(t.Context(), reader, twtr.Window{}, 10)
			require.NoError(t, err)
			_, err = s.Follow(t.Context(), reader, "ann")
			require.Equal(t, len(items) == 1, err == nil, "an edge goes with the last item")
			n += len(items)
		}
		return n
	}
	require.Zero(t, left())

	readers = follow(t, s, 3000)
	bucket := twtr.BucketCursor{Bucket: 3}
	last, err := erase(twtr.NewProgress(), twtr.Progress{Left: []twtr.BucketCursor{bucket}, Done: 2800})
	require.NoError(t, err)
	inBucket := 0
	for _, reader := range readers {
		if twtr.FollowerBucket(reader) == bucket.Bucket {
			inBucket++
		}
	}
	require.Equal(t, twtr.Progress{Done: int64(2800 + inBucket)}, last, "the other buckets were done before")
}

// histories are those of one author, of whom n workflows are running.
type histories struct {
	activities.Histories
	running int64
}

func (h *histories) CountRunning(context.Context, string) (int64, error) { return h.running, nil }

func (h *histories) DeletePosted(context.Context, uuid.UUID) (bool, error) {
	return h.running == 0, nil
}

func TestAnErasureWaitsForWorkflowsThatAreRunning(t *testing.T) {
	h := &histories{running: 2}
	a := &activities.Tweets{Histories: h}
	require.ErrorContains(t, a.AwaitTweets(t.Context(), "ann"), "2 workflows of the user's tweets have not ended")
	require.ErrorContains(t, a.DeleteHistory(t.Context(), uuid.Max), "has not ended")
	h.running = 0
	require.NoError(t, a.AwaitTweets(t.Context(), "ann"))
	require.NoError(t, a.DeleteHistory(t.Context(), uuid.Max))
}
