package workflows

import (
	"cmp"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

var feeds *activities.Feeds

// deliveryBudget is after how many feed items a delivery is cut into one activity a bucket: about a second's work of
// the slower engine, so that the second step is worth its events; nearly every author has fewer followers.
const deliveryBudget = 20_000

// deliver brings the tweet to the followers: in one activity, which is enough for nearly every tweet, and what that left
// in one activity a bucket, side by side. It calls show whenever it has come further.
func deliver(ctx workflow.Context, t twtr.Tweet, show func(twtr.Delivery)) error {
	input := activities.DeliverInput{Tweet: t, Delivery: twtr.NewDelivery(), Budget: deliveryBudget}
	show(input.Delivery)
	var d twtr.Delivery
	if err := workflow.ExecuteActivity(deliverTo(ctx, t, 2), feeds.Deliver, input).Get(ctx, &d); err != nil {
		return err
	}
	show(d)

	var failed error
	buckets := workflow.NewSelector(ctx)
	for _, cursor := range d.Left {
		input := activities.DeliverInput{Tweet: t, Delivery: twtr.Delivery{Left: []twtr.BucketCursor{cursor}}}
		buckets.AddFuture(workflow.ExecuteActivity(deliverTo(ctx, t, 4), feeds.Deliver, input), func(f workflow.Future) {
			var bucket twtr.Delivery
			if err := f.Get(ctx, &bucket); err != nil {
				failed = cmp.Or(failed, err)
				return
			}
			d.Delivered += bucket.Delivered
			d.Left = d.Left[1:] // only how many are left is of interest from here on
			show(d)
		})
	}
	for range len(d.Left) {
		buckets.Select(ctx)
	}
	return failed
}

// deliverTo are the options of a delivery. The first step of a tweet goes before another author's many buckets (1 is
// the highest priority, 3 the default, 5 the lowest), and authors take turns.
func deliverTo(ctx workflow.Context, t twtr.Tweet, priority int) workflow.Context {
	options := delivery
	options.Priority = temporal.Priority{PriorityKey: priority, FairnessKey: t.Username}
	return workflow.WithActivityOptions(ctx, options)
}

// backfill brings the newest tweets of an author to one reader.
func backfill(ctx workflow.Context, reader, author string) error {
	options := durable
	options.TaskQueue = FeedsQueue
	input := activities.BackfillInput{Reader: reader, Author: author}
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), feeds.Backfill, input).Get(ctx, nil)
}
