// Package backlog asks Temporal how deliveries and task queues are, and makes metrics of the answers. The API does it, so that they
// are there without any worker, too.
package backlog

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

const (
	// every is the pause between two rounds of questions.
	every = 15 * time.Second
	// timeout bounds one round.
	timeout = 10 * time.Second
	// silence is how long a poller may go without a new poll before it counts as gone: a poll ends after a minute.
	silence = 70 * time.Second
	// described is how many of the oldest running deliveries are looked at for failures.
	described = 20
)

// Observer observes the deliveries and task queues of a namespace.
type Observer struct {
	client    client.Client
	namespace string
	queues    []string

	mu      sync.Mutex
	last    *round // nil: Temporal did not answer
	pollers map[poller]sighting
}

// round is what Temporal answered at about the same time.
type round struct {
	running, failing int64
	oldest           time.Duration
	queues           map[queue]state
}

type queue struct {
	name string
	kind enums.TaskQueueType
}

type state struct {
	backlog, pollers int64
	age              time.Duration // of the oldest task
}

// poller is one that polls a queue. Its polls are compared with one another and not with a clock of ours.
type poller struct {
	queue
	identity string
}

type sighting struct {
	polled time.Time // by Temporal's clock
	seen   time.Time // when polled was new, by ours
}

// New makes an observer of the queues, and registers its metrics.
func New(provider metric.MeterProvider, c client.Client, namespace string, queues []string) (*Observer, error) {
	o := &Observer{client: c, namespace: namespace, queues: queues, pollers: map[poller]sighting{}}
	return o, o.register(provider.Meter("github.com/twtr-dev/twtr/internal/backlog"))
}

// Run asks until ctx ends.
func (o *Observer) Run(ctx context.Context) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		o.observe(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (o *Observer) observe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := o.ask(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		r = nil
	}
	o.last = r
}

func (o *Observer) ask(ctx context.Context) (*round, error) {
	r := &round{queues: map[queue]state{}}
	for _, name := range o.queues {
		for _, kind := range []enums.TaskQueueType{enums.TASK_QUEUE_TYPE_WORKFLOW, enums.TASK_QUEUE_TYPE_ACTIVITY} {
			q := queue{name, kind}
			answer, err := o.client.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
				Namespace: o.namespace, TaskQueue: &taskqueue.TaskQueue{Name: name}, TaskQueueType: kind, ReportStats: true,
			})
			if err != nil {
				return nil, err
			}
			r.queues[q] = state{
				backlog: answer.GetStats().GetApproximateBacklogCount(),
				age:     answer.GetStats().GetApproximateBacklogAge().AsDuration(),
				pollers: o.live(q, answer.GetPollers(), time.Now()),
			}
		}
	}
	return r, o.deliveries(ctx, r)
}

// live counts the pollers that have polled lately. A worker that has ended stays listed for minutes.
func (o *Observer) live(q queue, listed []*taskqueue.PollerInfo, now time.Time) (n int64) {
	seen := map[poller]sighting{}
	for _, info := range listed {
		p := poller{q, info.GetIdentity()}
		s, known := o.pollers[p]
		if polled := info.GetLastAccessTime().AsTime(); !known || polled.After(s.polled) {
			s = sighting{polled, now}
		}
		seen[p] = s
		if now.Sub(s.seen) < silence {
			n++
		}
	}
	for p := range o.pollers {
		if p.queue == q {
			delete(o.pollers, p)
		}
	}
	for p, s := range seen {
		o.pollers[p] = s
	}
	return n
}

const running = "WorkflowType='PostTweet' AND ExecutionStatus='Running'"

// olderThan is the query for the running deliveries of that age. It compares Temporal's clock with ours.
func olderThan(now time.Time, age time.Duration) string {
	if age == 0 {
		return running
	}
	return fmt.Sprintf("%s AND StartTime < '%s'", running, now.Add(-age).UTC().Format(time.RFC3339Nano))
}

// deliveries finds how many run, for how long the oldest has, and how many of the oldest fail. Temporal lists the newest first, so the
// age is doubled until no delivery is older.
func (o *Observer) deliveries(ctx context.Context, r *round) (err error) {
	now, age := time.Now(), time.Duration(0)
	if r.running, err = o.count(ctx, olderThan(now, 0)); err != nil || r.running == 0 {
		return err
	}
	for next := every; ; next *= 2 {
		n, err := o.count(ctx, olderThan(now, next))
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		age = next
	}
	list, err := o.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: olderThan(now, age), PageSize: 100})
	if err != nil {
		return err
	}
	all := list.GetExecutions()
	for _, e := range all {
		r.oldest = max(r.oldest, now.Sub(e.GetStartTime().AsTime()))
	}
	for _, e := range all[max(0, len(all)-described):] {
		d, err := o.client.DescribeWorkflowExecution(ctx, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId())
		if err != nil {
			return err
		}
		if fails(d) {
			r.failing++
		}
	}
	return nil
}

func (o *Observer) count(ctx context.Context, query string) (int64, error) {
	answer, err := o.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	return answer.GetCount(), err
}

// fails reports whether a workflow's task, or one of its activities, has failed and is tried again.
func fails(d *workflowservice.DescribeWorkflowExecutionResponse) bool {
	for _, a := range d.GetPendingActivities() {
		if a.GetLastFailure() != nil {
			return true
		}
	}
	return d.GetPendingWorkflowTask().GetAttempt() > 1
}

var kinds = map[enums.TaskQueueType]string{enums.TASK_QUEUE_TYPE_WORKFLOW: "workflow", enums.TASK_QUEUE_TYPE_ACTIVITY: "activity"}

func (q queue) labels() metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("queue", q.name), attribute.String("type", kinds[q.kind]))
}

func (o *Observer) register(meter metric.Meter) error {
	var failed error
	gauge := func(name, unit, description string) metric.Float64ObservableGauge {
		g, err := meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		if err != nil {
			failed = err
		}
		return g
	}
	up := gauge("twtr.temporal.up", "", "Whether Temporal answered the API's last questions.")
	count := gauge("twtr.deliveries.running", "", "Deliveries that are not complete.")
	oldest := gauge("twtr.deliveries.oldest", "s", "Age of the oldest delivery that is not complete.")
	failing := gauge("twtr.deliveries.failing", "", "Of the oldest deliveries that are not complete, up to 20, those with a step that has failed and is tried again.")
	backlog := gauge("twtr.queue.backlog", "", "Tasks that wait for a worker, by task queue and type of task.")
	age := gauge("twtr.queue.backlog.age", "s", "Age of the oldest task that waits for a worker.")
	pollers := gauge("twtr.queue.pollers", "", "Pollers of the task queue that have polled in the last 70 s.")
	if failed != nil {
		return failed
	}
	_, err := meter.RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.last == nil {
			observer.ObserveFloat64(up, 0)
			return nil
		}
		observer.ObserveFloat64(up, 1)
		observer.ObserveFloat64(count, float64(o.last.running))
		observer.ObserveFloat64(oldest, o.last.oldest.Seconds())
		observer.ObserveFloat64(failing, float64(o.last.failing))
		for q, s := range o.last.queues {
			labels := q.labels()
			observer.ObserveFloat64(backlog, float64(s.backlog), labels)
			observer.ObserveFloat64(age, s.age.Seconds(), labels)
			observer.ObserveFloat64(pollers, float64(s.pollers), labels)
		}
		return nil
	}, up, count, oldest, failing, backlog, age, pollers)
	return err
}
