package workflows_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

// recent is what Temporal would list. It implements [activities.Recent].
type recent struct {
	since   time.Time // that it was asked for
	tweets  []uuid.UUID
	buckets []activities.Bucket
}

func (r *recent) Deliveries(_ context.Context, since time.Time, limit int) ([]uuid.UUID, error) {
	r.since = since
	return r.tweets[:min(limit, len(r.tweets))], nil
}

func (r *recent) Buckets(_ context.Context, since time.Time, limit int) ([]activities.Bucket, error) {
	r.since = since
	return r.buckets[:min(limit, len(r.buckets))], nil
}

func TestANightlyAuditRepairsRecentDeliveriesAndReportsWhatWasWrong(t *testing.T) {
	e := newEnv(t)
	require.NoError(t, e.store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start}))
	listed := &recent{}
	for i := range 3 {
		tweet, err := twtr.NewTweet(uuid.Must(uuid.NewV7()), "ann", twtr.Post{Content: "hello"})
		require.NoError(t, err)
		require.NoError(t, e.store.PutTweet(t.Context(), tweet))
		if i != 1 {
			require.NoError(t, e.store.PutFeedItem(t.Context(), tweet, []string{"bob"}))
		}
		listed.tweets = append(listed.tweets, tweet.ID)
	}
	lost := listed.tweets[1]
	listed.tweets = append(listed.tweets, uuid.Must(uuid.NewV7())) // of a deleted account
	e.RegisterActivity(&activities.Samples{Recent: listed})
	e.ExecuteWorkflow(workflows.AuditRecent, workflows.AuditRecentInput{})
	require.NoError(t, e.GetWorkflowError())
	var found workflows.AuditRecentResult
	require.NoError(t, e.GetWorkflowResult(&found))
	require.Equal(t, workflows.AuditRecentResult{Audit: twtr.Audit{Checked: 3, Missing: 1}, Tweets: 3, Wrong: 1, Examples: []uuid.UUID{lost}}, found)
	require.Equal(t, start.Add(-25*time.Hour), listed.since)
	feed, err := e.store.Feed(t.Context(), "bob", twtr.Window{}, 10)
	require.NoError(t, err)
	require.Len(t, feed, 3, "it is repaired")
}

func TestANightlyRecountCorrectsCountsThatHaveDriftedAndNoOthers(t *testing.T) {
	e := newEnv(t)
	ctx := t.Context()
	followers := activities.Followers{Store: e.store}
	// Names in three buckets: one whose count is right, one that has drifted, and one that is counted meanwhile.
	var names []string
	for i := 0; len(names) < 3; i++ {
		name := "reader-" + string(rune('a'+i))
		if !slices.ContainsFunc(names, func(other string) bool { return twtr.FollowerBucket(other) == twtr.FollowerBucket(name) }) {
			names = append(names, name)
		}
	}
	bucket := func(i int) activities.Bucket {
		return activities.Bucket{Username: "ann", Bucket: twtr.FollowerBucket(names[i])}
	}
	listed := &recent{buckets: []activities.Bucket{bucket(0), bucket(1), bucket(2)}}
	for i := range names {
		require.NoError(t, followers.Count(ctx, bucket(i)))
		require.NoError(t, e.store.PutFollow(ctx, twtr.Follow{Follower: names[i], Followee: "ann", At: start}))
	}
	require.NoError(t, followers.Count(ctx, bucket(0)))
	e.RegisterDelayedCallback(func() { require.NoError(t, followers.Count(ctx, bucket(2))) }, time.Minute)
	e.RegisterActivity(&activities.Samples{Recent: listed})
	e.ExecuteWorkflow(workflows.RecountDrifted, workflows.RecountDriftedInput{})
	require.NoError(t, e.GetWorkflowError())
	var found workflows.RecountDriftedResult
	require.NoError(t, e.GetWorkflowResult(&found))
	require.Equal(t, workflows.RecountDriftedResult{Checked: 3, Drifted: 1, Examples: []activities.Bucket{bucket(1)}}, found)
	counts, err := e.store.FollowerCounts(ctx, "ann")
	require.NoError(t, err)
	require.Equal(t, 3, twtr.CountOf(counts))
}
