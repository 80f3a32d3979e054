package crossing_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/crossing"
)

// cross has an activity fail with err, and returns what the workflow's caller would get.
func cross(err error) error {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&crossing.Interceptor{}}})
	fail := func(context.Context) error { return err }
	env.RegisterActivity(fail)
	_, err = env.ExecuteActivity(fail)
	return err
}

func TestADomainErrorCrossesWithCodeAndMessageAndWithoutItsCause(t *testing.T) {
	failure := cross(fmt.Errorf("store: %w", &twtr.Error{Code: twtr.Conflict, Message: "username ann is taken", Err: errors.New("SECRET")}))
	application, ok := errors.AsType[*temporal.ApplicationError](failure)
	require.True(t, ok)
	require.True(t, application.NonRetryable())
	require.NotContains(t, failure.Error(), "SECRET")
	require.Equal(t, &twtr.Error{Code: twtr.Conflict, Message: "username ann is taken"}, crossing.FromTemporal(failure))
}

func TestAllOtherErrorsAreTriedAgain(t *testing.T) {
	for _, err := range []error{errors.New("broken"), &twtr.Error{Code: twtr.Unavailable, Message: "the store does not answer"}} {
		application, ok := errors.AsType[*temporal.ApplicationError](cross(err))
		require.True(t, ok)
		require.False(t, application.NonRetryable())
		require.Equal(t, twtr.Internal, twtr.ErrorCode(crossing.FromTemporal(application)))
	}
}

func TestAServerOrWorkerThatIsAwayIsUnavailable(t *testing.T) {
	for _, err := range []error{
		client.NewWorkflowUpdateServiceTimeoutOrCanceledError(context.DeadlineExceeded),
		context.DeadlineExceeded,
		serviceerror.NewUnavailable("x"),
		&serviceerror.ResourceExhausted{},
		serviceerror.NewDeadlineExceeded("x"),
	} {
		require.Equal(t, twtr.Unavailable, twtr.ErrorCode(crossing.FromTemporal(fmt.Errorf("call: %w", err))), "%T", err)
	}
	require.NoError(t, crossing.FromTemporal(nil))
	require.Equal(t, twtr.Internal, twtr.ErrorCode(crossing.FromTemporal(serviceerror.NewInvalidArgument("x"))))
}
