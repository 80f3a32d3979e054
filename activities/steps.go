package activities

import (
	"context"

	"go.temporal.io/sdk/activity"
)

// Step is a running step of a fan-out, as Temporal describes it.
type Step struct {
	// Bucket is the first of the buckets that it still has to visit, or -1: it has not told one yet.
	Bucket int `json:"bucket"`
	// Done counts the feeds that it had written at its last heartbeat.
	Done int64 `json:"done"`
	// Attempt counts its attempts, from 1, and Error is that of the last one that failed.
	Attempt int32  `json:"attempt"`
	Error   string `json:"error,omitempty"`
}

// Steps tells about running steps.
type Steps interface {
	// RunningSteps returns the running steps of the fan-out of that run.
	RunningSteps(ctx context.Context, workflowID, runID string) ([]Step, error)
}

// RunningSteps returns the running steps of the workflow that it is a part of.
func (a *Tweets) RunningSteps(ctx context.Context) ([]Step, error) {
	run := activity.GetInfo(ctx).WorkflowExecution
	return a.Steps.RunningSteps(ctx, run.ID, run.RunID)
}
