package api

import (
	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// traceRequests is middleware that makes a span of each request by OpenTelemetry's semantic conventions for HTTP servers. It leaves
// out what may hold secrets or is chosen by the client: path, query, address and user agent.
//
// The span begins a trace, whatever traceparent the client sends: a client must not choose which requests are sampled.
func traceRequests(tracer trace.Tracer) gin.HandlerFunc {
	return func(c *gin.Context) {
		route := c.FullPath()
		if route == health {
			c.Next()
			return
		}
		method := knownMethod(c.Request.Method)
		name, attributes := method, []attribute.KeyValue{attribute.String("http.request.method", method), attribute.String("url.scheme", "http")}
		if route != "" {
			name += " " + route
			attributes = append(attributes, attribute.String("http.route", route))
		}
		if method == otherMethod {
			name = "HTTP" + name[len(method):]
		}
		ctx, span := tracer.Start(c.Request.Context(), name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...))
		defer span.End()
		c.Request = c.Request.WithContext(ctx)
		c.Next()
		status := c.Writer.Status()
		span.SetAttributes(attribute.Int("http.response.status_code", status),
			attribute.StringSlice("http.response.header.x-request-id", []string{c.GetString(requestIDKey)}))
		if status >= 500 {
			span.SetStatus(codes.Error, "")
		}
	}
}
