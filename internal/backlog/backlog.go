// Package backlog asks Temporal how deliveries and task queues are, and makes metrics of the answers. The API does it, so that they
// are there without any worker, too.
package backlog

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr/internal/inspect"
)

const (
	// every is the pause between two rounds of questions.
	every = 15 * time.Second
	// timeout bounds one round.
	timeout = 10 * time.Second
	// described is how many of the oldest running deliveries are looked at for failures.
	described = 20
)

// Observer observes the deliveries and task queues of a namespace.
type Observer struct {
	client client.Client
	queues *inspect.Queues

	mu   sync.Mutex
	last *round // nil: Temporal did not answer
}

// round is what Temporal answered at about the same time.
type round struct {
	running, failing int64
	oldest           time.Duration
	queues           map[inspect.Queue]inspect.State
}

// New makes an observer of the queues, and registers its metrics.
func New(provider metric.MeterProvider, c client.Client, namespace string, queues []string) (*Observer, error) {
	o := &Observer{client: c, queues: inspect.NewQueues(c, namespace, queues...)}
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

func (o *Observer) ask(ctx context.Context) (r *round, err error) {
	r = &round{}
	if r.queues, err = o.queues.All(ctx); err != nil {
		return nil, err
	}
	oldest, n, err := inspect.Running(ctx, o.client, inspect.Deliveries)
	if err != nil || len(oldest) == 0 {
		return r, err
	}
	r.running, r.oldest = n, time.Since(oldest[0].GetStartTime().AsTime())
	all, err := inspect.Describe(ctx, o.client, oldest[:min(len(oldest), described)])
	for _, d := range all {
		if len(inspect.Failures(d)) > 0 {
			r.failing++
		}
	}
	return r, err
}

var kinds = map[enums.TaskQueueType]string{enums.TASK_QUEUE_TYPE_WORKFLOW: "workflow", enums.TASK_QUEUE_TYPE_ACTIVITY: "activity"}

func labels(q inspect.Queue) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("queue", q.Name), attribute.String("type", kinds[q.Type]))
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
	pollers := gauge("twtr.queue.pollers", "", "Pollers of the task queue that have polled in the last 65 s.")
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
			labels := labels(q)
			observer.ObserveFloat64(backlog, float64(s.Backlog()), labels)
			observer.ObserveFloat64(age, s.Age().Seconds(), labels)
			observer.ObserveFloat64(pollers, float64(len(s.Live)), labels)
		}
		return nil
	}, up, count, oldest, failing, backlog, age, pollers)
	return err
}
