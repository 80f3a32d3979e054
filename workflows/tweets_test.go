package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

func newTweet(t *testing.T) twtr.Tweet {
	id, err := twtr.NewTweetID(start)
	require.NoError(t, err)
	tweet, err := twtr.NewTweet(id, "ann", twtr.Post{Content: "<hello> & \"all\"\u2028"})
	require.NoError(t, err)
	return tweet
}

func (e *env) post(tweet twtr.Tweet) (result workflows.DeliveryResult) {
	e.t.Helper()
	e.ExecuteWorkflow(workflows.PostTweet, workflows.PostTweetInput{Tweet: tweet})
	require.True(e.t, e.IsWorkflowCompleted())
	require.NoError(e.t, e.GetWorkflowResult(&result))
	return result
}

func TestATweetIsStoredAsItIsServedAndDelivered(t *testing.T) {
	e := newEnv(t)
	for i := range 3 {
		f := twtr.Follow{Follower: fmt.Sprintf("fan-%d", i), Followee: "ann", At: start}
		require.NoError(t, e.store.Store.PutFollow(t.Context(), f))
	}
	tweet := newTweet(t)
	e.store.before = unavailable("PutTweet", 8)
	require.Equal(t, workflows.DeliveryResult{Delivered: 3}, e.post(tweet))
	stored, err := e.store.Tweet(t.Context(), tweet.ID)
	require.NoError(t, err)
	require.Equal(t, tweet, stored)
	items, err := e.store.Feed(t.Context(), "fan-1", twtr.Window{}, 10)
	require.NoError(t, err)
	require.Equal(t, []twtr.Tweet{tweet}, items, "byte for byte")
	receipt, err := e.store.Receipt(t.Context(), tweet.ID)
	require.NoError(t, err)
	require.Equal(t, twtr.DeliveryComplete, receipt.State)
	require.Equal(t, int64(3), receipt.Delivered)
}

func TestADeliveryOfADeletedTweetSaysSo(t *testing.T) {
	e := newEnv(t)
	require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start}))
	tweet := newTweet(t)
	require.NoError(t, e.store.DeleteTweet(t.Context(), tweet))
	require.Equal(t, workflows.DeliveryResult{Deleted: true}, e.post(tweet))
	require.Empty(t, e.feed())
}

func TestADeletionRespondsWhenTheTweetIsGoneAndThenRetractsIt(t *testing.T) {
	e := newEnv(t)
	require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start}))
	tweet := newTweet(t)
	e.post(tweet)
	require.Len(t, e.feed(), 1)
	e.next()
	e.histories.posted[tweet.ID] = 10
	in := workflows.DeleteTweetInput{TweetID: tweet.ID, Username: "ann"}
	deleted, update := &result{}, in.Update()
	e.RegisterDelayedCallback(func() { e.UpdateWorkflow(update.UpdateName, update.UpdateID, deleted.callback()) }, 0)
	e.ExecuteWorkflow(workflows.DeleteTweet, in)
	require.NoError(t, e.GetWorkflowError())
	e.requireDone(deleted)
	require.Empty(t, e.feed())
	_, err := e.store.Tweet(t.Context(), tweet.ID)
	require.Equal(t, twtr.NotFound, twtr.ErrorCode(err))
	receipt, err := e.store.Receipt(t.Context(), tweet.ID)
	require.NoError(t, err)
	require.Equal(t, twtr.DeliveryRetracted, receipt.State)
	require.False(t, e.histories.has(tweet.ID), "the history with the tweet's text is deleted, when its workflow has ended")
}

// A delivery that one step completes upserts nothing, which the test environment would refuse without a mock.
func TestOnlyADeliveryOfSeveralStepsUpsertsItsProgress(t *testing.T) {
	e := newEnv(t)
	var feeds *activities.Feeds
	buckets := []twtr.BucketCursor{{Bucket: 2, After: "m"}, {Bucket: 5, After: "n"}, {Bucket: 15, After: "o"}}
	e.OnActivity(feeds.Deliver, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.DeliverInput) (activities.DeliverResult, error) {
			if in.Budget > 0 {
				return activities.DeliverResult{Progress: twtr.Progress{Left: buckets, Done: 20_000}}, nil
			}
			require.Len(t, in.From.Left, 1)
			return activities.DeliverResult{Progress: twtr.Progress{Done: int64(in.From.Left[0].Bucket)}}, nil
		})
	var upserts []int64
	e.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		upserts = append(upserts, time.Now().Unix())
	}).Return(nil)
	require.Equal(t, workflows.DeliveryResult{Delivered: 20_022}, e.post(newTweet(t)))
	require.Len(t, upserts, 3, "after the first step, and after each bucket but the last")
}

// The only follower: nothing but time tells whether the row is at fault or the store.
func TestAFeedThatCannotBeWrittenIsInTheReceiptAndTheResult(t *testing.T) {
	e := newEnv(t)
	require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start}))
	refuse := func(method string, _ int) error {
		if method == "PutFeedItem" || method == "RetractFeedItem" {
			return errors.New("the row is refused")
		}
		return nil
	}
	e.store.before = refuse
	tweet := newTweet(t)
	require.Equal(t, workflows.DeliveryResult{Failed: 1, FailedReaders: []string{"bob"}}, e.post(tweet))
	require.Greater(t, e.Now().Sub(start), 5*time.Second, "it was tried for a while")
	receipt, err := e.store.Receipt(t.Context(), tweet.ID)
	require.NoError(t, err)
	require.Equal(t, twtr.DeliveryComplete, receipt.State)
	require.Equal(t, []int64{0, 1}, []int64{receipt.Delivered, receipt.Failed})

	e.store.before = nil
	audit := func(repair bool) (report twtr.Audit) {
		e.next()
		e.ExecuteWorkflow(workflows.AuditDelivery, workflows.AuditDeliveryInput{TweetID: tweet.ID, Repair: repair})
		require.NoError(t, e.GetWorkflowResult(&report))
		return report
	}
	require.Equal(t, twtr.Audit{Checked: 1, Missing: 1}, audit(false))
	require.Equal(t, twtr.Audit{Checked: 1, Missing: 1}, audit(true))
	require.Equal(t, twtr.Audit{Checked: 1}, audit(false))

	e.next()
	e.store.before = refuse
	e.ExecuteWorkflow(workflows.DeleteTweet, workflows.DeleteTweetInput{TweetID: tweet.ID, Username: "ann"})
	var result workflows.RetractionResult
	require.NoError(t, e.GetWorkflowResult(&result))
	require.Equal(t, workflows.RetractionResult{Failed: 1, FailedReaders: []string{"bob"}}, result)
	receipt, err = e.store.Receipt(t.Context(), tweet.ID)
	require.NoError(t, err)
	require.Equal(t, twtr.DeliveryRetracted, receipt.State)
	require.EqualValues(t, 1, receipt.Failed)
}
