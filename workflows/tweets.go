package workflows

import (
	"cmp"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

var tweets *activities.Tweets

// PostTweetInput is the input of [PostTweet]: the tweet to post.
type PostTweetInput struct {
	Tweet twtr.Tweet `json:"tweet"`
	// Announce says that events are published: of the tweet, and of the end of its delivery.
	Announce bool `json:"announce,omitempty"`
}

// PostTweetID is the ID of the workflow that posts the tweet.
func PostTweetID(tweetID uuid.UUID) string { return "post-tweet/" + tweetID.String() }

// StartOptions implements [Input].
func (in PostTweetInput) StartOptions() client.StartWorkflowOptions {
	options := startOptions(TweetsQueue, PostTweetID(in.Tweet.ID), in.Tweet.Username+" tweets",
		"Stores the tweet and writes it into the feeds of its author's followers: in one step, or in one more for each bucket of followers.")
	// A tweet is posted, and delivered, once.
	options.WorkflowIDReusePolicy = enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	// A worker in the API's process, as in make run, gets the first task with the response to the start.
	options.EnableEagerStart = true
	options.TypedSearchAttributes = temporal.NewSearchAttributes(
		Author.ValueSet(in.Tweet.Username),
		TweetID.ValueSet(in.Tweet.ID.String()),
	)
	return options
}

// DeliveryResult is the result of [PostTweet].
type DeliveryResult struct {
	// Delivered counts the feed items that were written.
	Delivered int64 `json:"delivered"`
	// Failed counts the feeds that the store refused to write, and FailedReaders are some of them.
	Failed        int64    `json:"failed,omitempty"`
	FailedReaders []string `json:"failedReaders,omitempty"`
	// Deleted says that the delivery stopped because the tweet was deleted.
	Deleted bool `json:"deleted,omitempty"`
}

// PostTweet stores a tweet and then delivers it to the feeds of its author's followers, until it is deleted. The API, which
// starts it, does not wait for it but stores the same tweet, too: whichever comes first, nothing is lost if the other fails.
func PostTweet(ctx workflow.Context, in PostTweetInput) (DeliveryResult, error) {
	announced := announce(ctx, in.Announce, true)
	result, err := storeAndDeliver(ctx, in, announced)
	return result, cmp.Or(err, announced.await(ctx))
}

func storeAndDeliver(ctx workflow.Context, in PostTweetInput, announced *announcements) (DeliveryResult, error) {
	if err := short(ctx, tweets.StoreTweet, in.Tweet, nil); err != nil {
		return DeliveryResult{}, err
	}
	announced.add(twtr.PostedEvent(in.Tweet))
	f := newFanOut(ctx, in.Tweet.Username, "delivered")
	f.step = func(ctx workflow.Context, from twtr.Progress, budget int64) workflow.Future {
		return workflow.ExecuteActivity(ctx, feeds.Deliver, activities.DeliverInput{
			TweetID: in.Tweet.ID, Author: in.Tweet.Username, From: from, Budget: budget})
	}
	if err := f.run(ctx); err != nil {
		return DeliveryResult{}, err
	}
	// Also if a deletion stopped the delivery: how many feeds it reached. The deletion's receipt exists already, and its state
	// stays.
	receipt, err := storeReceipt(ctx, in.Tweet, twtr.DeliveryComplete, f.done, f.failed)
	if err == nil {
		announced.add(twtr.DeliveredEvent(receipt, f.deleted))
	}
	return DeliveryResult{Delivered: f.done, Failed: f.failed, FailedReaders: f.readers, Deleted: f.deleted}, err
}

func storeReceipt(ctx workflow.Context, t twtr.Tweet, state twtr.DeliveryState, delivered, failed int64) (twtr.Receipt, error) {
	receipt := twtr.Receipt{
		TweetID:     t.ID,
		Username:    t.Username,
		State:       state,
		Delivered:   delivered,
		Failed:      failed,
		CompletedAt: workflow.Now(ctx).UTC().Truncate(time.Millisecond),
	}
	return receipt, short(ctx, tweets.StoreReceipt, receipt, nil)
}

// DeleteTweetInput is the input of [DeleteTweet]: the tweet to delete.
type DeleteTweetInput struct {
	TweetID  uuid.UUID `json:"tweetId"`
	Username string    `json:"username"` // its author
	// Announce says that an event is published.
	Announce bool `json:"announce,omitempty"`
}

// StartOptions implements [Input].
func (in DeleteTweetInput) StartOptions() client.StartWorkflowOptions {
	options := startOptions(TweetsQueue, "delete-tweet/"+in.TweetID.String(), in.Username+" deletes a tweet",
		"Deletes the tweet, removes it from the feeds of its author's followers, and deletes the history of its PostTweet.")
	options.TypedSearchAttributes = temporal.NewSearchAttributes(
		Author.ValueSet(in.Username),
		TweetID.ValueSet(in.TweetID.String()),
	)
	return options
}

const updateDeleted = "deleted"

// Update implements [Request].
func (in DeleteTweetInput) Update() client.UpdateWorkflowOptions {
	return updateOptions(updateDeleted, updateDeleted)
}

// RetractionResult is the result of [DeleteTweet].
type RetractionResult struct {
	// Retracted counts the feeds that the tweet was removed from, also those that did not hold it.
	Retracted int64 `json:"retracted"`
	// Failed counts the feeds that the store refused to write, and FailedReaders are some of them. They may still have the tweet.
	Failed        int64    `json:"failed,omitempty"`
	FailedReaders []string `json:"failedReaders,omitempty"`
}

// DeleteTweet removes a tweet for good, and then from the feeds of its author's followers. A delivery that is still running
// stops when it sees that the tweet is gone. The update "deleted" returns when the author's list no longer has it. The last step
// deletes the history of the workflow that posted the tweet, which has its text.
func DeleteTweet(ctx workflow.Context, in DeleteTweetInput) (RetractionResult, error) {
	deleted, err := handleUpdate(ctx, updateDeleted)
	if err != nil {
		return RetractionResult{}, err
	}
	announced := announce(ctx, in.Announce, false)
	tweet := twtr.Tweet{ID: in.TweetID, Username: in.Username}
	err = short(ctx, tweets.DeleteTweet, tweet, nil)
	deleted.resolve.SetError(err)
	if err != nil {
		return RetractionResult{}, cmp.Or(awaitHandlers(ctx), err)
	}
	announced.add(twtr.DeletedEvent(in.TweetID, in.Username, workflow.Now(ctx)))
	result, err := retract(ctx, tweet)
	return result, cmp.Or(err, awaitHandlers(ctx), announced.await(ctx))
}

// retract removes a deleted tweet from the feeds of its author's followers, and what Temporal has of it.
func retract(ctx workflow.Context, tweet twtr.Tweet) (RetractionResult, error) {
	in := activities.RetractInput{TweetID: tweet.ID, Author: tweet.Username, At: activities.RetractionTime(workflow.Now(ctx), tweet.ID)}
	f := newFanOut(ctx, tweet.Username, "removed")
	f.step = func(ctx workflow.Context, from twtr.Progress, budget int64) workflow.Future {
		step := in
		step.From, step.Budget = from, budget
		return workflow.ExecuteActivity(ctx, feeds.Retract, step)
	}
	if err := f.run(ctx); err != nil {
		return RetractionResult{}, err
	}
	if _, err := storeReceipt(ctx, tweet, twtr.DeliveryRetracted, 0, f.failed); err != nil {
		return RetractionResult{}, err
	}
	err := short(ctx, tweets.DeleteHistory, tweet.ID, nil)
	return RetractionResult{Retracted: f.done, Failed: f.failed, FailedReaders: f.readers}, err
}
