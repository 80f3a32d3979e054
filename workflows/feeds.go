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

// The names of the activities that are the steps of a fan-out. Their heartbeats tell how far it is.
const (
	DeliverActivity = "Deliver"
	retractActivity = "Retract"
)

// deliveryBudget is the number of feed items after which a delivery is split into one activity per bucket: about a second's
// work of the slower engine, so that the second step is worth its events. Nearly every author has fewer followers.
const deliveryBudget = 20_000

// fanOut visits all followers of an author: in one step, which is enough for nearly every author, and what that leaves in
// concurrent steps, one per bucket.
type fanOut struct {
	author string
	step   func(ctx workflow.Context, from twtr.Progress, budget int64) workflow.Future

	done     int64
	failed   int64    // feeds that the store refused to write
	readers  []string // the first of these
	deleted  bool
	split    bool // the first step is complete, and left some buckets
	left     int  // buckets
	complete [twtr.FollowerBuckets]bool
	// version is 1 for runs that look at their running steps and upsert Failed, and [workflow.DefaultVersion] for earlier ones.
	version workflow.Version
	progress
}

func newFanOut(ctx workflow.Context, author, verb string) *fanOut {
	now := workflow.Now(ctx)
	return &fanOut{author: author, left: twtr.FollowerBuckets, progress: progress{verb: verb, began: now, looked: now}}
}

// run takes all steps. If the first one is enough, it upserts no search attribute: that would be a third visibility record of
// a workflow that closes right after it.
func (f *fanOut) run(ctx workflow.Context) error {
	f.show(ctx)
	var first activities.DeliverResult
	if err := f.step(f.options(ctx, "all followers", 2), twtr.NewProgress(), deliveryBudget).Get(ctx, &first); err != nil {
		return err
	}
	f.left = len(first.Left)
	f.split = f.left > 0
	f.followers = first.Followers
	if f.split || first.Failed > 0 {
		f.version = workflow.GetVersion(ctx, "progress", workflow.DefaultVersion, 1)
	}
	if err := f.add(ctx, first); err != nil || f.left == 0 {
		return err
	}
	f.measure(ctx)
	f.show(ctx)
	if f.version != workflow.DefaultVersion {
		watching, stop := workflow.WithCancel(ctx)
		workflow.Go(watching, f.watch)
		defer stop()
	}
	return f.runBuckets(ctx, first.Left)
}

func (f *fanOut) runBuckets(ctx workflow.Context, left []twtr.BucketCursor) (failed error) {
	buckets := workflow.NewSelector(ctx)
	for _, cursor := range left {
		summary := fmt.Sprintf("followers, bucket %d of %d", cursor.Bucket+1, twtr.FollowerBuckets)
		from := twtr.Progress{Left: []twtr.BucketCursor{cursor}}
		buckets.AddFuture(f.step(f.options(ctx, summary, 4), from, 0), func(future workflow.Future) {
			var bucket activities.DeliverResult
			if err := future.Get(ctx, &bucket); err != nil {
				failed = cmp.Or(failed, err)
				return
			}
			f.left--
			f.complete[cursor.Bucket], f.running[cursor.Bucket] = true, 0
			failed = cmp.Or(failed, f.add(ctx, bucket))
		})
	}
	for range left {
		buckets.Select(ctx)
	}
	return failed
}

// add counts what a step did and, while others run, makes it visible.
func (f *fanOut) add(ctx workflow.Context, r activities.DeliverResult) error {
	f.done += r.Done
	f.failed += r.Failed
	f.readers = append(f.readers, r.FailedReaders[:min(len(r.FailedReaders), twtr.MaxFailedReaders-len(f.readers))]...)
	f.deleted = f.deleted || r.Deleted
	f.show(ctx)
	var upserts []temporal.SearchAttributeUpdate
	if f.left > 0 {
		upserts = append(upserts, Delivered.ValueSet(f.done))
	}
	if r.Failed > 0 && f.version != workflow.DefaultVersion {
		upserts = append(upserts, Failed.ValueSet(f.failed))
	}
	if len(upserts) == 0 {
		return nil
	}
	return workflow.UpsertTypedSearchAttributes(ctx, upserts...)
}

// options are those of a step. The first step of a tweet has priority over the bucket steps of other authors (1 is the highest
// priority, 3 the default, 5 the lowest), and authors take turns.
func (f *fanOut) options(ctx workflow.Context, summary string, priority int) workflow.Context {
	options := walkOptions
	options.Summary = summary
	options.Priority = temporal.Priority{PriorityKey: priority, FairnessKey: f.author}
	return workflow.WithActivityOptions(ctx, options)
}

// inHeartbeat ends the details of a workflow that is one long activity: it has no event, and so no current details, meanwhile.
const inHeartbeat = " How far it is: the heartbeat in *Pending Activities*."

// RebuildFeedInput says whose feed to rebuild.
type RebuildFeedInput struct {
	Reader string `json:"reader"`
	// DryRun reports what would be changed, and changes nothing.
	DryRun bool `json:"dryRun,omitempty"`
}

// StartOptions implements [Input]. A dry run is a workflow of its own.
func (in RebuildFeedInput) StartOptions() client.StartWorkflowOptions {
	if in.DryRun {
		return startOptions(FeedsQueue, "audit-feed/"+in.Reader, "audit the feed of "+in.Reader,
			"Compares the feed with the users whom its reader follows, and changes nothing."+inHeartbeat)
	}
	return startOptions(FeedsQueue, "rebuild-feed/"+in.Reader, "rebuild the feed of "+in.Reader,
		"Compares the feed with the users whom its reader follows, adds what is missing and removes what is extra."+inHeartbeat)
}

// RebuildFeed rebuilds a feed from the users whom its reader follows, or only looks, and returns the differences that it found.
func RebuildFeed(ctx workflow.Context, in RebuildFeedInput) (report twtr.Audit, err error) {
	options := walkOptions
	options.Summary = "the feed of " + in.Reader
	ctx = workflow.WithActivityOptions(ctx, options)
	err = workflow.ExecuteActivity(ctx, feeds.RebuildFeed, activities.RebuildFeedInput(in)).Get(ctx, &report)
	return report, err
}

// AuditDeliveryInput says which tweet's delivery to audit.
type AuditDeliveryInput struct {
	TweetID uuid.UUID `json:"tweetId"`
	// Repair adds what is missing and removes what is extra.
	Repair bool `json:"repair,omitempty"`
}

// StartOptions implements [Input]. A repair is a workflow of its own.
func (in AuditDeliveryInput) StartOptions() client.StartWorkflowOptions {
	if in.Repair {
		return startOptions(FeedsQueue, "repair-delivery/"+in.TweetID.String(), "repair the delivery of a tweet",
			"Reads the feeds that should have the tweet, or should not if it is deleted, and corrects those that are wrong."+inHeartbeat)
	}
	return startOptions(FeedsQueue, "audit-delivery/"+in.TweetID.String(), "audit the delivery of a tweet",
		"Reads the feeds that should have the tweet, or should not if it is deleted, and changes nothing."+inHeartbeat)
}

// AuditDelivery reads again the feeds that a tweet was delivered to, or removed from, and counts those that are wrong. It fails with a
// [twtr.NotFound] error if the tweet never existed.
func AuditDelivery(ctx workflow.Context, in AuditDeliveryInput) (report twtr.Audit, err error) {
	options := walkOptions
	options.Summary = "the feeds of all followers"
	ctx = workflow.WithActivityOptions(ctx, options)
	err = workflow.ExecuteActivity(ctx, feeds.AuditDelivery, activities.AuditDeliveryInput(in)).Get(ctx, &report)
	return report, err
}
