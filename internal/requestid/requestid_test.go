package requestid

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

func work(ctx context.Context) (string, error) {
	activity.GetLogger(ctx).Info("working")
	return From(ctx), nil
}

// request is a workflow that returns the ID that its activity sees, of a local one and of a regular one.
func request(ctx workflow.Context) ([]string, error) {
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
	regular := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	seen := make([]string, 2)
	err := workflow.ExecuteLocalActivity(local, work).Get(ctx, &seen[0])
	return seen, errors.Join(err, workflow.ExecuteActivity(regular, work).Get(ctx, &seen[1]))
}

// run executes the workflow with the headers that a client with that context gives it, and returns the result and the log.
func run(ctx context.Context, t *testing.T) (seen []string, log string) {
	var out bytes.Buffer
	logs := NewLogs()
	var options client.Options
	Install(&options, logs)
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(logs.Handler(slog.NewJSONHandler(&out, nil)))))
	suite.SetContextPropagators(options.ContextPropagators)
	header := headers{}
	require.NoError(t, options.ContextPropagators[0].Inject(ctx, header))
	suite.SetHeader(&common.Header{Fields: header})
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(worker.Options{
		Interceptors:             []interceptor.WorkerInterceptor{options.Interceptors[0].(interceptor.WorkerInterceptor)},
		DeadlockDetectionTimeout: time.Minute, // the machine may be busy
	})
	env.RegisterActivity(work)
	env.ExecuteWorkflow(request)
	require.NoError(t, env.GetWorkflowError())
	require.NoError(t, env.GetWorkflowResult(&seen))
	return seen, out.String()
}

type headers map[string]*common.Payload

func (h headers) Set(name string, value *common.Payload) { h[name] = value }

func TestARequestsIDReachesTheActivitiesOfItsWorkflowAndTheirLogLines(t *testing.T) {
	seen, log := run(With(t.Context(), "r-1"), t)
	require.Equal(t, []string{"r-1", "r-1"}, seen)
	require.Regexp(t, `"msg":"working".*"request_id":"r-1"`, log)
}

func TestAWorkflowWithoutARequestRunsAsBefore(t *testing.T) {
	seen, log := run(t.Context(), t)
	require.Equal(t, []string{"", ""}, seen)
	require.NotContains(t, log, "request_id")
}

func TestEachLineAboutARunOfWhichAnActivityIsKnownHasTheRequestsID(t *testing.T) {
	var out bytes.Buffer
	logs := NewLogs()
	log := slog.New(logs.Handler(slog.NewJSONHandler(&out, nil)))
	logs.ids.Add("run-1", "r-1")
	log.Error("Activity error.", "WorkflowID", "w", "RunID", "run-1") // as the SDK logs it
	require.Contains(t, out.String(), `"request_id":"r-1"`)
	out.Reset()
	log.With("RunID", "run-1").Warn("with")
	require.Contains(t, out.String(), `"request_id":"r-1"`)
	out.Reset()
	log.Error("Activity error.", "RunID", "run-2")
	log.With("RunID", "run-2").Warn("with")
	require.NotContains(t, out.String(), "request_id")
}

func TestAHeaderThatIsNoIDIsIgnored(t *testing.T) {
	payload, err := converter.GetDefaultDataConverter().ToPayload(7)
	require.NoError(t, err)
	ctx, err := propagator{}.Extract(t.Context(), reader{header: payload})
	require.NoError(t, err)
	require.Empty(t, From(ctx))
}

type reader map[string]*common.Payload

func (r reader) Get(name string) (*common.Payload, bool) {
	p, ok := r[name]
	return p, ok
}

func (r reader) ForEachKey(do func(string, *common.Payload) error) error {
	for name, p := range r {
		if err := do(name, p); err != nil {
			return err
		}
	}
	return nil
}
