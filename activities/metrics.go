package activities

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/twtr-dev/twtr"
)

// Metrics are those of the activities of one process. A nil one records nothing.
type Metrics struct {
	items     metric.Int64Counter
	refused   metric.Int64Counter
	retried   metric.Int64Counter
	pageSize  metric.Int64Histogram
	slots     metric.Int64ObservableGauge
	lag       metric.Float64Histogram
	completed metric.Int64Counter
	checked   metric.Int64Counter
	findings  metric.Int64Counter
	recounts  metric.Int64Counter
	corrected metric.Int64Counter
	drifted   metric.Int64Counter

	meter  metric.Meter
	labels map[string]metric.MeasurementOption // of each step
}

// The steps that write feeds.
const (
	stepDeliver  = "deliver"
	stepRetract  = "retract"
	stepBackfill = "backfill"
	stepSweep    = "sweep"
	stepErase    = "erase"
	stepRepair   = "repair"
)

// NewMetrics makes the metrics of activities that work on a store of that engine. All series with labels that are known begin at 0.
func NewMetrics(provider metric.MeterProvider, engine string) (*Metrics, error) {
	meter := provider.Meter("github.com/twtr-dev/twtr/activities")
	var failed error
	counter := func(name, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithDescription(description))
		failed = errors.Join(failed, err)
		return c
	}
	m := &Metrics{
		items:     counter("twtr.feed.items", "Feed items written or removed, by step and engine."),
		refused:   counter("twtr.feed.refused", "Feed items that the store refused, by step and engine."),
		retried:   counter("twtr.feed.pages.retried", "Pages of followers that were tried again, by step and engine."),
		completed: counter("twtr.deliveries.completed", "Deliveries that are complete."),
		checked:   counter("twtr.audit.feeds", "Feeds that audits and rebuilds have checked."),
		findings:  counter("twtr.audit.findings", "Feed items that audits and rebuilds found missing or extra."),
		recounts:  counter("twtr.follows.recounts", "Recounts of followers that follows and unfollows asked for."),
		corrected: counter("twtr.follows.count.difference", "By how much recounts changed the stored counts of followers, without sign."),
		drifted:   counter("twtr.follows.counts.drifted", "Counts of followers that the nightly check found wrong, and corrected."),
		meter:     meter,
		labels:    map[string]metric.MeasurementOption{},
	}
	var err error
	m.pageSize, err = meter.Int64Histogram("twtr.feed.page.size", metric.WithDescription("Followers on a page that was written, by step and engine."),
		metric.WithExplicitBucketBoundaries(0, 1, 10, 25, 50, 100, 250, 500, 1000, 2000))
	failed = errors.Join(failed, err)
	m.lag, err = meter.Float64Histogram("twtr.delivery.lag", metric.WithUnit("s"),
		metric.WithDescription("Time from the post of a tweet to its complete delivery, by the number of feeds."),
		metric.WithExplicitBucketBoundaries(.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400))
	failed = errors.Join(failed, err)
	m.slots, err = meter.Int64ObservableGauge("twtr.feed.slots.used", metric.WithDescription("Pages of followers in flight, by kind of slot."))
	if failed = errors.Join(failed, err); failed != nil {
		return nil, failed
	}
	ctx := context.Background()
	for _, step := range []string{stepDeliver, stepRetract, stepBackfill, stepSweep, stepErase, stepRepair} {
		option := metric.WithAttributeSet(attribute.NewSet(attribute.String("step", step), attribute.String("engine", engine)))
		m.labels[step] = option
		for _, c := range []metric.Int64Counter{m.items, m.refused, m.retried} {
			c.Add(ctx, 0, option)
		}
	}
	for _, c := range []metric.Int64Counter{m.completed, m.checked, m.recounts, m.corrected, m.drifted} {
		c.Add(ctx, 0)
	}
	m.findings.Add(ctx, 0, missing)
	m.findings.Add(ctx, 0, extra)
	return m, nil
}

var missing, extra = metric.WithAttributes(attribute.String("kind", "missing")), metric.WithAttributes(attribute.String("kind", "extra"))

// page counts a page of feeds that was written, without those that the store refused.
func (m *Metrics) page(ctx context.Context, step string, feeds, refused int) {
	if m == nil {
		return
	}
	m.items.Add(ctx, int64(feeds-refused), m.labels[step])
	m.refused.Add(ctx, int64(refused), m.labels[step])
	m.pageSize.Record(ctx, int64(feeds), m.labels[step])
}

func (m *Metrics) retry(ctx context.Context, step string) {
	if m != nil {
		m.retried.Add(ctx, 1, m.labels[step])
	}
}

// sizes are the classes of deliveries, by the number of feeds: up to each of these.
var sizes = []struct {
	most  int64
	label metric.MeasurementOption
}{
	{100, size("to 100")}, {2_000, size("to 2000")}, {20_000, size("to 20000")}, {1_000_000, size("to 1000000")},
}

var largest = size("more")

func size(class string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("feeds", class))
}

// complete records a delivery that is complete. The lag compares two clocks: that of the API process, in the tweet's id, and that of
// Temporal's server, in the receipt.
func (m *Metrics) complete(ctx context.Context, r twtr.Receipt) {
	if m == nil {
		return
	}
	label := largest
	for _, s := range sizes {
		if r.Delivered+r.Failed <= s.most {
			label = s.label
			break
		}
	}
	m.completed.Add(ctx, 1)
	m.lag.Record(ctx, max(0, r.CompletedAt.Sub(twtr.TimeOf(r.TweetID)).Seconds()), label)
}

func (m *Metrics) audit(ctx context.Context, a twtr.Audit) {
	if m == nil {
		return
	}
	m.checked.Add(ctx, a.Checked)
	m.findings.Add(ctx, a.Missing, missing)
	m.findings.Add(ctx, a.Extra, extra)
}

func (m *Metrics) recount(ctx context.Context) {
	if m != nil {
		m.recounts.Add(ctx, 1)
	}
}

func (m *Metrics) counted(ctx context.Context, before, after int) {
	if m != nil {
		m.corrected.Add(ctx, int64(max(after-before, before-after)))
	}
}

func (m *Metrics) drift(ctx context.Context) {
	if m != nil {
		m.drifted.Add(ctx, 1)
	}
}

// observe reports the slots in use of the walkers, by kind.
func (m *Metrics) observe(walkers map[string]*walker) {
	if m == nil {
		return
	}
	labels := map[string]metric.MeasurementOption{}
	for kind := range walkers {
		labels[kind] = metric.WithAttributes(attribute.String("kind", kind))
	}
	// It fails only for instruments of another meter.
	_, _ = m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for kind, w := range walkers {
			o.ObserveInt64(m.slots, int64(len(w.slots)), labels[kind])
		}
		return nil
	}, m.slots)
}
