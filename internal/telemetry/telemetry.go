// Package telemetry collects the metrics of a process and of the Temporal SDK in it for Prometheus.
package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.temporal.io/sdk/client"
	temporalotel "go.temporal.io/sdk/contrib/opentelemetry"
)

// Metrics are those of one process. Provider creates instruments.
type Metrics struct {
	Provider *metric.MeterProvider
	registry *prometheus.Registry
}

const (
	// Service is the name of all processes.
	Service       = "twtr"
	scope         = "github.com/twtr-dev/twtr/internal/telemetry"
	temporalScope = "temporal-sdk-go"
)

// temporalBounds are those of the Temporal SDK's durations, in seconds: from a local activity to a delivery to millions. By default
// they would be for milliseconds.
var temporalBounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}

// New returns the metrics of the Go runtime, the process and its build; others are added through Provider. The version is that of the
// build, "" if it is unknown.
func New(version string) (*Metrics, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	provider := metric.NewMeterProvider(
		metric.WithReader(exporter),
		metric.WithResource(resource.NewSchemaless(attribute.String("service.name", Service), attribute.String("service.version", version))),
		metric.WithView(metric.NewView(
			metric.Instrument{Kind: metric.InstrumentKindHistogram, Scope: instrumentation.Scope{Name: temporalScope}},
			metric.Stream{Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: temporalBounds}},
		)),
	)
	return &Metrics{Provider: provider, registry: registry}, nil
}

// Handler serves the metrics in Prometheus's text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Temporal returns the handler of the metrics of the Temporal SDK's client and workers.
func (m *Metrics) Temporal() client.MetricsHandler {
	return temporalotel.NewMetricsHandler(temporalotel.MetricsHandlerOptions{Meter: m.Provider.Meter(temporalScope)})
}
