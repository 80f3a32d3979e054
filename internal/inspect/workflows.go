package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"golang.org/x/sync/errgroup"
)

const (
	// Deliveries is the query for deliveries, whether they run or not.
	Deliveries = "WorkflowType = 'PostTweet'"
	// Listed is how many workflows one call lists.
	Listed = 200
	// maxProbes bounds the search for the workflows that have run longest.
	maxProbes = 12
)

// Running returns running workflows that the query finds, those that have run longest first, and how many there are. If there are more
// than one call lists, it returns the oldest, the newest, and some between them. That takes up to 2 + maxProbes calls. Of more than
// [Listed] that began at nearly the same time, it may miss the very oldest.
func Running(ctx context.Context, c client.Client, query string) (found []*workflow.WorkflowExecutionInfo, n int64, err error) {
	query += " AND ExecutionStatus = 'Running'"
	page, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: Listed})
	if err != nil {
		return nil, 0, err
	}
	found, n = page.GetExecutions(), int64(len(page.GetExecutions()))
	if len(page.GetNextPageToken()) > 0 && len(found) > 0 {
		total, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
		if err != nil {
			return nil, 0, err
		}
		n = total.GetCount()
		older, err := oldest(ctx, c, query, found)
		if err != nil {
			return nil, 0, err
		}
		found = append(found, older...)
	}
	slices.SortFunc(found, func(a, b *workflow.WorkflowExecutionInfo) int {
		return cmp.Or(a.GetStartTime().AsTime().Compare(b.GetStartTime().AsTime()),
			cmp.Compare(a.GetExecution().GetRunId(), b.GetExecution().GetRunId()))
	})
	found = slices.CompactFunc(found, func(a, b *workflow.WorkflowExecutionInfo) bool {
		return a.GetExecution().GetRunId() == b.GetExecution().GetRunId()
	})
	return found, n, nil
}

// oldest returns the workflows that have run longest, given the newest. Temporal lists the newest first, and not every visibility store
// can sort. So this looks for an age that some have reached, but no more than one call lists: four times the age each time until too
// few have, and then between the two.
func oldest(ctx context.Context, c client.Client, query string, newest []*workflow.WorkflowExecutionInfo) (found []*workflow.WorkflowExecutionInfo, err error) {
	zero := newest[0].GetStartTime().AsTime()
	age := func(of []*workflow.WorkflowExecutionInfo) time.Duration {
		return max(time.Millisecond, zero.Sub(of[len(of)-1].GetStartTime().AsTime()))
	}
	reached, missed := age(newest), time.Duration(0) // by more than one call lists, and by none; 0: unknown
	for range maxProbes {
		probe := 4 * reached
		if missed > 0 {
			probe = time.Duration(math.Sqrt(float64(reached) * float64(missed)))
		}
		page, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: fmt.Sprintf("%s AND StartTime < '%s'", query, zero.Add(-probe).Format(time.RFC3339Nano)), PageSize: Listed})
		if err != nil {
			return nil, err
		}
		found = append(found, page.GetExecutions()...)
		switch {
		case len(page.GetExecutions()) == 0:
			missed = probe
		case len(page.GetNextPageToken()) == 0:
			return found, nil
		default:
			reached = max(probe, age(page.GetExecutions()))
		}
	}
	return found, nil
}

// Describe returns the descriptions of those workflows that still run, and nil for the others.
func Describe(ctx context.Context, c client.Client, all []*workflow.WorkflowExecutionInfo) ([]*workflowservice.DescribeWorkflowExecutionResponse, error) {
	described := make([]*workflowservice.DescribeWorkflowExecutionResponse, len(all))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrency)
	for i, info := range all {
		g.Go(func() error {
			d, err := c.DescribeWorkflowExecution(ctx, info.GetExecution().GetWorkflowId(), info.GetExecution().GetRunId())
			if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
				return nil
			}
			if d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
				described[i] = d
			}
			return err
		})
	}
	return described, g.Wait()
}

// Failure is an activity, or a workflow task, that has failed and is retried.
type Failure struct {
	WorkflowID string
	Activity   string
	Attempt    int32
	Error      string
}

// Failures returns the activities of a workflow that have failed and are retried, and its workflow task if that is.
func Failures(d *workflowservice.DescribeWorkflowExecutionResponse) (failures []Failure) {
	id := d.GetWorkflowExecutionInfo().GetExecution().GetWorkflowId()
	if task := d.GetPendingWorkflowTask(); task.GetAttempt() > 1 {
		failures = append(failures, Failure{id, "workflow task", task.GetAttempt(),
			"the cause is in the log of the worker: a build that cannot continue the workflow, or a worker that died"})
	}
	for _, activity := range d.GetPendingActivities() {
		failure := activity.GetLastFailure()
		if failure == nil {
			continue
		}
		converter.DecodeCommonFailureAttributes(converter.GetDefaultDataConverter(), failure)
		failures = append(failures, Failure{id, activity.GetActivityType().GetName(), activity.GetAttempt(), failure.GetMessage()})
	}
	return failures
}
