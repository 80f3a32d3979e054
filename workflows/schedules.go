package workflows

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

var samples *activities.Samples

const (
	// sampleSince is the time before a scheduled run from which it takes its sample: a night's run looks at the day before it, and an
	// hour more.
	sampleSince = 25 * time.Hour
	// sampleTweets and sampleBuckets bound the histories: each tweet, and each bucket, takes three events, and one that is wrong six.
	sampleTweets, sampleBuckets = 100, 200
	// maxExamples is how many of those that were wrong the result names.
	maxExamples = 10
	// settleAfter is the time after which a count that still differs, and was not replaced, has drifted. A large bucket is counted
	// countWithin after a change.
	settleAfter = 2 * time.Minute
)

// sampleOptions are those of an activity that lists workflows, of which there may be many.
var sampleOptions = workflow.ActivityOptions{StartToCloseTimeout: 5 * time.Minute, RetryPolicy: retryForever}

// background has the activities of a scheduled run wait for all others of their task queue.
var background = temporal.Priority{PriorityKey: 5}

// AuditRecentInput has no choices: each night is the same.
type AuditRecentInput struct{}

// StartOptions implements [Input].
func (AuditRecentInput) StartOptions() client.StartWorkflowOptions {
	return startOptions(FeedsQueue, "audit-recent", "audit a sample of recent deliveries, and repair them",
		"Reads the feeds that should have each tweet of the sample, one tweet after the other, and corrects those that are wrong.")
}

// AuditRecentResult is what an audit of several deliveries found.
type AuditRecentResult struct {
	twtr.Audit
	// Tweets counts the deliveries that were audited.
	Tweets int `json:"tweets"`
	// Wrong counts those of them of which something was missing or extra, and Examples are some.
	Wrong    int         `json:"wrong,omitempty"`
	Examples []uuid.UUID `json:"examples,omitempty"`
}

// AuditRecent audits a sample of the deliveries of the last day, one after the other, and repairs what is wrong.
func AuditRecent(ctx workflow.Context, _ AuditRecentInput) (r AuditRecentResult, err error) {
	var tweets []uuid.UUID
	if err := sample(ctx, samples.SampleDeliveries, sampleTweets, &tweets); err != nil {
		return r, err
	}
	options := walkOptions
	options.Priority = background
	ctx = workflow.WithActivityOptions(ctx, options)
	for _, id := range tweets {
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("%d of %d deliveries audited: %d missing, %d extra", r.Tweets, len(tweets), r.Missing, r.Extra))
		var found twtr.Audit
		err := workflow.ExecuteActivity(ctx, feeds.AuditDelivery, activities.AuditDeliveryInput{TweetID: id, Repair: true}).Get(ctx, &found)
		if isNotFound(err) {
			continue // the account was deleted meanwhile
		}
		if err != nil {
			return r, err
		}
		r.add(id, found)
	}
	return r, nil
}

func (r *AuditRecentResult) add(id uuid.UUID, found twtr.Audit) {
	r.Tweets++
	r.Checked += found.Checked
	r.Missing += found.Missing
	r.Extra += found.Extra
	r.Failed += found.Failed
	if found.Missing+found.Extra == 0 {
		return
	}
	r.Wrong++
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, id)
	}
}

func isNotFound(err error) bool {
	failure, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && failure.Type() == string(twtr.NotFound)
}

// sample executes an activity that chooses what changed lately.
func sample(ctx workflow.Context, activity any, limit int, chosen any) error {
	in := activities.SampleInput{Since: workflow.Now(ctx).Add(-sampleSince).UTC(), Limit: limit}
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, sampleOptions), activity, in).Get(ctx, chosen)
}

// RecountDriftedInput has no choices: each night is the same.
type RecountDriftedInput struct{}

// StartOptions implements [Input].
func (RecountDriftedInput) StartOptions() client.StartWorkflowOptions {
	return startOptions(FollowersQueue, "recount-drifted", "check a sample of follower counts, and correct those that have drifted",
		"Counts the followers of a sample of users who gained or lost some within the last day.")
}

// RecountDriftedResult is what a check of follower counts found.
type RecountDriftedResult struct {
	// Checked counts the buckets that were counted.
	Checked int `json:"checked"`
	// Drifted counts those of them whose count was wrong, and Examples are some.
	Drifted  int                 `json:"drifted,omitempty"`
	Examples []activities.Bucket `json:"examples,omitempty"`
}

// RecountDrifted counts a sample of the buckets that have changed within the last day, and corrects the counts that have drifted: those
// that differ, and still do a while later although nothing has counted them since.
func RecountDrifted(ctx workflow.Context, _ RecountDriftedInput) (r RecountDriftedResult, err error) {
	var buckets []activities.Bucket
	if err := sample(ctx, samples.SampleBuckets, sampleBuckets, &buckets); err != nil {
		return r, err
	}
	options := activityOptions
	options.StartToCloseTimeout = countTimeout
	options.Priority = background
	ctx = workflow.WithActivityOptions(ctx, options)
	var differ []activities.CheckedCount
	for _, bucket := range buckets {
		var checked activities.CheckedCount
		if err := workflow.ExecuteActivity(ctx, followers.CheckCount, bucket).Get(ctx, &checked); err != nil {
			return r, err
		}
		r.Checked++
		if checked.Differs {
			differ = append(differ, checked)
		}
	}
	if len(differ) == 0 {
		return r, nil
	}
	if err := workflow.Sleep(ctx, settleAfter); err != nil {
		return r, err
	}
	for _, checked := range differ {
		drifted := false
		if err := workflow.ExecuteActivity(ctx, followers.CorrectCount, checked).Get(ctx, &drifted); err != nil {
			return r, err
		}
		if !drifted {
			continue
		}
		r.Drifted++
		if len(r.Examples) < maxExamples {
			r.Examples = append(r.Examples, checked.Bucket)
		}
	}
	return r, nil
}
