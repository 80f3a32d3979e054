// Package temporalerr carries the domain's errors through Temporal: an activity's error becomes a failure whose type is the
// error's code, and the caller of the workflow gets it back as a [twtr.Error].
package temporalerr

import (
	"context"
	"errors"
	"strings"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"github.com/twtr-dev/twtr"
)

// Interceptor turns a domain error with a permanent code, returned by an activity, into a failure that is not retried, and
// drops its cause. A [twtr.Unavailable] one keeps its text, and its code becomes the failure's type, which tells an outage from
// anything else. All other errors are left as they are. The retry policy decides about both.
type Interceptor struct {
	interceptor.WorkerInterceptorBase
}

// InterceptActivity implements [interceptor.WorkerInterceptor].
func (i *Interceptor) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &inbound{interceptor.ActivityInboundInterceptorBase{Next: next}}
}

type inbound struct {
	interceptor.ActivityInboundInterceptorBase
}

func (i *inbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	result, err := i.Next.ExecuteActivity(ctx, in)
	e, ok := errors.AsType[*twtr.Error](err)
	if ok && e.Code == twtr.Unavailable {
		return nil, temporal.NewApplicationError(err.Error(), string(e.Code))
	}
	if ok && e.Code.Permanent() {
		return nil, temporal.NewApplicationErrorWithOptions(e.Message, string(e.Code), temporal.ApplicationErrorOptions{
			NonRetryable: true,
			// A taken username is not the worker's fault: benign errors are neither logged as warnings nor counted as failures.
			Category: temporal.ApplicationErrorCategoryBenign,
		})
	}
	return result, err
}

// FromTemporal turns an error of a Temporal call into an error of the domain: a failed activity's into what the activity
// returned, and an unavailable or overloaded server or worker into [twtr.Unavailable].
func FromTemporal(err error) error {
	if err == nil {
		return nil
	}
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok && failure.NonRetryable() {
		if code := twtr.Code(failure.Type()); code.Permanent() {
			return &twtr.Error{Code: code, Message: failure.Message()}
		}
	}
	if isUnavailable(err) || isUpdateLimit(err) || isStarting(err) || hasTypeUnavailable(err) {
		return &twtr.Error{Code: twtr.Unavailable, Message: "the service is busy or starting", Err: err}
	}
	return err
}

func isUnavailable(err error) bool {
	// The update error doesn't wrap the context's.
	if _, ok := errors.AsType[*client.WorkflowUpdateServiceTimeoutOrCanceledError](err); ok {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	var (
		unavailable *serviceerror.Unavailable
		exhausted   *serviceerror.ResourceExhausted // also of too many updates in flight
		late        *serviceerror.DeadlineExceeded
		canceled    *serviceerror.Canceled
		notReady    *serviceerror.WorkflowNotReady
	)
	return errors.As(err, &unavailable) || errors.As(err, &exhausted) || errors.As(err, &late) ||
		errors.As(err, &canceled) || errors.As(err, &notReady)
}

// isUpdateLimit reports whether a workflow run has had as many updates as the server allows. That passes: the run ends, or
// continues as new, as soon as its handlers have finished. The server gives no other sign of it than the message.
func isUpdateLimit(err error) bool {
	precondition, ok := errors.AsType[*serviceerror.FailedPrecondition](err)
	return ok && strings.Contains(precondition.Message, "limit on the total number of distinct updates")
}

// isStarting reports whether a namespace does not exist yet, or does not know the search attributes yet, which each process
// registers as soon as it can. The server gives no other sign of the second than the message.
func isStarting(err error) bool {
	if _, ok := errors.AsType[*serviceerror.NamespaceNotFound](err); ok {
		return true
	}
	invalid, ok := errors.AsType[*serviceerror.InvalidArgument](err)
	return ok && (strings.Contains(invalid.Message, "no mapping defined for search attribute") || // in the SQL visibility stores
		strings.Contains(invalid.Message, "is not defined"))
}

// hasTypeUnavailable reports whether the validator of an update refused it because the run takes no more for the moment, or an
// activity found the store unavailable.
func hasTypeUnavailable(err error) bool {
	failure, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && failure.Type() == string(twtr.Unavailable)
}
