package workers

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr/workflows"
)

// histories finds and deletes histories through Temporal's API. It implements [activities.Histories], for activities: the
// histories are those of the activity's own namespace.
type histories struct {
	client client.Client
}

// DeletePosted implements [activities.Histories].
func (h histories) DeletePosted(ctx context.Context, tweetID uuid.UUID) (ended bool, err error) {
	d, err := h.client.DescribeWorkflowExecution(ctx, workflows.PostTweetID(tweetID), "")
	if isNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return false, nil // a deletion would terminate it
	}
	return true, h.delete(ctx, d.GetWorkflowExecutionInfo().GetExecution())
}

// CountRunning implements [activities.Histories].
func (h histories) CountRunning(ctx context.Context, author string) (int64, error) {
	count, err := h.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: ofAuthor(author, "=")})
	return count.GetCount(), err
}

const (
	// historyPage is how many histories are listed, and then deleted, at a time.
	historyPage = 500
	// deleters is how many of them are deleted concurrently.
	deleters = 8
)

// DeleteEnded implements [activities.Histories].
func (h histories) DeleteEnded(ctx context.Context, author string) (n int64, err error) {
	for token := []byte(nil); ; {
		page, err := h.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: ofAuthor(author, "!="), PageSize: historyPage, NextPageToken: token})
		if err != nil {
			return 0, err
		}
		g, deleting := errgroup.WithContext(ctx)
		g.SetLimit(deleters)
		for _, w := range page.GetExecutions() {
			g.Go(func() error { return h.delete(deleting, w.GetExecution()) })
		}
		if err := g.Wait(); err != nil {
			return n, err
		}
		n += int64(len(page.GetExecutions()))
		if token = page.GetNextPageToken(); len(token) == 0 {
			return n, nil
		}
	}
}

// ofAuthor is a query for the workflows of a user's tweets that are running (=) or are not (!=). A username needs no escaping.
func ofAuthor(author, operator string) string {
	return fmt.Sprintf("%s = '%s' AND ExecutionStatus %s 'Running'", workflows.Author.GetName(), author, operator)
}

// delete deletes the history of a run that has ended, unless it is deleted already.
func (h histories) delete(ctx context.Context, run *common.WorkflowExecution) error {
	_, err := h.client.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
		Namespace: activity.GetInfo(ctx).Namespace, WorkflowExecution: run})
	if isNotFound(err) {
		return nil
	}
	return err
}

func isNotFound(err error) bool {
	_, ok := errors.AsType[*serviceerror.NotFound](err)
	return ok
}
