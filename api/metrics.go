package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// requestMetrics records each request by OpenTelemetry's semantic conventions for HTTP servers. Nothing that a client chooses
// freely is a label, so no client can make series at will: that is why it is not otelgin, which has the port in the Host header.
type requestMetrics struct {
	duration               metric.Float64Histogram
	requestSize, replySize metric.Int64Histogram
	accepted, rejections   metric.Int64Counter
	labels                 sync.Map // requestLabels to metric.MeasurementOption; making one takes longer than recording
}

type requestLabels struct {
	method, route string
	status        int
}

func newRequestMetrics(provider metric.MeterProvider) (*requestMetrics, error) {
	var (
		m     requestMetrics
		meter = provider.Meter("github.com/twtr-dev/twtr/api")
		err   error
	)
	if m.duration, err = meter.Float64Histogram("http.server.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of HTTP server requests."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10)); err != nil {
		return nil, err
	}
	if m.requestSize, err = meter.Int64Histogram("http.server.request.body.size", metric.WithUnit("By"),
		metric.WithDescription("Size of HTTP server request bodies."), sizeBounds); err != nil {
		return nil, err
	}
	if m.replySize, err = meter.Int64Histogram("http.server.response.body.size", metric.WithUnit("By"),
		metric.WithDescription("Size of HTTP server response bodies."), sizeBounds); err != nil {
		return nil, err
	}
	if m.rejections, err = meter.Int64Counter("twtr.ratelimit.rejections",
		metric.WithDescription("Requests over a rate limit, by limit.")); err != nil {
		return nil, err
	}
	m.accepted, err = meter.Int64Counter("twtr.tweets.accepted",
		metric.WithDescription("Tweets whose delivery Temporal has accepted; one that is posted again with its key counts again."))
	if err == nil {
		m.accepted.Add(context.Background(), 0)
	}
	return &m, err
}

var sizeBounds = metric.WithExplicitBucketBoundaries(0, 100, 1000, 4000, 16_000, 64_000, 256_000)

// methods are those of RFC 9110 and PATCH. All others are one label.
var methods = []string{"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}

const otherMethod = "_OTHER"

func knownMethod(method string) string {
	if slices.Contains(methods, method) {
		return method
	}
	return otherMethod
}

// record is middleware.
func (m *requestMetrics) record(c *gin.Context) {
	begin, ctx := time.Now(), c.Request.Context() // the inner middleware's context has ended after it
	c.Next()
	option := m.option(requestLabels{knownMethod(c.Request.Method), c.FullPath(), c.Writer.Status()})
	m.duration.Record(ctx, time.Since(begin).Seconds(), option)
	m.requestSize.Record(ctx, max(0, c.Request.ContentLength), option) // -1: of unknown length
	m.replySize.Record(ctx, int64(max(0, c.Writer.Size())), option)    // -1: none
}

func (m *requestMetrics) option(l requestLabels) metric.MeasurementOption {
	if option, ok := m.labels.Load(l); ok {
		return option.(metric.MeasurementOption)
	}
	labels := []attribute.KeyValue{
		attribute.String("http.request.method", l.method),
		attribute.Int("http.response.status_code", l.status),
		attribute.String("url.scheme", "http"), // TLS ends in front of us
	}
	if l.route != "" { // there is none at an unknown path
		labels = append(labels, attribute.String("http.route", l.route))
	}
	option := metric.WithAttributeSet(attribute.NewSet(labels...))
	m.labels.Store(l, option)
	return option
}
