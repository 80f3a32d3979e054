// Package requestid carries the ID of an HTTP request to the workflow that the request starts, to the workflow's activities, and into
// the log lines of the workers about them.
package requestid

import (
	"context"
	"log/slog"

	lru "github.com/hashicorp/golang-lru"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// Key is the name of the ID in logs.
const Key = "request_id"

// header is the name of the ID in the headers of workflows and activities.
const header = "twtr-request-id"

type contextKey struct{}

// With returns a context that carries the ID.
func With(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// From returns the ID that the context carries; "" if there is none.
func From(ctx context.Context) string {
	id, _ := ctx.Value(contextKey{}).(string)
	return id
}

// Install makes a client with these options give the ID to the workflows that it starts, and these to their activities. Its workers
// tell logs of each activity that has one.
func Install(o *client.Options, logs *Logs) {
	o.ContextPropagators = append(o.ContextPropagators, propagator{})
	o.Interceptors = append(o.Interceptors, logs)
}

// propagator is a [workflow.ContextPropagator]. A header is no part of what a replay compares.
type propagator struct{}

func (propagator) Inject(ctx context.Context, w workflow.HeaderWriter) error {
	return write(From(ctx), w)
}

func (propagator) InjectFromWorkflow(ctx workflow.Context, w workflow.HeaderWriter) error {
	id, _ := ctx.Value(contextKey{}).(string)
	return write(id, w)
}

func write(id string, w workflow.HeaderWriter) error {
	if id == "" {
		return nil
	}
	payload, err := converter.GetDefaultDataConverter().ToPayload(id)
	if err == nil {
		w.Set(header, payload)
	}
	return err
}

func (propagator) Extract(ctx context.Context, r workflow.HeaderReader) (context.Context, error) {
	if id := read(r); id != "" {
		return With(ctx, id), nil
	}
	return ctx, nil
}

func (propagator) ExtractToWorkflow(ctx workflow.Context, r workflow.HeaderReader) (workflow.Context, error) {
	if id := read(r); id != "" {
		return workflow.WithValue(ctx, contextKey{}, id), nil
	}
	return ctx, nil
}

// read ignores what is no ID: for a name in the log no workflow fails.
func read(r workflow.HeaderReader) (id string) {
	if payload, ok := r.Get(header); ok {
		_ = converter.GetDefaultDataConverter().FromPayload(payload, &id)
	}
	return id
}

// keptRuns is the number of workflow runs whose IDs a worker keeps: of those whose activities began last.
const keptRuns = 10_000

// Logs adds the request's ID to each log line about a workflow run that an activity of this process was part of, also to those of
// Temporal's SDK.
type Logs struct {
	interceptor.InterceptorBase
	ids *lru.Cache // by run ID
}

// NewLogs makes Logs, which know no run yet.
func NewLogs() *Logs {
	ids, _ := lru.New(keptRuns) // fails only for a size that is not positive
	return &Logs{ids: ids}
}

// InterceptActivity implements [interceptor.WorkerInterceptor].
func (l *Logs) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &inbound{interceptor.ActivityInboundInterceptorBase{Next: next}, l}
}

type inbound struct {
	interceptor.ActivityInboundInterceptorBase
	logs *Logs
}

func (i *inbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	if id := From(ctx); id != "" {
		i.logs.ids.Add(activity.GetInfo(ctx).WorkflowExecution.RunID, id)
	}
	return i.Next.ExecuteActivity(ctx, in)
}

// Handler returns a handler that adds the IDs and passes all lines on.
func (l *Logs) Handler(next slog.Handler) slog.Handler { return &handler{next, l} }

type handler struct {
	slog.Handler
	logs *Logs
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if id, ok := h.logs.of(a); ok {
			r = r.Clone()
			r.AddAttrs(id)
			return false
		}
		return true
	})
	return h.Handler.Handle(ctx, r)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if id, ok := h.logs.of(a); ok {
			attrs = append(attrs[:len(attrs):len(attrs)], id)
			break
		}
	}
	return &handler{h.Handler.WithAttrs(attrs), h.logs}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.Handler.WithGroup(name), h.logs}
}

// of returns the request's ID of the run that an attribute of the SDK names.
func (l *Logs) of(a slog.Attr) (slog.Attr, bool) {
	if a.Key != "RunID" {
		return a, false
	}
	id, ok := l.ids.Get(a.Value.String())
	if !ok {
		return a, false
	}
	return slog.Any(Key, id), true
}
