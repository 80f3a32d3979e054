package measure

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// idleTimeout bounds the wait for workflows to end.
const idleTimeout = 3 * time.Minute

// Count counts the workflows that match a query.
func Count(ctx context.Context, temporal client.Client, query string) (int64, error) {
	answer, err := temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	return answer.GetCount(), err
}

// Await polls until done returns true.
func Await(ctx context.Context, what string, done func() (bool, error)) error {
	for begin := time.Now(); ; {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if time.Since(begin) > idleTimeout {
			return fmt.Errorf("%s: not after %v", what, idleTimeout)
		}
		// A count costs the server as much as a step of a workflow, and waiting 2% longer changes no figure.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(10*time.Millisecond, time.Since(begin)/50)):
		}
	}
}
