package telemetry

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/twtr-dev/twtr"
)

// storeMetrics are those of a store's calls, by method and outcome.
type storeMetrics struct {
	engine   attribute.KeyValue
	duration metric.Float64Histogram
	rows     metric.Int64Counter
	labels   sync.Map // callLabels to metric.MeasurementOption; making one takes longer than recording
}

type callLabels struct{ method, outcome string }

func newStoreMetrics(provider metric.MeterProvider, engine string) (*storeMetrics, error) {
	meter := provider.Meter(scope)
	m := &storeMetrics{engine: attribute.String("engine", engine)}
	var err, rowsErr error
	m.duration, err = meter.Float64Histogram("twtr.store.call.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of the store's calls, by method and outcome."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	m.rows, rowsErr = meter.Int64Counter("twtr.store.rows",
		metric.WithDescription("Rows that the store's calls were about, by method and outcome."))
	return m, errors.Join(err, rowsErr)
}

func (m *storeMetrics) record(ctx context.Context, method string, rows int, took time.Duration, err error) {
	labels := callLabels{method, outcome(err)}
	option, ok := m.labels.Load(labels)
	if !ok {
		option = metric.WithAttributeSet(attribute.NewSet(m.engine,
			attribute.String("method", labels.method), attribute.String("outcome", labels.outcome)))
		m.labels.Store(labels, option)
	}
	m.duration.Record(ctx, took.Seconds(), option.(metric.MeasurementOption))
	m.rows.Add(ctx, int64(rows), option.(metric.MeasurementOption))
}

// outcome is ok, not-found, conflict, unavailable, timeout, canceled, or refused: what the store would refuse again.
func outcome(err error) string {
	switch code := twtr.ErrorCode(err); {
	case err == nil:
		return "ok"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case code == twtr.NotFound, code == twtr.Conflict, code == twtr.Unavailable:
		return string(code)
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "refused"
}
