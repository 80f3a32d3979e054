package workflows

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

// firstLook is when a fan-out of several steps first looks at those that run. The pauses grow with its age, to lookAfter of it: 30
// looks in an hour and 50 in a week, of 6 events each.
const (
	firstLook = 5 * time.Second
	lookAfter = 4
)

// lookOptions: a look that fails is left out.
var lookOptions = workflow.LocalActivityOptions{
	StartToCloseTimeout: time.Second,
	RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
	Summary:             "look at the running steps",
}

// progress is what people who watch a fan-out see of it.
type progress struct {
	verb  string // what a step does to a feed item
	began time.Time
	asOf  time.Time

	followers int64                       // about how many there are; 0: not known
	running   [twtr.FollowerBuckets]int64 // what the steps of the buckets had done at the last look
	rate      float64                     // feeds per second before the last look
	looked    time.Time
	before    int64             // done at the last look
	failing   []activities.Step // those that had failed, and were retried, at the last look
}

// watch shows what the running steps do, until ctx is canceled.
func (f *fanOut) watch(ctx workflow.Context) {
	for {
		pause := max(firstLook, workflow.Now(ctx).Sub(f.began)/lookAfter)
		if workflow.NewTimerWithOptions(ctx, pause, workflow.TimerOptions{Summary: "until the next look at the running steps"}).Get(ctx, nil) != nil {
			return
		}
		var steps []activities.Step
		err := workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, lookOptions), tweets.RunningSteps).Get(ctx, &steps)
		if err == nil {
			f.look(ctx, steps)
		}
	}
}

// look takes over what the running steps have done.
func (f *fanOut) look(ctx workflow.Context, steps []activities.Step) {
	f.running, f.failing = [twtr.FollowerBuckets]int64{}, nil
	for _, step := range steps {
		if step.Bucket >= 0 && !f.complete[step.Bucket] {
			f.running[step.Bucket] = step.Done
		}
		if step.Error != "" {
			f.failing = append(f.failing, step)
		}
	}
	f.measure(ctx)
	f.show(ctx)
}

// measure computes the rate since the last time.
func (f *fanOut) measure(ctx workflow.Context) {
	now, total := workflow.Now(ctx), f.total()
	if passed := now.Sub(f.looked).Seconds(); passed > 0 {
		f.rate = float64(max(0, total-f.before)) / passed
	}
	f.looked, f.before = now, total
}

// total is how many feeds were written, as far as it is known.
func (f *fanOut) total() int64 {
	total := f.done
	for _, done := range f.running {
		total += done
	}
	return total
}

// show sets the current details of the workflow. That is no event; the Web UI, or who else asks, queries a worker for them.
func (f *fanOut) show(ctx workflow.Context) {
	f.asOf = workflow.Now(ctx)
	text := ""
	for _, line := range [][2]string{
		{f.verb, f.amount()},
		{"rate", f.speed()},
		{"left", f.rest()},
		{"refused by the store", f.refused()},
		{"last error", f.lastError()},
		{"as of", fmt.Sprintf("%s UTC, %s after the start", f.asOf.UTC().Format(time.DateTime), f.asOf.Sub(f.began).Round(time.Second/10))},
	} {
		if line[1] != "" {
			text += fmt.Sprintf("- **%s**: %s\n", line[0], line[1])
		}
	}
	if f.left > 0 {
		text += fmt.Sprintf("\n[Pending Activities](%s) have what each step has done since, and its last error.\n", pendingActivities(ctx))
	}
	workflow.SetCurrentDetails(ctx, text)
}

func (f *fanOut) amount() string {
	total := f.total()
	amount := humanize.Comma(total)
	if all := max(f.followers, total); f.followers > 0 && f.left > 0 {
		amount += fmt.Sprintf(" of about %s", humanize.Comma(all))
		return fmt.Sprintf("%s feeds (%d%%)", amount, 100*total/all)
	}
	return amount + " feeds"
}

func (f *fanOut) speed() string {
	if f.left == 0 || !f.split {
		return ""
	}
	speed := humanize.Comma(int64(f.rate)) + " feeds a second"
	if rest := f.followers - f.total(); rest > 0 && f.rate >= 1 {
		speed += fmt.Sprintf("; about %s left", time.Duration(float64(rest)/f.rate*float64(time.Second)).Round(time.Second))
	}
	return speed
}

func (f *fanOut) rest() string {
	switch {
	case f.deleted:
		return "nothing, because the tweet is deleted"
	case f.left == 0:
		return "nothing"
	case !f.split:
		return fmt.Sprintf("the first step, for up to about %s followers", humanize.Comma(deliveryBudget))
	}
	return fmt.Sprintf("%d of %d buckets of followers", f.left, twtr.FollowerBuckets)
}

func (f *fanOut) refused() string {
	if f.failed == 0 {
		return ""
	}
	return fmt.Sprintf("%s feeds, such as that of %s", humanize.Comma(f.failed), f.readers[0])
}

// lastError is that of the step that was tried most often.
func (f *fanOut) lastError() string {
	if f.left == 0 || len(f.failing) == 0 {
		return ""
	}
	worst := f.failing[0]
	for _, step := range f.failing {
		if step.Attempt > worst.Attempt {
			worst = step
		}
	}
	where := ""
	if worst.Bucket >= 0 {
		where = fmt.Sprintf("bucket %d, ", worst.Bucket+1)
	}
	// A code span, so that nothing in it is taken for markup.
	return fmt.Sprintf("`%s` (%sattempt %d; %d of the running steps were retried)",
		strings.NewReplacer("`", "'", "\n", " ").Replace(worst.Error), where, worst.Attempt, len(f.failing))
}

// pendingActivities is the address, within the Web UI, of the activities of this run.
func pendingActivities(ctx workflow.Context) string {
	info := workflow.GetInfo(ctx)
	return fmt.Sprintf("/namespaces/%s/workflows/%s/%s/pending-activities",
		url.PathEscape(info.Namespace), url.PathEscape(info.WorkflowExecution.ID), info.WorkflowExecution.RunID)
}

// maxError is how much is kept of an error.
const maxError = 300

// RunningSteps are the steps of a fan-out that are pending by the description of its workflow.
func RunningSteps(d *workflowservice.DescribeWorkflowExecutionResponse) ([]activities.Step, error) {
	var steps []activities.Step
	for _, pending := range d.GetPendingActivities() {
		if name := pending.GetActivityType().GetName(); name != DeliverActivity && name != retractActivity {
			continue
		}
		step := activities.Step{Bucket: -1, Attempt: pending.GetAttempt()}
		if details := pending.GetHeartbeatDetails(); details != nil {
			var p twtr.Progress
			if err := converter.GetDefaultDataConverter().FromPayloads(details, &p); err != nil {
				return nil, err
			}
			step.Done = p.Done
			if len(p.Left) > 0 {
				step.Bucket = p.Left[0].Bucket
			}
		}
		if failure := pending.GetLastFailure(); failure != nil {
			step.Error = message(temporal.GetDefaultFailureConverter().FailureToError(failure))
		}
		steps = append(steps, step)
	}
	return steps, nil
}

func message(err error) string {
	text := err.Error()
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		text = failure.Message()
	}
	return strings.ToValidUTF8(text[:min(len(text), maxError)], "")
}

// DeliveredSoFar is how many feed items a running delivery has written: those of its completed steps, which are in a search
// attribute if there are several steps, and those in the latest heartbeats of the running ones.
func DeliveredSoFar(d *workflowservice.DescribeWorkflowExecutionResponse) (delivered int64, err error) {
	if p, ok := d.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()[Delivered.GetName()]; ok {
		if err := converter.GetDefaultDataConverter().FromPayload(p, &delivered); err != nil {
			return 0, err
		}
	}
	steps, err := RunningSteps(d)
	for _, step := range steps {
		delivered += step.Done
	}
	return delivered, err
}
