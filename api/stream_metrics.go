package api

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// streamMetrics are those of the live feeds.
type streamMetrics struct {
	open         metric.Int64UpDownCounter
	sent         metric.Int64Counter
	ended        metric.Int64Counter
	checks       metric.Int64Counter
	fromEvents   metric.MeasurementOption
	fromStore    metric.MeasurementOption
	ok, notOK    metric.MeasurementOption
	endedReasons map[endReason]metric.MeasurementOption
}

func newStreamMetrics(provider metric.MeterProvider) (*streamMetrics, error) {
	meter := provider.Meter("github.com/twtr-dev/twtr/api")
	m := &streamMetrics{endedReasons: map[endReason]metric.MeasurementOption{}}
	var errs [4]error
	m.open, errs[0] = meter.Int64UpDownCounter("twtr.streams.open", metric.WithDescription("Live feeds that are open."))
	m.sent, errs[1] = meter.Int64Counter("twtr.streams.events",
		metric.WithDescription("Events sent to live feeds, by where they were found: as they were published, or by a check of the store."))
	m.ended, errs[2] = meter.Int64Counter("twtr.streams.ended", metric.WithDescription("Live feeds that have ended, by the reason."))
	m.checks, errs[3] = meter.Int64Counter("twtr.streams.checks", metric.WithDescription("Checks of the store by live feeds, by their outcome."))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	label := func(name, value string) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(attribute.String(name, value)))
	}
	m.fromEvents, m.fromStore = label("source", "event"), label("source", "store")
	m.ok, m.notOK = label("outcome", "ok"), label("outcome", "error")
	ctx := context.Background()
	m.open.Add(ctx, 0)
	for _, reason := range endReasons {
		m.endedReasons[reason] = label("reason", string(reason))
		m.ended.Add(ctx, 0, m.endedReasons[reason])
	}
	for _, option := range []metric.MeasurementOption{m.fromEvents, m.fromStore} {
		m.sent.Add(ctx, 0, option)
	}
	for _, option := range []metric.MeasurementOption{m.ok, m.notOK} {
		m.checks.Add(ctx, 0, option)
	}
	return m, nil
}
