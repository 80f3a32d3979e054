package activities

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

const (
	// followerPage is how many followers are read, and then acted upon, at a time.
	followerPage = 500
	// pageWindow is for how long a page of followers may be acted upon after it was read. Then it is read again:
	// whoever unfollowed meanwhile is not on it any more, so a sweep after an unfollow need not wait much longer.
	pageWindow = 3 * time.Second
	// firstPause, doubled until lastPause, is after how long a page is tried again that the store did not manage.
	firstPause, lastPause = 100 * time.Millisecond, 800 * time.Millisecond
	// heartbeatEvery is below the worker's MaxHeartbeatThrottleInterval, so that the throttle decides.
	heartbeatEvery = 100 * time.Millisecond
)

// errStopping hands a walk that has not ended to another worker.
var errStopping = errors.New("this worker is stopping; another goes on from here")

// found is what an audit finds in a page of followers.
type found struct{ missing, extra int64 }

// walk goes through the author's followers, bucket by bucket, all that start has left side by side, and has act do its
// work on a page of them at a time, within the window after it was read. It returns how far it came, which its heartbeats
// carry too: a retry of the activity resumes from the last of them. It stops after a budget of followers, unless that is 0.
func (a *Feeds) walk(ctx context.Context, author string, start twtr.Delivery, budget int64, window time.Duration,
	act func(ctx context.Context, followers []string) (found, error)) (twtr.Delivery, error) {
	before := start.Delivered
	if activity.HasHeartbeatDetails(ctx) {
		start = twtr.Delivery{}
		if err := activity.GetHeartbeatDetails(ctx, &start); err != nil {
			return twtr.Delivery{}, err
		}
	}
	p := newProgress(start)
	stop := beat(ctx, func() any { return p.snapshot() })
	defer stop()
	stopping := activity.GetWorkerStopChannel(ctx)
	places := a.LargePages
	if budget != 0 {
		places = a.Pages
	}

	if fresh(start) { // nearly every author's followers are one page, which one read brings
		many := false
		page, f, err := a.page(ctx, places, window, func(ctx context.Context) ([]string, error) {
			page, err := a.Follows.SomeFollowers(ctx, author, followerPage+1)
			if many = len(page) > followerPage; many {
				page = nil
			}
			return page, err
		}, act)
		if err != nil {
			return start, err
		}
		if !many {
			all := twtr.Delivery{Delivered: int64(len(page)), Missing: f.missing, Extra: f.extra}
			return all, a.Rate.wait(ctx, len(page))
		}
	}

	g, gctx := errgroup.WithContext(ctx)
	for _, cursor := range start.Left {
		g.Go(func() error {
			for {
				select {
				case <-stopping:
					return errStopping
				default:
				}
				page, f, err := a.page(gctx, places, window, func(ctx context.Context) ([]string, error) {
					return a.Follows.Followers(ctx, author, cursor.Bucket, cursor.After, followerPage)
				}, act)
				if err != nil {
					return err
				}
				done := len(page) < followerPage
				if !done {
					cursor.After = page[len(page)-1]
				}
				count := p.advance(cursor, len(page), f, done)
				// After the page, whose window it must not use up.
				if err := a.Rate.wait(gctx, len(page)); err != nil {
					return err
				}
				// Each bucket has had a page at least, so that an empty one is not left for the next step.
				if done || budget != 0 && count-before >= budget {
					return nil
				}
			}
		})
	}
	err := g.Wait()
	if err != nil {
		activity.RecordHeartbeat(ctx, p.snapshot()) // the retry begins here
	}
	return p.snapshot(), err
}

// fresh says whether nothing was done yet, in any bucket.
func fresh(d twtr.Delivery) bool {
	return len(d.Left) == twtr.FollowerBuckets && !slices.ContainsFunc(d.Left, func(c twtr.BucketCursor) bool { return c.After != "" })
}

// page reads followers, when there is a place, and has act do its work on them. If the store doesn't manage that, it tries
// again, some times and ever later, and keeps its place while it waits: so the more pages fail the fewer are in hand, and an
// overload passes. One that stays fails the activity, which is for Temporal to show and to retry.
func (a *Feeds) page(ctx context.Context, places chan struct{}, window time.Duration, read func(context.Context) ([]string, error),
	act func(ctx context.Context, followers []string) (found, error)) (followers []string, f found, err error) {
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-ctx.Done():
		return nil, f, ctx.Err()
	}
	for pause := firstPause; ; pause *= 2 {
		followers, f, err = tryPage(ctx, window, read, act)
		away := twtr.ErrorCode(err) == twtr.Unavailable || errors.Is(err, context.DeadlineExceeded)
		if !away || ctx.Err() != nil || pause > lastPause {
			return followers, f, err
		}
		select {
		case <-time.After(pause):
		case <-activity.GetWorkerStopChannel(ctx):
			return nil, f, errStopping
		case <-ctx.Done():
			return nil, f, ctx.Err()
		}
	}
}

func tryPage(ctx context.Context, window time.Duration, read func(context.Context) ([]string, error),
	act func(ctx context.Context, followers []string) (found, error)) (followers []string, f found, err error) {
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	followers, err = read(ctx)
	if err == nil && len(followers) > 0 {
		f, err = act(ctx, followers)
	}
	return followers, f, err
}

// progress is a [twtr.Delivery] that several goroutines move on.
type progress struct {
	mu    sync.Mutex
	order []int // buckets, in the order they were given
	after map[int]string
	now   twtr.Delivery // its Left is made anew for each snapshot
}

func newProgress(d twtr.Delivery) *progress {
	p := &progress{after: map[int]string{}, now: d}
	for _, c := range d.Left {
		p.order = append(p.order, c.Bucket)
		p.after[c.Bucket] = c.After
	}
	return p
}

func (p *progress) advance(to twtr.BucketCursor, n int, f found, done bool) (count int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Delivered += int64(n)
	p.now.Missing += f.missing
	p.now.Extra += f.extra
	if done {
		delete(p.after, to.Bucket)
	} else {
		p.after[to.Bucket] = to.After
	}
	return p.now.Delivered
}

func (p *progress) snapshot() twtr.Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.now
	d.Left = nil
	for _, bucket := range p.order {
		if after, left := p.after[bucket]; left {
			d.Left = append(d.Left, twtr.BucketCursor{Bucket: bucket, After: after})
		}
	}
	return d
}

// beat reports details until the returned function is called. The small delivery, nearly every one, is over before the
// first report.
func beat(ctx context.Context, details func() any) (stop func()) {
	ticker, done := time.NewTicker(heartbeatEvery), make(chan struct{})
	go func() {
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				activity.RecordHeartbeat(ctx, details())
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}
