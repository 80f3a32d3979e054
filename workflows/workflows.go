// Package workflows holds the Temporal workflows that write users, tweets and follows: a file per domain, with each
// workflow's input, how it is started, and what it does.
//
// Workflow IDs name the thing that is worked on, and hold nothing secret.
package workflows

import (
	"errors"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// The task queues, one per domain.
const (
	UsersQueue     = "users"
	TweetsQueue    = "tweets"
	FollowersQueue = "followers"
	FeedsQueue     = "feeds"
)

// Input is the one argument of a workflow, and says how the workflow is started.
type Input interface {
	// StartOptions returns the workflow's ID, task queue and policies.
	StartOptions() client.StartWorkflowOptions
}

// Request is an input whose workflow is started together with an update, or joined by it. The update returns as soon as what
// it asks for is durable; the workflow continues with what follows from it.
type Request interface {
	Input
	// Update returns the options of that update.
	Update() client.UpdateWorkflowOptions
}

// Search attributes, to find workflows by in the Web UI. A namespace must know them before the first workflow starts.
var (
	Author  = temporal.NewSearchAttributeKeyKeyword("TwtrAuthor")
	TweetID = temporal.NewSearchAttributeKeyKeyword("TwtrTweetId")
	// Delivered counts the feed items of the completed steps of a delivery that has several; what the running steps have done
	// is in their heartbeats, and what the whole delivery did is in its result.
	Delivered = temporal.NewSearchAttributeKeyInt64("TwtrDelivered")
	// Failed counts the feeds that the store refused to write; absent if there are none.
	Failed = temporal.NewSearchAttributeKeyInt64("TwtrFailed")
)

// SearchAttributes lists all search attributes that the workflows set.
var SearchAttributes = []temporal.SearchAttributeKey{Author, TweetID, Delivered, Failed}

// startOptions are the options that all workflows share. The Web UI shows summary, one line, and details, Markdown, of each.
func startOptions(queue, id, summary, details string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:        id,
		TaskQueue: queue,
		// A caller that asks for the same thing while it is being processed joins it.
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		// After this the task of a worker that died goes to another one; the default is 10 s.
		WorkflowTaskTimeout: 5 * time.Second,
		StaticSummary:       summary,
		StaticDetails:       details,
	}
}

// updateOptions are those of an update whose caller waits until it is done. Of several with one id, a run executes one.
func updateOptions(name, id string, args ...any) client.UpdateWorkflowOptions {
	return client.UpdateWorkflowOptions{
		UpdateName:   name,
		UpdateID:     id,
		Args:         args,
		WaitForStage: client.WorkflowUpdateStageCompleted,
	}
}

// retryForever: once a workflow has answered its caller it must finish, and a failed run cannot be started again under its ID.
// The cap of 2 s lets work resume soon after the store recovers.
var retryForever = &temporal.RetryPolicy{
	InitialInterval:    100 * time.Millisecond,
	BackoffCoefficient: 2,
	MaximumInterval:    2 * time.Second,
}

var (
	// localOptions are those of the first attempt at a short read or write, within the workflow task: no round trip to the
	// server. Both timeouts are needed: with StartToClose alone there would be one attempt. After 2 s it gives up its
	// workflow task slot, long before the workflow task times out, so that an unavailable store does not starve other
	// workflows of the worker.
	localOptions = workflow.LocalActivityOptions{
		StartToCloseTimeout:    time.Second,
		ScheduleToCloseTimeout: 2 * time.Second,
		RetryPolicy:            retryForever,
	}
	// activityOptions are those of the second attempt, and of other short activities: they are retried by the server, for as
	// long as it takes.
	activityOptions = workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Second,
		RetryPolicy:         retryForever,
	}
	// walkOptions are those of a walk over an author's followers, on the workers of the feeds domain. It takes as long as there
	// are followers. A live worker heartbeats every second; after five missed heartbeats the activity is retried elsewhere.
	walkOptions = workflow.ActivityOptions{
		TaskQueue:           FeedsQueue,
		StartToCloseTimeout: 24 * time.Hour,
		HeartbeatTimeout:    5 * time.Second,
		RetryPolicy:         retryForever,
	}
)

// maxEvents is the number of events from which a run that takes signals or updates continues as new. It leaves room for those that
// arrive meanwhile: a run has less than 2,000 events in the end. The server suggests it at 4,096, or earlier if they are large.
const maxEvents = 1500

// isLong reports whether the run's history has become so long that it must continue as new.
func isLong(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() >= maxEvents
}

// short executes a short, idempotent activity of the workflow's own domain: in a local activity or, if the store is
// unavailable, as a regular one. What it returns is read into result, unless that is nil. It fails only with a permanent error of
// the domain, or when the workflow is canceled.
func short(ctx workflow.Context, activity, input, result any) error {
	err := workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, localOptions), activity, input).Get(ctx, result)
	if err == nil || permanent(err) {
		return err
	}
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, activityOptions), activity, input).Get(ctx, result)
}

func permanent(err error) bool {
	failure, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && failure.NonRetryable() || temporal.IsCanceledError(err)
}

// awaitHandlers returns when every caller of an update has its response.
func awaitHandlers(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

// outcome is what the callers of an update wait for.
type outcome struct {
	future  workflow.Future
	resolve workflow.Settable
}

// handleUpdate makes the update of that name return what its outcome is resolved to.
func handleUpdate(ctx workflow.Context, name string) (outcome, error) {
	var o outcome
	o.future, o.resolve = workflow.NewFuture(ctx)
	return o, workflow.SetUpdateHandler(ctx, name, func(ctx workflow.Context) error { return o.future.Get(ctx, nil) })
}
