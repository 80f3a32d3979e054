package activities

import (
	"context"

	"golang.org/x/time/rate"
)

// Rate limits how many feeds per second all walks of a process write together.
type Rate struct {
	limiter *rate.Limiter
	// turn admits one waiting page at a time. If all waited concurrently, all would continue at the same moment: many pages
	// at once, and then none for a while.
	turn chan struct{}
}

// NewRate returns a limit of that many feeds per second; 0: no limit.
func NewRate(perSecond int) *Rate {
	r := &Rate{limiter: rate.NewLimiter(0, followerPage), turn: make(chan struct{}, 1)}
	r.Set(perSecond)
	return r
}

// Set changes the limit, also for pages that are waiting.
func (r *Rate) Set(perSecond int) {
	if perSecond == 0 {
		r.limiter.SetLimit(rate.Inf)
	} else {
		r.limiter.SetLimit(rate.Limit(perSecond))
	}
}

// perSecond is the limit; 0: none.
func (r *Rate) perSecond() int {
	if limit := r.limiter.Limit(); limit != rate.Inf {
		return int(limit)
	}
	return 0
}

// wait returns when n more feeds may be written. It waits for a tenth of a second's worth at a time, because a wait that has
// begun ignores a change of the limit.
func (r *Rate) wait(ctx context.Context, n int) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for n > 0 {
		some := min(n, followerPage)
		if limit := r.limiter.Limit(); limit != rate.Inf {
			some = max(1, min(some, int(limit/10)))
		}
		if err := r.limiter.WaitN(ctx, some); err != nil {
			return err
		}
		n -= some
	}
	return nil
}
