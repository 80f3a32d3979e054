// Package crossing carries the domain's errors through Temporal: out of an activity as a failure whose type is the
// error's code, and back into a [twtr.Error] where the caller of the workflow gets it.
package crossing

import (
	"context"
	"errors"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"github.com/twtr-dev/twtr"
)

// Interceptor makes a domain error of a final code, returned by an activity, a failure that is not tried again, without
// its cause. All other errors are left to the retry policy.
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
	if e, ok := errors.AsType[*twtr.Error](err); ok && e.Code.Final() {
		return nil, temporal.NewApplicationErrorWithOptions(e.Message, string(e.Code), temporal.ApplicationErrorOptions{
			NonRetryable: true,
			// That a name is taken is no fault of the worker: no warning in its log, no count in its metrics.
			Category: temporal.ApplicationErrorCategoryBenign,
		})
	}
	return result, err
}

// FromTemporal turns what a Temporal call returned into an error of the domain: a failed activity's into what the
// activity returned, and a server or a worker that is away into [twtr.Unavailable].
func FromTemporal(err error) error {
	if err == nil {
		return nil
	}
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok && failure.NonRetryable() {
		if code := twtr.Code(failure.Type()); code.Final() {
			return &twtr.Error{Code: code, Message: failure.Message()}
		}
	}
	if away(err) {
		return &twtr.Error{Code: twtr.Unavailable, Message: "the service is busy or starting", Err: err}
	}
	return err
}

func away(err error) bool {
	// The update error doesn't wrap the context's.
	if _, ok := errors.AsType[*client.WorkflowUpdateServiceTimeoutOrCanceledError](err); ok {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	var (
		unavailable *serviceerror.Unavailable
		exhausted   *serviceerror.ResourceExhausted
		late        *serviceerror.DeadlineExceeded
		canceled    *serviceerror.Canceled
		unfinished  *serviceerror.WorkflowNotReady
	)
	return errors.As(err, &unavailable) || errors.As(err, &exhausted) || errors.As(err, &late) ||
		errors.As(err, &canceled) || errors.As(err, &unfinished)
}
