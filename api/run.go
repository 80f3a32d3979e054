package api

import (
	"context"
	"errors"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr/internal/crossing"
	"github.com/twtr-dev/twtr/workflows"
)

// run starts a workflow, or joins the one that does the same thing, and returns when what it promises its caller is
// durable. [twtr.Unavailable] means that the outcome is not known: the workflow may well have been accepted, and go on.
func run[In workflows.Input](ctx context.Context, c client.Client, wf func(workflow.Context, In) error, in In) error {
	options := in.StartOptions()
	handle, err := c.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: c.NewWithStartWorkflowOperation(options, wf, in),
		UpdateOptions:          in.Update(),
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) { // the same input was worked on before, to its end
		err = c.GetWorkflow(ctx, options.ID, "").Get(ctx, nil)
	}
	return crossing.FromTemporal(err)
}
