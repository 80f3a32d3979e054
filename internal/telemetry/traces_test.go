package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/store/sqlite/sqlitetest"
)

// recorded are traces that are kept in memory.
func recorded(t *testing.T) (*Traces, *tracetest.InMemoryExporter) {
	spans := tracetest.NewInMemoryExporter()
	traces := &Traces{sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))}
	t.Cleanup(traces.Close)
	return traces, spans
}

// attributes are those of a span, as text.
func attributes(span tracetest.SpanStub) map[attribute.Key]string {
	all := map[attribute.Key]string{}
	for _, a := range span.Attributes {
		all[a.Key] = a.Value.String()
	}
	return all
}

func TestTracesAreOffUntilTheEnvironmentNamesAnEndpoint(t *testing.T) {
	for _, c := range []struct {
		name  string
		env   map[string]string
		on    bool
		error string
	}{
		{name: "nothing"},
		{name: "an endpoint", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, on: true},
		{name: "an endpoint of traces", env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, on: true},
		{name: "gRPC", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, on: true},
		{name: "the default endpoint", env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, on: true},
		{name: "none", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}},
		{name: "disabled", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}},
		{name: "another exporter", env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, error: `OTEL_TRACES_EXPORTER must be otlp or none, not "zipkin"`},
		{name: "another protocol", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
			error: `export of traces: OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf or grpc, not "http/json"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			traces, err := NewTraces(t.Context(), slog.New(slog.DiscardHandler))
			if c.error != "" {
				require.EqualError(t, err, c.error)
				return
			}
			require.NoError(t, err)
			t.Cleanup(traces.Close)
			require.Equal(t, c.on, traces != nil)
			if c.on {
				return
			}
			options := client.Options{}
			require.NoError(t, traces.Install(&options))
			require.Empty(t, options.Interceptors)
			require.Nil(t, traces.Tracer())
		})
	}
}

// observed is a store whose calls have spans.
func observed(t *testing.T, traces *Traces) twtr.Store {
	t.Helper()
	metrics, err := New("v1")
	require.NoError(t, err)
	store, err := metrics.Store(sqlitetest.Open(t), "sqlite", traces)
	require.NoError(t, err)
	return store
}

func TestEachCallOfTheStoreHasASpan(t *testing.T) {
	traces, spans := recorded(t)
	var parent trace.Span
	eachCall(observed(t, traces), func() (ctx context.Context) {
		spans.Reset()
		ctx, parent = traces.Tracer().Start(t.Context(), "test")
		return ctx
	}, func(method string) {
		parent.End()
		all := spans.GetSpans()
		require.Len(t, all, 2, method)
		require.Equal(t, method, all[0].Name)
		require.Equal(t, all[1].SpanContext.SpanID(), all[0].Parent.SpanID())
		require.Equal(t, "sqlite", attributes(all[0])["db.system.name"])
		require.Equal(t, method, attributes(all[0])["db.operation.name"])
	})
}

func TestASpanOfACallSaysHowItWentAndNoArgument(t *testing.T) {
	traces, spans := recorded(t)
	store := observed(t, traces)
	require.NoError(t, store.CreateUser(t.Context(), twtr.User{Username: "ann"}))
	require.Empty(t, spans.GetSpans(), "there is no request, and no activity, that it is part of")

	ctx, parent := traces.Tracer().Start(t.Context(), "test")
	tweet := twtr.Tweet{ID: uuid.Must(uuid.NewV7()), Username: "ann", Body: []byte(`{"content":"secret"}`)}
	require.NoError(t, store.PutFeedItem(ctx, tweet, []string{"bob", "eve", "joe"}))
	_, err := store.User(ctx, "nobody")
	require.Error(t, err)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = store.Followers(ended, "ann", 7, "", 10)
	require.Error(t, err)
	parent.End()
	all := spans.GetSpans()
	require.Equal(t, map[attribute.Key]string{"db.system.name": "sqlite", "db.operation.name": "PutFeedItem", "db.operation.batch.size": "3"}, attributes(all[0]))
	require.Equal(t, map[attribute.Key]string{"db.system.name": "sqlite", "db.operation.name": "User"}, attributes(all[1]), "that there is none is no failure")
	require.Equal(t, map[attribute.Key]string{"db.system.name": "sqlite", "db.operation.name": "Followers", "twtr.followers.bucket": "7",
		"error.type": "canceled"}, attributes(all[2]))
}

// walker is an activity that reads many pages, and fails so often before.
type walker struct {
	store    twtr.Store
	failures int
}

func (w *walker) Walk(ctx context.Context) error {
	for range 3 * maxTracedCalls / 2 {
		if _, err := w.store.Followers(ctx, "ann", 0, "", 10); err != nil {
			return err
		}
	}
	w.failures--
	if w.failures >= 0 {
		return errors.New("not yet")
	}
	return nil
}

func walk(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Millisecond, BackoffCoefficient: 1, MaximumAttempts: 100}})
	return workflow.ExecuteActivity(ctx, "Walk").Get(ctx, nil)
}

// traced runs a workflow in the SDK's test environment.
func traced(t *testing.T, traces *Traces, wf any, registered any) *testsuite.TestWorkflowEnvironment {
	var options client.Options
	require.NoError(t, traces.Install(&options))
	env := new(testsuite.WorkflowTestSuite).NewTestWorkflowEnvironment()
	env.SetWorkerOptions(worker.Options{
		Interceptors:             []interceptor.WorkerInterceptor{options.Interceptors[0].(interceptor.WorkerInterceptor)},
		DeadlockDetectionTimeout: time.Minute, // the machine may be busy
	})
	env.RegisterActivity(registered)
	env.ExecuteWorkflow(wf)
	require.True(t, env.IsWorkflowCompleted())
	return env
}

func TestATraceIsBoundedHoweverManyPagesAndAttemptsThereAre(t *testing.T) {
	traces, spans := recorded(t)
	const failures = 3 * maxTracedAttempts
	env := traced(t, traces, walk, &walker{store: observed(t, traces), failures: failures})
	require.NoError(t, env.GetWorkflowError())
	count := map[string]int{}
	last := ""
	for _, span := range spans.GetSpans() {
		count[span.Name]++
		if span.Name == "RunActivity:Walk" {
			last = attributes(span)["twtr.activity.attempt"]
			if count[span.Name] <= maxTracedAttempts {
				require.Equal(t, "300", attributes(span)["twtr.store.calls"])
			}
		}
	}
	require.Equal(t, map[string]int{"RunWorkflow:walk": 1, "StartActivity:Walk": 1, "RunActivity:Walk": maxTracedAttempts + 1,
		"Followers": 200 + 100 + 50 + 25 + 12 + 6 + 3 + 1}, count)
	require.Equal(t, "31", last, "the attempt that succeeds")
}

func again(ctx workflow.Context) error { return workflow.NewContinueAsNewError(ctx, again) }

func TestARunThatContinuesAsNewBeginsATrace(t *testing.T) {
	traces, _ := recorded(t)
	env := traced(t, traces, again, &walker{})
	next, ok := errors.AsType[*workflow.ContinueAsNewError](env.GetWorkflowError())
	require.True(t, ok, env.GetWorkflowError())
	require.Empty(t, next.Header.GetFields())
}
