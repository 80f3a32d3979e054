package workflows

import (
	"cmp"
	"fmt"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

var feeds *activities.Feeds

// deliveryBudget is after how many feed items a delivery is cut into one activity a bucket: about a second's work of
// the slower engine, so that the second step is worth its events; nearly every author has fewer followers.
const deliveryBudget = 20_000

// fanOut goes to all followers of the author: in one step, which is enough for nearly every author, and what that left in
// one step a bucket, side by side. done is what it does, for who watches it.
func fanOut(ctx workflow.Context, author, done string, step func(ctx workflow.Context, from twtr.Delivery, budget int64) workflow.Future) (twtr.Delivery, error) {
	show := func(d twtr.Delivery) {
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("%d feed items %s; %d of %d buckets of followers left", d.Delivered, done, len(d.Left), twtr.FollowerBuckets))
	}
	show(twtr.NewDelivery())
	var d twtr.Delivery
	if err := step(fanOutContext(ctx, author, 2), twtr.NewDelivery(), deliveryBudget).Get(ctx, &d); err != nil {
		return d, err
	}
	show(d)

	var failed error
	buckets := workflow.NewSelector(ctx)
	for _, cursor := range d.Left {
		from := twtr.Delivery{Left: []twtr.BucketCursor{cursor}}
		buckets.AddFuture(step(fanOutContext(ctx, author, 4), from, 0), func(f workflow.Future) {
			var bucket twtr.Delivery
			if err := f.Get(ctx, &bucket); err != nil {
				failed = cmp.Or(failed, err)
				return
			}
			d.Delivered += bucket.Delivered
			d.Deleted = d.Deleted || bucket.Deleted
			d.Left = d.Left[1:] // only how many are left is of interest from here on
			show(d)
			failed = cmp.Or(failed, workflow.UpsertTypedSearchAttributes(ctx, Delivered.ValueSet(d.Delivered)))
		})
	}
	if len(d.Left) > 0 { // what the first step did isn't seen in its heartbeats any more
		failed = workflow.UpsertTypedSearchAttributes(ctx, Delivered.ValueSet(d.Delivered))
	}
	for range len(d.Left) {
		buckets.Select(ctx)
	}
	return d, failed
}

// fanOutContext has the options of a step. The first step of a tweet goes before another author's many buckets (1 is the
// highest priority, 3 the default, 5 the lowest), and authors take turns.
func fanOutContext(ctx workflow.Context, author string, priority int) workflow.Context {
	options := delivery
	options.Priority = temporal.Priority{PriorityKey: priority, FairnessKey: author}
	return workflow.WithActivityOptions(ctx, options)
}

// onFeeds does one of the feeds domain's short activities.
func onFeeds(ctx workflow.Context, activity, input any) error {
	options := durable
	options.TaskQueue = FeedsQueue
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), activity, input).Get(ctx, nil)
}

// RebuildFeedInput says whose feed to rebuild.
type RebuildFeedInput struct {
	Reader string `json:"reader"`
	// DryRun is to report what would be changed, and change nothing.
	DryRun bool `json:"dryRun,omitempty"`
}

// StartOptions are the workflow's ID and task queue. A dry run is a workflow of its own.
func (in RebuildFeedInput) StartOptions() client.StartWorkflowOptions {
	if in.DryRun {
		return start(FeedsQueue, "audit-feed/"+in.Reader, "audit the feed of "+in.Reader)
	}
	return start(FeedsQueue, "rebuild-feed/"+in.Reader, "rebuild the feed of "+in.Reader)
}

// RebuildFeed makes a feed what its reader's followings say, and reports what it was not.
func RebuildFeed(ctx workflow.Context, in RebuildFeedInput) (report twtr.Audit, err error) {
	ctx = workflow.WithActivityOptions(ctx, delivery)
	err = workflow.ExecuteActivity(ctx, feeds.RebuildFeed, activities.RebuildFeedInput(in)).Get(ctx, &report)
	return report, err
}

// AuditDeliveryInput says which tweet's delivery to audit.
type AuditDeliveryInput struct {
	TweetID uuid.UUID `json:"tweetId"`
	// Repair is to mend what is found.
	Repair bool `json:"repair,omitempty"`
}

// StartOptions are the workflow's ID and task queue. A repair is a workflow of its own.
func (in AuditDeliveryInput) StartOptions() client.StartWorkflowOptions {
	if in.Repair {
		return start(FeedsQueue, "repair-delivery/"+in.TweetID.String(), "repair the delivery of a tweet")
	}
	return start(FeedsQueue, "audit-delivery/"+in.TweetID.String(), "audit the delivery of a tweet")
}

// AuditDelivery reads again the feeds that a tweet was delivered to, or taken out of, and reports which it should not have
// missed.
func AuditDelivery(ctx workflow.Context, in AuditDeliveryInput) (report twtr.Audit, err error) {
	ctx = workflow.WithActivityOptions(ctx, delivery)
	err = workflow.ExecuteActivity(ctx, feeds.AuditDelivery, activities.AuditDeliveryInput(in)).Get(ctx, &report)
	return report, err
}
