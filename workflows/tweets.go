package workflows

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

var tweets *activities.Tweets

// PostTweetInput is a tweet to post.
type PostTweetInput struct {
	Tweet twtr.Tweet `json:"tweet"`
}

func postTweetID(tweetID uuid.UUID) string { return "post-tweet/" + tweetID.String() }

// StartOptions implements [Input].
func (in PostTweetInput) StartOptions() client.StartWorkflowOptions {
	options := start(TweetsQueue, postTweetID(in.Tweet.ID), in.Tweet.Username+" tweets")
	// A tweet is posted, and delivered, once.
	options.WorkflowIDReusePolicy = enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	options.TypedSearchAttributes = temporal.NewSearchAttributes(
		Author.ValueSet(in.Tweet.Username),
		TweetID.ValueSet(in.Tweet.ID.String()),
		State.ValueSet(string(twtr.DeliveryRunning)),
	)
	return options
}

// Update implements [Input].
func (in PostTweetInput) Update() client.UpdateWorkflowOptions {
	return answer("stored", "stored")
}

// PostTweet stores a tweet and then delivers it to the feeds of its author's followers, until it is deleted. Its update
// "stored" answers when the tweet is durable.
func PostTweet(ctx workflow.Context, in PostTweetInput) error {
	stored, settle := workflow.NewFuture(ctx)
	err := workflow.SetUpdateHandler(ctx, "stored", func(ctx workflow.Context) error { return stored.Get(ctx, nil) })
	if err != nil {
		return err
	}
	err = write(ctx, tweets.StoreTweet, in.Tweet, nil)
	settle.SetError(err)
	if err != nil {
		return cmp.Or(settled(ctx), err)
	}
	d, err := fanOut(ctx, in.Tweet.Username, "delivered", func(ctx workflow.Context, from twtr.Delivery, budget int64) workflow.Future {
		return workflow.ExecuteActivity(ctx, feeds.Deliver, activities.DeliverInput{Tweet: in.Tweet, Delivery: from, Budget: budget})
	})
	if err != nil {
		return err
	}
	// Also of one that the tweet's deletion cut short: to how many feeds it came. The receipt of the deletion is there
	// already, and its state stays.
	if err := storeReceipt(ctx, in.Tweet, twtr.DeliveryComplete, d.Delivered); err != nil {
		return err
	}
	state := string(twtr.DeliveryComplete)
	if d.Deleted {
		state = "deleted"
	}
	return cmp.Or(workflow.UpsertTypedSearchAttributes(ctx, State.ValueSet(state), Delivered.ValueSet(d.Delivered)), settled(ctx))
}

func storeReceipt(ctx workflow.Context, t twtr.Tweet, state twtr.DeliveryState, delivered int64) error {
	return write(ctx, tweets.StoreReceipt, twtr.Receipt{
		TweetID:     t.ID,
		Username:    t.Username,
		State:       state,
		Delivered:   delivered,
		CompletedAt: workflow.Now(ctx).UTC().Truncate(time.Millisecond),
	}, nil)
}

// DeliveredSoFar asks Temporal how many feed items a delivery that runs has written, by what its steps last reported. No
// worker is needed for the answer. Of a delivery that Temporal doesn't know it is 0.
func DeliveredSoFar(ctx context.Context, c client.Client, tweetID uuid.UUID) (n int64, err error) {
	d, err := c.DescribeWorkflowExecution(ctx, postTweetID(tweetID), "")
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	decode := converter.GetDefaultDataConverter()
	if p, ok := d.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()[Delivered.GetName()]; ok {
		if err := decode.FromPayload(p, &n); err != nil {
			return 0, err
		}
	}
	for _, step := range d.GetPendingActivities() {
		var progress twtr.Delivery
		if step.GetHeartbeatDetails() == nil || step.GetActivityType().GetName() != "Deliver" {
			continue
		}
		if err := decode.FromPayloads(step.GetHeartbeatDetails(), &progress); err != nil {
			return 0, err
		}
		n += progress.Delivered
	}
	return n, nil
}

// DeleteTweetInput is a tweet to delete.
type DeleteTweetInput struct {
	TweetID  uuid.UUID `json:"tweetId"`
	Username string    `json:"username"` // its author
}

// StartOptions implements [Input].
func (in DeleteTweetInput) StartOptions() client.StartWorkflowOptions {
	options := start(TweetsQueue, "delete-tweet/"+in.TweetID.String(), in.Username+" deletes a tweet")
	options.TypedSearchAttributes = temporal.NewSearchAttributes(
		Author.ValueSet(in.Username),
		TweetID.ValueSet(in.TweetID.String()),
		State.ValueSet(string(twtr.DeliveryRetracting)),
	)
	return options
}

// Update implements [Input].
func (in DeleteTweetInput) Update() client.UpdateWorkflowOptions {
	return answer("deleted", "deleted")
}

// DeleteTweet removes a tweet for good, and then takes it out of the feeds of its author's followers. A delivery that
// still runs stops when it sees that the tweet is gone. Its update "deleted" answers when the author's list has it no more.
func DeleteTweet(ctx workflow.Context, in DeleteTweetInput) error {
	deleted, settle := workflow.NewFuture(ctx)
	err := workflow.SetUpdateHandler(ctx, "deleted", func(ctx workflow.Context) error { return deleted.Get(ctx, nil) })
	if err != nil {
		return err
	}
	tweet := twtr.Tweet{ID: in.TweetID, Username: in.Username}
	err = write(ctx, tweets.DeleteTweet, tweet, nil)
	settle.SetError(err)
	if err != nil {
		return cmp.Or(settled(ctx), err)
	}
	retract := activities.RetractInput{TweetID: in.TweetID, Author: in.Username, At: workflow.Now(ctx).UTC().Add(activities.RetractionLead)}
	d, err := fanOut(ctx, in.Username, "removed", func(ctx workflow.Context, from twtr.Delivery, budget int64) workflow.Future {
		step := retract
		step.Delivery, step.Budget = from, budget
		return workflow.ExecuteActivity(ctx, feeds.Retract, step)
	})
	if err != nil {
		return err
	}
	if err := storeReceipt(ctx, tweet, twtr.DeliveryRetracted, 0); err != nil {
		return err
	}
	state := State.ValueSet(string(twtr.DeliveryRetracted))
	return cmp.Or(workflow.UpsertTypedSearchAttributes(ctx, state, Delivered.ValueSet(d.Delivered)), settled(ctx))
}
