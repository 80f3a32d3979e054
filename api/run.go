package api

import (
	"context"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr/internal/requestid"
	"github.com/twtr-dev/twtr/internal/temporalerr"
	"github.com/twtr-dev/twtr/workflows"
)

// workflowOf is a workflow whose input is In, and that returns nothing or one of the results.
type workflowOf[In any] interface {
	func(workflow.Context, In) error |
		func(workflow.Context, In) (workflows.DeliveryResult, error) |
		func(workflow.Context, In) (workflows.RetractionResult, error) |
		func(workflow.Context, In) (workflows.ErasureResult, error)
}

// start starts a workflow and returns when Temporal has stored it: from then on it runs, whatever else fails. If a workflow of
// the same ID is running, or has ended and must not run again, start does nothing, which is a success, too.
func start[In workflows.Input, Workflow workflowOf[In]](ctx context.Context, c client.Client, wf Workflow, in In) error {
	options := startOptions(ctx, in)
	_, err := c.ExecuteWorkflow(ctx, options, wf, in)
	return temporalError("", err)
}

// run starts a workflow, or joins the one that does the same thing, and returns when what its update promises is durable.
// After [twtr.Unavailable] the outcome is unknown: the workflow may have been accepted, and continue.
func run[In workflows.Request, Workflow workflowOf[In]](ctx context.Context, c client.Client, wf Workflow, in In) error {
	options := startOptions(ctx, in)
	handle, err := c.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: c.NewWithStartWorkflowOperation(options, wf, in),
		UpdateOptions:          in.Update(),
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	return temporalError(options.TaskQueue, err)
}

// startOptions are the workflow's, with the ID of the request that starts it in its memo. A request that joins a run leaves the memo.
func startOptions(ctx context.Context, in workflows.Input) client.StartWorkflowOptions {
	options := in.StartOptions()
	options.Memo = map[string]any{requestid.Key: requestid.From(ctx)}
	return options
}

// temporalError turns an error of Temporal's client into one of the domain. The queue is that of the workers that may have been
// too slow; "" if it was not theirs to answer.
func temporalError(queue string, err error) error {
	if err == nil {
		return nil
	}
	return temporalerr.FromTemporal(&dependencyError{dependency: "Temporal", queue: queue, err: err})
}
