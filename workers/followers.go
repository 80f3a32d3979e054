package workers

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

func registerFollowers(r worker.Registry, deps Dependencies) {
	// A run takes seconds, but each new request for the pair joins it and prolongs it: pinned, one busy pair would keep an old
	// version from draining for hours. In return, a change of this workflow must let open runs continue (workflow.GetVersion), as
	// without versioning; the recorded histories check it.
	r.RegisterWorkflowWithOptions(workflows.Follow, autoUpgrade)
	// The same holds for each change of a bucket.
	r.RegisterWorkflowWithOptions(workflows.CountFollowers, autoUpgrade)
	// Pinned: it takes some minutes.
	r.RegisterWorkflowWithOptions(workflows.RecountDrifted, pinned)
	r.RegisterActivity(deps.events())
	r.RegisterActivity(&activities.Followers{Store: deps.Store, Counts: deps.counts, Metrics: deps.Metrics})
	r.RegisterActivity(&activities.Samples{Recent: deps.recent})
}

// requestEvery is the minimum interval at which a process signals the workflow that counts a bucket. It is shorter than the time
// for which that workflow waits after a signal, so the count also starts after each change that was not signaled.
const requestEvery = 2 * time.Second

// countRequests starts, or signals, the workflow that counts a bucket. It implements [activities.CountRequester].
type countRequests struct {
	client client.Client

	mu       sync.Mutex
	signaled map[activities.Bucket]time.Time // the start of the last signal
}

func newCountRequests(c client.Client) *countRequests {
	return &countRequests{client: c, signaled: map[activities.Bucket]time.Time{}}
}

// RequestCount implements [activities.CountRequester].
func (c *countRequests) RequestCount(ctx context.Context, b activities.Bucket) error {
	now := time.Now()
	if c.isSignaled(b, now) {
		return nil
	}
	in := workflows.CountFollowersInput{Bucket: b}
	options := in.StartOptions()
	if _, err := c.client.SignalWithStartWorkflow(ctx, options.ID, workflows.CountChanged, nil, options, workflows.CountFollowers, in); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signaled[b] = now
	return nil
}

// isSignaled reports whether the bucket's workflow was signaled so recently that its count will begin after now. It forgets
// older signals.
func (c *countRequests) isSignaled(b activities.Bucket, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for bucket, at := range c.signaled {
		if now.Sub(at) >= requestEvery {
			delete(c.signaled, bucket)
		}
	}
	_, ok := c.signaled[b]
	return ok
}
