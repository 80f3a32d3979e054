package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

var events *activities.Events

var (
	// announceLocally are the options of the one attempt within the workflow task, which ends no later than it: what else the run has
	// begun waits for so long, if NATS is connected and does not respond.
	announceLocally = workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: 200 * time.Millisecond,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:                "announce",
	}
	// announceOptions: while NATS is unavailable each tweet leaves a run that retries. The pauses grow to 10 minutes, so that in a long
	// outage these runs do not load the server; an event comes at most as late again as the outage was long.
	announceOptions = workflow.ActivityOptions{
		StartToCloseTimeout: 15 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Minute},
	}
)

const (
	// maxAnnounced is how many events one activity publishes, within its timeout.
	maxAnnounced = 100
	// maxUnannounced is how many events a run of Follow keeps before it takes no more requests: they must fit into the input of the
	// next run. NATS must be unavailable, and one pair change so often.
	maxUnannounced = 1000
)

// announcements publishes the events of a run in their order, concurrently with the run's other steps.
type announcements struct {
	on bool // from the run's input
	// local makes the first attempt a local activity. That is cheaper, but the workflow task ends after it: it is for runs whose tasks
	// no caller waits for.
	local bool
	left  []twtr.Event // to be published, the oldest first
}

// announce begins to publish what is added, if the run is to announce its changes.
func announce(ctx workflow.Context, on, local bool, left ...twtr.Event) *announcements {
	a := &announcements{on: on, local: local, left: left}
	if on {
		workflow.Go(ctx, a.run)
	}
	return a
}

func (a *announcements) add(e twtr.Event) {
	if a.on {
		a.left = append(a.left, e)
	}
}

// run ends only if the workflow is canceled.
func (a *announcements) run(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return len(a.left) > 0 }) == nil {
		batch := a.left[:min(len(a.left), maxAnnounced)]
		if err := a.publish(ctx, batch); err != nil {
			return
		}
		a.left = a.left[len(batch):]
	}
}

func (a *announcements) publish(ctx workflow.Context, batch []twtr.Event) error {
	if a.local {
		err := workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, announceLocally), events.Announce, batch).Get(ctx, nil)
		if err == nil || temporal.IsCanceledError(err) {
			return err
		}
	}
	options := announceOptions
	options.Summary = fmt.Sprintf("announce %s", batch[0].Type)
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), events.Announce, batch).Get(ctx, nil)
}

func (a *announcements) done() bool { return len(a.left) == 0 }

// await returns when all that was added is published.
func (a *announcements) await(ctx workflow.Context) error { return workflow.Await(ctx, a.done) }
