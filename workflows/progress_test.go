package workflows_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

// RunningSteps implements [activities.Steps].
func (e *env) RunningSteps(context.Context, string, string) ([]activities.Step, error) {
	e.looks++
	return e.steps, e.lookErr
}

// details are the current details of the workflow.
func (e *env) details() string {
	e.t.Helper()
	value, err := e.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(e.t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(e.t, value.Get(&metadata))
	return metadata.GetCurrentDetails()
}

const link = "\n[Pending Activities](/namespaces/default-test-namespace/workflows/default-test-workflow-id/default-test-run-id/pending-activities) " +
	"have what each step has done since, and its last error.\n"

// deliverBuckets makes deliveries leave two buckets to 60,000 followers, of which one takes 18 s and the other a day.
func (e *env) deliverBuckets() {
	var feeds *activities.Feeds
	bucket := func(b int) any {
		return mock.MatchedBy(func(in activities.DeliverInput) bool { return len(in.From.Left) == 1 && in.From.Left[0].Bucket == b })
	}
	all := mock.MatchedBy(func(in activities.DeliverInput) bool { return in.Budget > 0 })
	left := []twtr.BucketCursor{{Bucket: 2, After: "m"}, {Bucket: 5, After: "n"}}
	e.OnActivity(feeds.Deliver, mock.Anything, all).Return(
		activities.DeliverResult{Progress: twtr.Progress{Left: left, Done: 20_000, Followers: 60_000}}, nil).After(2 * time.Second)
	e.OnActivity(feeds.Deliver, mock.Anything, bucket(2)).Return(
		activities.DeliverResult{Progress: twtr.Progress{Done: 15_000, Failed: 1, FailedReaders: []string{"bob"}}}, nil).After(18 * time.Second)
	e.OnActivity(feeds.Deliver, mock.Anything, bucket(5)).Return(
		activities.DeliverResult{Progress: twtr.Progress{Done: 25_000}}, nil).After(24 * time.Hour)
	e.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil)
}

func TestADeliveryTellsHowFarItIs(t *testing.T) {
	e := newEnv(t)
	e.deliverBuckets()
	told := map[string]string{}
	at := func(after time.Duration, name string, steps ...activities.Step) {
		e.RegisterDelayedCallback(func() { told[name], e.steps = e.details(), steps }, after)
	}
	at(time.Second, "first step")
	at(3*time.Second, "split", activities.Step{Bucket: 2, Done: 5000, Attempt: 1}, activities.Step{Bucket: 5, Done: 5000, Attempt: 1})
	at(8*time.Second, "a look", activities.Step{Bucket: 2, Done: 5000, Attempt: 7, Error: "the `store`\n<b>is</b> unavailable"}, activities.Step{Bucket: 5, Done: 6000, Attempt: 2, Error: "x"})
	at(13*time.Second, "errors", activities.Step{Bucket: 2, Done: 7000, Attempt: 8}, activities.Step{Bucket: 5, Done: 8000, Attempt: 1})
	at(21*time.Second, "a bucket is complete")
	e.post(newTweet(t))
	require.Equal(t, map[string]string{
		"first step": `- **delivered**: 0 feeds
- **left**: the first step, for up to about 20,000 followers
- **as of**: 2026-11-01 12:00:00 UTC, 0s after the start
` + link,
		"split": `- **delivered**: 20,000 of about 60,000 feeds (33%)
- **rate**: 10,000 feeds a second; about 4s left
- **left**: 2 of 16 buckets of followers
- **as of**: 2026-11-01 12:00:02 UTC, 2s after the start
` + link,
		"a look": `- **delivered**: 30,000 of about 60,000 feeds (50%)
- **rate**: 2,000 feeds a second; about 15s left
- **left**: 2 of 16 buckets of followers
- **as of**: 2026-11-01 12:00:07 UTC, 7s after the start
` + link,
		"errors": `- **delivered**: 31,000 of about 60,000 feeds (51%)
- **rate**: 200 feeds a second; about 2m25s left
- **left**: 2 of 16 buckets of followers
` + "- **last error**: `the 'store' <b>is</b> unavailable` (bucket 3, attempt 7; 2 of the running steps were retried)" + `
- **as of**: 2026-11-01 12:00:12 UTC, 12s after the start
` + link,
		"a bucket is complete": `- **delivered**: 43,000 of about 60,000 feeds (71%)
- **rate**: 800 feeds a second; about 21s left
- **left**: 1 of 16 buckets of followers
- **refused by the store**: 1 feeds, such as that of bob
- **as of**: 2026-11-01 12:00:20 UTC, 20s after the start
` + link,
	}, told)
	require.Equal(t, `- **delivered**: 60,000 feeds
- **left**: nothing
- **refused by the store**: 1 feeds, such as that of bob
- **as of**: 2026-11-02 12:00:02 UTC, 24h0m2s after the start
`, e.details())
	require.Less(t, e.looks, 60, "in a day")
}

func TestTheErrorOfARunningStepIsReadAlsoIfFailuresAreEncrypted(t *testing.T) {
	for _, encode := range []bool{false, true} {
		convert := temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{EncodeCommonAttributes: encode})
		steps, err := workflows.RunningSteps(&workflowservice.DescribeWorkflowExecutionResponse{PendingActivities: []*workflowpb.PendingActivityInfo{{
			ActivityType: &common.ActivityType{Name: "Retract"}, Attempt: 3,
			LastFailure: convert.ErrorToFailure(temporal.NewApplicationError("the store "+strings.Repeat("é", 200), "unavailable")),
		}}})
		require.NoError(t, err)
		require.Equal(t, []activities.Step{{Bucket: -1, Attempt: 3, Error: "the store " + strings.Repeat("é", 145)}}, steps)
	}
}

func TestADeliveryNeedsNoLookAtItsSteps(t *testing.T) {
	e := newEnv(t)
	e.deliverBuckets()
	e.lookErr = errors.New("not permitted")
	require.Equal(t, workflows.DeliveryResult{Delivered: 60_000, Failed: 1, FailedReaders: []string{"bob"}}, e.post(newTweet(t)))
	require.Positive(t, e.looks)
}
