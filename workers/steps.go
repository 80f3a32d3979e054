package workers

import (
	"context"

	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

// steps asks Temporal about running steps. It implements [activities.Steps].
type steps struct {
	client client.Client
}

// RunningSteps implements [activities.Steps].
func (s steps) RunningSteps(ctx context.Context, workflowID, runID string) ([]activities.Step, error) {
	d, err := s.client.DescribeWorkflowExecution(ctx, workflowID, runID)
	if err != nil {
		return nil, err
	}
	return workflows.RunningSteps(d)
}
