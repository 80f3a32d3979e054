package activities

import (
	"context"

	"golang.org/x/time/rate"
)

// Rate limits how many feeds a second are written, or looked at, in all walks of a process together.
type Rate struct {
	limiter *rate.Limiter
	// turn has room for one page that waits, so that pages go on one by one. If all waited at the same time, all would go on
	// at the same time: so many pages at once, and then none for a while.
	turn chan struct{}
}

// NewRate is a limit of so many feeds a second; 0 is none.
func NewRate(perSecond int) *Rate {
	r := &Rate{limiter: rate.NewLimiter(0, followerPage), turn: make(chan struct{}, 1)}
	r.Set(perSecond)
	return r
}

// Set changes the limit, also for those that wait.
func (r *Rate) Set(perSecond int) {
	if perSecond == 0 {
		r.limiter.SetLimit(rate.Inf)
	} else {
		r.limiter.SetLimit(rate.Limit(perSecond))
	}
}

// wait returns when n feeds more may be done. It waits for a tenth of a second's worth at a time, because a wait that has
// begun takes no notice of a limit that is changed.
func (r *Rate) wait(ctx context.Context, n int) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for n > 0 {
		some := n
		if limit := r.limiter.Limit(); limit != rate.Inf {
			some = max(1, min(n, int(limit/10)))
		}
		if err := r.limiter.WaitN(ctx, some); err != nil {
			return err
		}
		n -= some
	}
	return nil
}
