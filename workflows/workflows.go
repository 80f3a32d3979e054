// Package workflows holds everything that changes data, as Temporal workflows: a file a domain, with each workflow's
// input, how it is started, and what it does.
//
// A caller starts a workflow together with an update that answers as soon as what it asked for is durable; the workflow
// goes on with what follows from it. Workflow IDs name the thing that is worked on, and hold nothing secret.
package workflows

import (
	"errors"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// The task queues, one a domain.
const (
	UsersQueue     = "users"
	TweetsQueue    = "tweets"
	FollowersQueue = "followers"
	FeedsQueue     = "feeds"
)

// Input is the one argument of a workflow, and says how that is started.
type Input interface {
	// StartOptions are the workflow's ID, task queue and policies.
	StartOptions() client.StartWorkflowOptions
	// Update is the update that is sent with the start, and whose outcome is the answer.
	Update() client.UpdateWorkflowOptions
}

// Search attributes, to find a workflow by in the Web UI. A namespace must know them before the first workflow starts.
var (
	Author  = temporal.NewSearchAttributeKeyKeyword("TwtrAuthor")
	TweetID = temporal.NewSearchAttributeKeyKeyword("TwtrTweetId")
	State   = temporal.NewSearchAttributeKeyKeyword("TwtrState")
	// Delivered counts the feed items of the steps that have ended; what those under way have done is in their heartbeats.
	Delivered = temporal.NewSearchAttributeKeyInt64("TwtrDelivered")
)

// SearchAttributes are all that the workflows use.
var SearchAttributes = []temporal.SearchAttributeKey{Author, TweetID, State, Delivered}

// start are the options that all workflows share.
func start(queue, id, summary string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:        id,
		TaskQueue: queue,
		// Whoever asks for the same thing while it is worked on joins it.
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		// What a worker that died had in hand is another's after this; the default is 10 s.
		WorkflowTaskTimeout: 5 * time.Second,
		StaticSummary:       summary,
	}
}

// answer is the update of that name; its ID makes one that is sent twice to a run be done once.
func answer(name, id string, args ...any) client.UpdateWorkflowOptions {
	return client.UpdateWorkflowOptions{
		UpdateName:   name,
		UpdateID:     id,
		Args:         args,
		WaitForStage: client.WorkflowUpdateStageCompleted,
	}
}

// untilDone tries without end: what a workflow has promised is done late rather than not at all, and a run that failed
// could not be had again under its ID. Seconds after the store is back, so is the delivery.
var untilDone = &temporal.RetryPolicy{
	InitialInterval:    100 * time.Millisecond,
	BackoffCoefficient: 2,
	MaximumInterval:    2 * time.Second,
}

var (
	// quick is the first try at a short write, within the workflow task: no round trip to the server. Both limits are
	// needed: with StartToClose alone it would be tried once. After 2 s it gives up its workflow task slot, long
	// before the workflow task times out, so that a store that is away can't starve other workflows of the worker.
	quick = workflow.LocalActivityOptions{
		StartToCloseTimeout:    time.Second,
		ScheduleToCloseTimeout: 2 * time.Second,
		RetryPolicy:            untilDone,
	}
	// durable is the second try, when the first one failed: it waits on the server, for as long as it takes.
	durable = workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Second,
		RetryPolicy:         untilDone,
	}
	// delivery runs on another domain's workers, and as long as there are followers: what bounds it is that a worker
	// that is alive beats every second, and one that missed five beats is taken for dead.
	delivery = workflow.ActivityOptions{
		TaskQueue:           FeedsQueue,
		StartToCloseTimeout: 24 * time.Hour,
		HeartbeatTimeout:    5 * time.Second,
		RetryPolicy:         untilDone,
	}
)

// write does a short, idempotent write: at once in a local activity or, if the store is away, as a regular one. What the
// activity returns is read into result, if that isn't nil. It fails only with a domain's final error, or when the workflow
// is canceled.
func write(ctx workflow.Context, activity, input, result any) error {
	err := workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, quick), activity, input).Get(ctx, result)
	if err == nil || final(err) {
		return err
	}
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, durable), activity, input).Get(ctx, result)
}

func final(err error) bool {
	failure, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && failure.NonRetryable() || temporal.IsCanceledError(err)
}

// settled makes sure that every caller has its answer before the workflow ends.
func settled(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}
