package telemetry

import (
	"context"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	temporalotel "go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// A trace has at most some thousand spans, however many followers an author has and however long the store is unavailable. A delivery
// has an activity for each bucket of followers. An activity has spans of its first attempts and of the one that succeeds. An attempt
// has spans of its first calls of the store: a retry of half as many as the attempt before. The span of an attempt says how many calls
// it made.
const (
	maxTracedAttempts = 10
	maxTracedCalls    = 200
)

// traceHeader is the header of a workflow or an activity that carries its parent span.
const traceHeader = "_tracer-data"

// Install makes a client with these options, and its workers, trace what they do.
func (t *Traces) Install(o *client.Options) error {
	if t == nil {
		return nil
	}
	traced, err := temporalotel.NewTracingInterceptor(temporalotel.TracerOptions{
		Tracer:              t.Tracer(),
		HeaderKey:           traceHeader,
		DisableBaggage:      true, // which a client could choose
		DisableQueryTracing: true, // a query asks a workflow how far it is: it is no part of what the workflow does
		// A workflow whose parent cannot be read begins a trace.
		AllowInvalidParentSpans: true,
	})
	if err != nil {
		return err
	}
	o.Interceptors = append(o.Interceptors, &bounded{traced})
	return nil
}

// bounded is the SDK's interceptor, within the limits above.
type bounded struct {
	interceptor.Interceptor
}

// InterceptActivity is called for each attempt of an activity.
func (b *bounded) InterceptActivity(ctx context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	a := &attempt{}
	a.Next = next
	return &activityAttempt{b.Interceptor.InterceptActivity(ctx, a), a}
}

// activityAttempt traces an attempt, or does not.
type activityAttempt struct {
	interceptor.ActivityInboundInterceptor // the SDK's, around attempt
	attempt                                *attempt
}

func (a *activityAttempt) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	if activity.GetInfo(ctx).Attempt <= maxTracedAttempts {
		return a.ActivityInboundInterceptor.ExecuteActivity(ctx, in)
	}
	result, err := a.attempt.Next.ExecuteActivity(ctx, in)
	if err != nil {
		return result, err
	}
	a.attempt.done, a.attempt.result = true, result
	return a.ActivityInboundInterceptor.ExecuteActivity(ctx, in) // a span from when the attempt began until now
}

// attempt is within the span of an attempt.
type attempt struct {
	interceptor.ActivityInboundInterceptorBase
	done   bool
	result any
}

func (a *attempt) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(attribute.Int("twtr.activity.attempt", int(activity.GetInfo(ctx).Attempt)))
	if a.done {
		return a.result, nil
	}
	calls := &storeCalls{traced: maxTracedCalls >> (activity.GetInfo(ctx).Attempt - 1)}
	result, err := a.Next.ExecuteActivity(context.WithValue(ctx, storeCallsKey{}, calls), in)
	span.SetAttributes(attribute.Int64("twtr.store.calls", calls.made.Load()))
	return result, err
}

// storeCalls counts the calls of the store that an attempt makes, of which the first are traced.
type storeCalls struct {
	traced int64
	made   atomic.Int64
}

type storeCallsKey struct{}

// InterceptWorkflow is called for each run of a workflow.
func (b *bounded) InterceptWorkflow(ctx workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	r := &run{}
	r.Next = next
	return b.Interceptor.InterceptWorkflow(ctx, r)
}

// run is within the span of a run.
type run struct {
	interceptor.WorkflowInboundInterceptorBase
}

func (r *run) Init(outbound interceptor.WorkflowOutboundInterceptor) error {
	o := &runOutbound{}
	o.Next = outbound
	return r.Next.Init(o)
}

type runOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
}

// NewContinueAsNewError lets the next run begin a trace of its own: requests that keep a workflow busy for days would make one without
// end.
func (o *runOutbound) NewContinueAsNewError(ctx workflow.Context, wf any, args ...any) error {
	err := o.Next.NewContinueAsNewError(ctx, wf, args...)
	if next, ok := errors.AsType[*workflow.ContinueAsNewError](err); ok {
		delete(next.Header.GetFields(), traceHeader)
	}
	return err
}
