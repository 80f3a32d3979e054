package workflows

import (
	"cmp"
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
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

// StartOptions implements [Input].
func (in PostTweetInput) StartOptions() client.StartWorkflowOptions {
	options := start(TweetsQueue, "post-tweet/"+in.Tweet.ID.String(), in.Tweet.Username+" tweets")
	// A tweet is posted, and delivered, once.
	options.WorkflowIDReusePolicy = enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	options.TypedSearchAttributes = temporal.NewSearchAttributes(
		Author.ValueSet(in.Tweet.Username),
		TweetID.ValueSet(in.Tweet.ID.String()),
		State.ValueSet("running"),
	)
	return options
}

// Update implements [Input].
func (in PostTweetInput) Update() client.UpdateWorkflowOptions {
	return answer("stored", "stored")
}

// PostTweet stores a tweet and then delivers it to the feeds of its author's followers. Its update "stored" answers
// when the tweet is durable.
func PostTweet(ctx workflow.Context, in PostTweetInput) error {
	stored, settle := workflow.NewFuture(ctx)
	err := workflow.SetUpdateHandler(ctx, "stored", func(ctx workflow.Context) error { return stored.Get(ctx, nil) })
	if err != nil {
		return err
	}
	err = write(ctx, tweets.StoreTweet, in.Tweet)
	settle.SetError(err)
	if err != nil {
		return cmp.Or(settled(ctx), err)
	}
	err = deliver(ctx, in.Tweet, func(d twtr.Delivery) {
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("%d feed items delivered; %d of %d buckets of followers left",
			d.Delivered, len(d.Left), twtr.FollowerBuckets))
	})
	if err != nil {
		return err
	}
	return cmp.Or(workflow.UpsertTypedSearchAttributes(ctx, State.ValueSet("complete")), settled(ctx))
}
