package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/deployment/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/failure/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/internal/inspect"
	"github.com/twtr-dev/twtr/internal/temporalclient"
	"github.com/twtr-dev/twtr/workflows"
)

func whyCommand(s *Settings) *cobra.Command {
	return reads(&cobra.Command{
		Use:   "why TWEET-ID|WORKFLOW-ID",
		Short: "Say why a delivery, or another workflow, is not finished, and what to do about it",
		Long: `Say why the delivery of a tweet, or another workflow, is not finished, and what to do about it. It asks Temporal about the
workflow, its running activities and the workers that poll for them, for some 3 s, and changes nothing. It needs no worker and no store.`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			id := args[0]
			if tweetID, err := uuid.Parse(id); err == nil {
				id = workflows.PostTweetID(tweetID)
			} else if !strings.Contains(id, "/") {
				return usageError{fmt.Errorf("%q is neither the ID of a tweet nor that of a workflow", id)}
			}
			config, err := s.Parse()
			if err != nil {
				return err
			}
			options, err := config.temporalOptions("", slog.New(slog.DiscardHandler), nil)
			if err != nil {
				return err
			}
			temporal, err := temporalclient.Dial(c.Context(), options, nil)
			if err != nil {
				return err
			}
			defer temporal.Close()
			e := examiner{temporal: temporal, namespace: temporalclient.Namespace(options), id: id}
			if err := e.examine(c.Context()); err != nil {
				return err
			}
			e.print(c.OutOrStdout())
			return nil
		},
	}, "temporal")
}

// sampleTime is the time between the two looks from which the rate of a delivery follows: three heartbeats.
const sampleTime = 3 * time.Second

// diagnosis is what is known of a workflow, and what follows from it.
type diagnosis struct {
	facts []string
	finding
}

// finding is why a workflow is not finished, and what to do: commands, and text.
type finding struct {
	kind kind
	why  string
	next []string
}

// kind orders findings: of several activities the first kind is told.
type kind int

const (
	paused kind = iota
	noWorker
	outage
	failing
	limited
	waiting
	progressing
)

func (d *diagnosis) fact(word, format string, args ...any) {
	d.facts = append(d.facts, fmt.Sprintf("%-9s %s", word, fmt.Sprintf(format, args...)))
}

func (d *diagnosis) conclude(next []string, why string, args ...any) {
	d.finding = finding{why: fmt.Sprintf(why, args...), next: next}
}

func (d *diagnosis) print(out io.Writer) {
	for _, fact := range d.facts {
		fmt.Fprintln(out, fact)
	}
	fmt.Fprintf(out, "%-9s %s\n", "why", d.why)
	for _, next := range d.next {
		fmt.Fprintf(out, "%-9s %s\n", "next", next)
	}
}

// execution is a workflow at one moment.
type execution struct {
	*workflowservice.DescribeWorkflowExecutionResponse
	at time.Time
}

// examiner finds out about one workflow.
type examiner struct {
	temporal  client.Client
	namespace string
	id        string
	diagnosis
}

func (e *examiner) describe(ctx context.Context) (execution, error) {
	d, err := e.temporal.DescribeWorkflowExecution(ctx, e.id, "")
	return execution{d, time.Now()}, err
}

func (e *examiner) examine(ctx context.Context) error {
	now, err := e.describe(ctx)
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
		e.fact("workflow", "%s: Temporal has none", e.id)
		e.conclude([]string{"twtr audit " + tweetOf(e.id), "temporal workflow list --query \"TwtrTweetId='" + tweetOf(e.id) + "'\""},
			"It was never started, was deleted with its tweet, or ended longer ago than the namespace's retention period.")
		return nil
	}
	if err != nil {
		return err
	}
	info := now.GetWorkflowExecutionInfo()
	if info.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return e.ended(ctx, info)
	}
	e.fact("workflow", "%s: running for %s", e.id, age(info.GetStartTime(), now.at))
	if task := now.GetPendingWorkflowTask(); task != nil && len(now.GetPendingActivities()) == 0 || task.GetAttempt() > 1 {
		return e.workflowTask(ctx, now)
	}
	return e.activities(ctx, now)
}

// tweetOf is the part of a workflow ID that names what the workflow is about.
func tweetOf(id string) string {
	_, tweet, _ := strings.Cut(id, "/")
	return tweet
}

// ended concludes about a workflow that does not run.
func (e *examiner) ended(ctx context.Context, info *workflow.WorkflowExecutionInfo) error {
	e.fact("workflow", "%s: %s", e.id, strings.ToLower(info.GetStatus().String()))
	repair := []string{"twtr audit " + tweetOf(e.id) + " --repair"}
	switch info.GetStatus() {
	case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
	case enums.WORKFLOW_EXECUTION_STATUS_PAUSED:
		e.conclude([]string{"temporal workflow unpause -w " + e.id}, "The workflow is paused.")
		return nil
	default:
		e.conclude(repair, "It was ended before it was done. What it did stays; an audit finds and repairs the rest.")
		return nil
	}
	var result workflows.DeliveryResult
	if err := e.temporal.GetWorkflow(ctx, e.id, "").Get(ctx, &result); err != nil || info.GetType().GetName() != "PostTweet" {
		e.conclude(nil, "It is finished.")
		return err
	}
	e.fact("result", "%d feed items delivered, %d refused by the store", result.Delivered, result.Failed)
	switch {
	case result.Failed > 0:
		e.conclude(append([]string{`the log of the worker of feeds, "the store refuses a row", has the cause; when it is removed:`}, repair...),
			"It is finished, without the feeds that the store refused, such as those of %s.", quoted(result.FailedReaders))
	case result.Deleted:
		e.conclude(nil, "It is finished: the tweet was deleted.")
	default:
		e.conclude(nil, "It is finished.")
	}
	return nil
}

func quoted(names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(all, ", ")
}

// workflowTask concludes about a workflow that a worker must continue.
func (e *examiner) workflowTask(ctx context.Context, now execution) error {
	task := now.GetPendingWorkflowTask()
	name := now.GetExecutionConfig().GetTaskQueue().GetName()
	e.fact("task", "to continue the workflow: %s, attempt %d", age(task.GetOriginalScheduledTime(), now.at), task.GetAttempt())
	q, err := e.queue(ctx, name, enums.TASK_QUEUE_TYPE_WORKFLOW, now)
	if err != nil {
		return err
	}
	failed, err := e.taskFailure(ctx)
	if err != nil {
		return err
	}
	scheduled := task.GetState() == enums.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
	switch {
	case scheduled && task.GetAttempt() <= 1 && !q.polledSince(task.GetScheduledTime()):
		e.finding = q.withoutWorker()
	case failed == nil:
		e.conclude([]string{"run this again in some seconds"}, "It waits for its turn on a worker of task queue %s.", name)
	case failed.GetCause() == enums.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR:
		e.fact("error", "%s", message(failed.GetFailure()))
		e.conclude([]string{
			"temporal workflow show -w " + e.id + " --output json | twtr replay -",
			"deploy the build that began the workflow, or give the run to this one:",
			"temporal workflow reset -w " + e.id + " --type FirstWorkflowTask --reason 'incompatible build'",
		}, "The workers' build cannot continue this workflow: its code does not fit the history (non-determinism).")
	default:
		e.fact("error", "%s", message(failed.GetFailure()))
		e.conclude([]string{"the log of the workers of task queue " + name}, "The workflow's code fails on the worker, which retries.")
	}
	return nil
}

// taskFailure is why the newest workflow task failed; nil if the newest one that ended did not.
func (e *examiner) taskFailure(ctx context.Context) (*history.WorkflowTaskFailedEventAttributes, error) {
	page, err := e.temporal.WorkflowService().GetWorkflowExecutionHistoryReverse(ctx, &workflowservice.GetWorkflowExecutionHistoryReverseRequest{
		Namespace: e.namespace, Execution: &common.WorkflowExecution{WorkflowId: e.id}, MaximumPageSize: 20,
	})
	if err != nil {
		return nil, err
	}
	for _, event := range page.GetHistory().GetEvents() {
		switch event.GetEventType() {
		case enums.EVENT_TYPE_WORKFLOW_TASK_FAILED:
			return event.GetWorkflowTaskFailedEventAttributes(), nil
		case enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			return nil, nil
		}
	}
	return nil, nil
}

// activities concludes about a workflow that waits for activities.
func (e *examiner) activities(ctx context.Context, before execution) error {
	now := before
	if slices.ContainsFunc(before.GetPendingActivities(), started) {
		select {
		case <-time.After(sampleTime):
		case <-ctx.Done():
			return ctx.Err()
		}
		var err error
		if now, err = e.describe(ctx); err != nil {
			return err
		}
	}
	if info := now.GetWorkflowExecutionInfo(); info.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return e.ended(ctx, info)
	}
	e.finding = finding{progressing, "It is being worked on.", []string{"run this again in some seconds"}}
	if done := delivered(now); done > 0 {
		e.fact("progress", "%d feed items, about %.0f a second", done, max(0, float64(done-delivered(before)))/sampleTime.Seconds())
	}
	queues := map[string]queue{}
	for _, a := range now.GetPendingActivities() {
		e.fact("activity", "%s %s: %s, attempt %d", a.GetActivityId(), a.GetActivityType().GetName(), stateOf(a), a.GetAttempt())
		if a.GetLastFailure() != nil {
			e.fact("error", "of attempt %d: %s", max(1, a.GetAttempt()-1), message(a.GetLastFailure()))
		}
		name := cmp.Or(a.GetActivityOptions().GetTaskQueue().GetName(), now.GetExecutionConfig().GetTaskQueue().GetName())
		q, known := queues[name]
		if !known {
			var err error
			if q, err = e.queue(ctx, name, enums.TASK_QUEUE_TYPE_ACTIVITY, now); err != nil {
				return err
			}
			queues[name] = q
		}
		f := find(e.id, a, q)
		if f.kind >= outage && f.kind < limited && advanced(before, a) {
			continue // an error of the past
		}
		if f.kind < e.kind {
			e.finding = f
		}
	}
	return nil
}

func started(a *workflow.PendingActivityInfo) bool {
	return a.GetState() == enums.PENDING_ACTIVITY_STATE_STARTED
}

func stateOf(a *workflow.PendingActivityInfo) string {
	switch {
	case a.GetPaused():
		return "paused"
	case started(a):
		return "running on " + a.GetLastWorkerIdentity()
	case a.GetLastFailure() != nil:
		return "to be retried"
	default:
		return "scheduled"
	}
}

// find concludes about one activity of the workflow, whose tasks are in the queue.
func find(id string, a *workflow.PendingActivityInfo, q queue) finding {
	failed, name := a.GetLastFailure(), a.GetActivityType().GetName()
	var beat activities.WalkHeartbeat
	_ = converter.GetDefaultDataConverter().FromPayloads(a.GetHeartbeatDetails(), &beat) // those of others leave it empty
	switch {
	case a.GetPaused():
		return finding{paused, fmt.Sprintf("An operator paused activity %s%s.", a.GetActivityId(), reason(a.GetPauseInfo())),
			[]string{"temporal activity unpause -w " + id + " --activity-id " + a.GetActivityId()}}
	case !started(a) && (len(q.pollers) == 0 || a.GetNextAttemptScheduleTime() == nil && !q.polledSince(a.GetScheduledTime())):
		return q.withoutWorker()
	case started(a) && beat.RowsPerSecond > 0:
		return finding{limited, fmt.Sprintf("The worker limits itself to %d feed items a second (feed.rows_per_second).", beat.RowsPerSecond),
			[]string{"nothing, if it is meant; otherwise raise feed.rows_per_second of the workers of task queue " + q.name}}
	case isOutage(failed):
		return finding{outage, "The store is unavailable, or too slow, for the workers of task queue " + q.name + ".",
			[]string{"twtr wait --for store --timeout 10s", "bring the store back; the delivery then continues within seconds"}}
	case failed != nil && failed.GetTimeoutFailureInfo() == nil:
		return finding{failing, fmt.Sprintf("Activity %s fails, and is retried until it succeeds: the store is available and refuses what it asks for.", name),
			[]string{"the log of the workers of task queue " + q.name + ", and the error above, have the cause; remove it"}}
	case started(a):
		return finding{progressing, "It is being worked on.", []string{"run this again in some seconds"}}
	case q.limit > 0:
		return finding{waiting, fmt.Sprintf("Task queue %s gives out %g tasks a second (an operator's limit).", q.name, q.limit),
			[]string{"temporal task-queue config get --task-queue " + q.name + " --task-queue-type activity"}}
	default:
		return finding{waiting, "It waits for its turn on a worker of task queue " + q.name + ".",
			[]string{"more workers, if the tasks that wait do not become fewer: twtr worker " + q.name}}
	}
}

func reason(info *workflow.PendingActivityInfo_PauseInfo) string {
	manual := info.GetManual()
	if manual == nil {
		return ""
	}
	return fmt.Sprintf(" (%s: %s)", manual.GetIdentity(), cmp.Or(manual.GetReason(), "no reason given"))
}

// isOutage reports whether an activity failed because the store did not answer, or not in time.
func isOutage(f *failure.Failure) bool {
	kind := f.GetApplicationFailureInfo().GetType()
	return kind == string(twtr.Unavailable) || kind == "deadlineExceededError" // the SDK's name of context.DeadlineExceeded
}

// message is a failure's text, in one line.
func message(f *failure.Failure) string {
	converter.DecodeCommonFailureAttributes(converter.GetDefaultDataConverter(), f)
	return oneLine(errors.New(f.GetMessage()))
}

// delivered is the number of feed items of the completed steps, and of those that run as of their last heartbeats.
func delivered(x execution) (n int64) {
	attributes := x.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()
	_ = converter.GetDefaultDataConverter().FromPayload(attributes[workflows.Delivered.GetName()], &n)
	for _, a := range x.GetPendingActivities() {
		n += done(a)
	}
	return n
}

func done(a *workflow.PendingActivityInfo) int64 {
	var beat activities.WalkHeartbeat
	_ = converter.GetDefaultDataConverter().FromPayloads(a.GetHeartbeatDetails(), &beat)
	return beat.Done
}

// advanced reports whether the activity has done more than it had before.
func advanced(before execution, a *workflow.PendingActivityInfo) bool {
	return slices.ContainsFunc(before.GetPendingActivities(), func(b *workflow.PendingActivityInfo) bool {
		return b.GetActivityId() == a.GetActivityId() && done(a) > done(b)
	})
}

// queue is a task queue, and who polls it.
type queue struct {
	name    string
	version *deployment.WorkerDeploymentVersion // that a worker must have; nil: none
	pinned  bool                                // the workflow is to that version; otherwise it is the current one
	pollers []*taskqueue.PollerInfo             // that get the tasks
	others  []*taskqueue.PollerInfo             // of other versions
	limit   float32                             // tasks a second; 0: none
}

// queue asks about a task queue, and tells who polls it for the workflow.
func (e *examiner) queue(ctx context.Context, name string, kind enums.TaskQueueType, now execution) (queue, error) {
	d, err := inspect.NewQueues(e.temporal, e.namespace).Look(ctx, inspect.Queue{Name: name, Type: kind})
	if err != nil {
		return queue{}, err
	}
	q := queue{name: name, pollers: d.GetPollers(), limit: d.GetConfig().GetQueueRateLimit().GetRateLimit().GetRequestsPerSecond()}
	q.route(now.GetWorkflowExecutionInfo().GetVersioningInfo(), d.GetVersioningInfo())
	last := "no pollers"
	if poll := q.lastPoll(); poll != nil {
		last = fmt.Sprintf("pollers: %d, the last poll %s ago", len(q.pollers), age(poll, now.at))
	}
	if len(q.others) > 0 {
		last += fmt.Sprintf(", and %d of other versions", len(q.others))
	}
	e.fact("queue", "%s: %s; waiting tasks: %d", name, last, d.Backlog())
	return q, nil
}

// route leaves the pollers that get the workflow's tasks: those of the version that it is pinned to, if a worker of that deployment
// polls the queue, and otherwise those of the current or ramping version of the queue; unversioned ones if there is none.
func (q *queue) route(run *workflow.WorkflowExecutionVersioningInfo, current *taskqueue.TaskQueueVersioningInfo) {
	q.version = current.GetCurrentDeploymentVersion()
	pin := run.GetDeploymentVersion()
	if run.GetBehavior() == enums.VERSIONING_BEHAVIOR_PINNED && slices.ContainsFunc(q.pollers, func(p *taskqueue.PollerInfo) bool {
		return p.GetDeploymentOptions().GetDeploymentName() == pin.GetDeploymentName()
	}) {
		q.version, q.pinned = pin, true
	}
	all := q.pollers
	q.pollers = nil
	for _, p := range all {
		if version := versionOf(p); same(version, q.version) || !q.pinned && version != nil && same(version, current.GetRampingDeploymentVersion()) {
			q.pollers = append(q.pollers, p)
		} else {
			q.others = append(q.others, p)
		}
	}
}

// versionOf is nil for an unversioned worker.
func versionOf(p *taskqueue.PollerInfo) *deployment.WorkerDeploymentVersion {
	o := p.GetDeploymentOptions()
	if o.GetWorkerVersioningMode() != enums.WORKER_VERSIONING_MODE_VERSIONED {
		return nil
	}
	return &deployment.WorkerDeploymentVersion{DeploymentName: o.GetDeploymentName(), BuildId: o.GetBuildId()}
}

func same(a, b *deployment.WorkerDeploymentVersion) bool {
	return a.GetDeploymentName() == b.GetDeploymentName() && a.GetBuildId() == b.GetBuildId()
}

func (q queue) lastPoll() (last *timestamppb.Timestamp) {
	for _, p := range q.pollers {
		if last == nil || p.GetLastAccessTime().AsTime().After(last.AsTime()) {
			last = p.GetLastAccessTime()
		}
	}
	return last
}

// polledSince reports whether a worker has polled since a task was scheduled. A worker that had polled before, and was free, would
// have got the task. Both times are the server's.
func (q queue) polledSince(scheduled *timestamppb.Timestamp) bool {
	last := q.lastPoll()
	return last != nil && !last.AsTime().Before(scheduled.AsTime())
}

func (q queue) withoutWorker() finding {
	start := "twtr worker " + q.name
	switch {
	case len(q.pollers) > 0:
		return finding{noWorker, fmt.Sprintf("No worker of task queue %s has polled since the task was scheduled: they have stopped, or all their slots are in use.",
			q.name), []string{start}}
	case q.pinned:
		return finding{noWorker, fmt.Sprintf("No worker of version %s of %s, to which the workflow is pinned, polls task queue %s.",
			q.version.GetBuildId(), q.version.GetDeploymentName(), q.name), []string{"start workers of this version again: " + start}}
	case len(q.others) > 0:
		other := versionOf(q.others[0])
		return finding{noWorker, fmt.Sprintf("Only workers of versions that are not current poll task queue %s.", q.name), []string{fmt.Sprintf(
			"temporal worker deployment set-current-version --deployment-name %s --build-id %s", cmp.Or(other.GetDeploymentName(), "NAME"), cmp.Or(other.GetBuildId(), "ID"))}}
	default:
		return finding{noWorker, "No worker polls task queue " + q.name + ".", []string{start}}
	}
}

// age is how long ago a time of the server was, in whole seconds. Clocks may differ: it is only shown.
func age(of *timestamppb.Timestamp, now time.Time) time.Duration {
	return max(0, now.Sub(of.AsTime()).Truncate(time.Second))
}
