package temporalerr_test

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
	"github.com/twtr-dev/twtr/internal/temporalerr"
)

// cross runs an activity that fails with err, and returns the error that the caller of its workflow gets.
func cross(err error) error {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&temporalerr.Interceptor{}}})
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
	require.Equal(t, &twtr.Error{Code: twtr.Conflict, Message: "username ann is taken"}, temporalerr.FromTemporal(failure))
}

func TestAllOtherErrorsAreRetried(t *testing.T) {
	for _, err := range []error{errors.New("broken"), &twtr.Error{Code: twtr.Unavailable, Message: "the store does not answer"}} {
		application, ok := errors.AsType[*temporal.ApplicationError](cross(err))
		require.True(t, ok)
		require.False(t, application.NonRetryable())
		require.Equal(t, err.Error(), application.Message())
		require.Equal(t, twtr.ErrorCode(err), twtr.ErrorCode(temporalerr.FromTemporal(application)))
		require.Equal(t, twtr.ErrorCode(err) == twtr.Unavailable, application.Type() == string(twtr.Unavailable), application.Type())
	}
}

func TestAnUnavailableServerOrWorkerIsUnavailable(t *testing.T) {
	for _, err := range []error{
		client.NewWorkflowUpdateServiceTimeoutOrCanceledError(context.DeadlineExceeded),
		context.DeadlineExceeded,
		serviceerror.NewUnavailable("x"),
		&serviceerror.ResourceExhausted{},
		serviceerror.NewDeadlineExceeded("x"),
		// As the server words it; see service/history/workflow/update/registry.go of go.temporal.io/server.
		serviceerror.NewNamespaceNotFound("twtr"),
		// See common/namespace/namespace.go and common/searchattribute/validator.go of go.temporal.io/server.
		serviceerror.NewInvalidArgument("Namespace default has no mapping defined for search attribute TwtrAuthor"),
		serviceerror.NewInvalidArgument("search attribute TwtrAuthor is not defined"),
		temporal.NewApplicationError("the run takes no more requests", string(twtr.Unavailable)),
		serviceerror.NewFailedPrecondition("The limit on the total number of distinct updates in this workflow has been reached (2000). Make sure …"),
	} {
		require.Equal(t, twtr.Unavailable, twtr.ErrorCode(temporalerr.FromTemporal(fmt.Errorf("call: %w", err))), "%T", err)
	}
	require.NoError(t, temporalerr.FromTemporal(nil))
	for _, err := range []error{serviceerror.NewInvalidArgument("x"), serviceerror.NewFailedPrecondition("x")} {
		require.Equal(t, twtr.Internal, twtr.ErrorCode(temporalerr.FromTemporal(err)), "%T", err)
	}
}
