package events

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/twtr-dev/twtr"
)

// metrics are those of publishing.
type metrics struct {
	events   metric.Int64Counter
	duration metric.Float64Histogram
}

func newMetrics(provider metric.MeterProvider) (*metrics, error) {
	if provider == nil {
		provider = noop.NewMeterProvider()
	}
	meter := provider.Meter("github.com/twtr-dev/twtr/internal/events")
	m := &metrics{}
	var countErr, durationErr error
	m.events, countErr = meter.Int64Counter("twtr.events.published",
		metric.WithDescription("Attempts to publish an event, by type and outcome."))
	m.duration, durationErr = meter.Float64Histogram("twtr.events.publish.duration", metric.WithUnit("s"),
		metric.WithDescription("Time until NATS has acknowledged an event, or the attempt has failed, by outcome."),
		metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5))
	return m, errors.Join(countErr, durationErr)
}

// published records an attempt that began at a time and ends now.
func (m *metrics) published(ctx context.Context, kind twtr.EventType, began time.Time, err *error) {
	outcome := "ok"
	if *err != nil {
		outcome = "error"
	}
	label := attribute.String("outcome", outcome)
	m.events.Add(ctx, 1, metric.WithAttributes(attribute.String("event", string(kind)), label))
	m.duration.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(label))
}
