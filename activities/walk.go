package activities

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

const (
	// firstPage is how many followers a walk reads at first, of all buckets in one request: all that most authors have. It is
	// one page, written well within the window.
	firstPage = 2000
	// followerPage is how many followers of one bucket are read, and then acted upon, at a time.
	followerPage = 500
	// smallestPage is the smallest that pages become when the store is too slow to write them within their window.
	smallestPage = 25
	// pageWindow bounds the time from reading a page of followers to acting upon it. After it the page is read again: users
	// who unfollowed in the meantime are no longer on it, so the sweep after an unfollow needs to wait little longer than this.
	pageWindow = 3 * time.Second
	// slots is how many pages of one walker are in flight at a time: enough to keep the store busy, few enough that each is
	// written well within its window.
	slots = 32
	// firstPause is the time before a page that the store could not serve is retried; it doubles up to lastPause.
	firstPause, lastPause = 100 * time.Millisecond, 800 * time.Millisecond
	// heartbeatEvery is below the worker's MaxHeartbeatThrottleInterval, which decides how often a heartbeat is sent.
	heartbeatEvery = 100 * time.Millisecond
)

// errStopping hands an unfinished walk to another worker.
var errStopping = errors.New("this worker is stopping; another one resumes from here")

// walker visits the followers of authors. All walks of one walker share its slots, and all walkers of a process its rate.
type walker struct {
	follows twtr.FollowStore
	rate    *Rate
	metrics *Metrics
	slots   chan struct{}
}

func newWalker(follows twtr.FollowStore, c FeedsConfig, slots int) *walker {
	return &walker{follows: follows, rate: c.Rate, metrics: c.Metrics, slots: make(chan struct{}, slots)}
}

// walk is one visit to the followers of an author.
type walk struct {
	*walker
	step   string // what it is, for the metrics
	author string
	// budget is the number of followers after which the walk stops; 0: never.
	budget int64
	// act does the walk's work on a page of followers, or on a part of it, which is never empty, within the window after the page
	// was read.
	act    func(ctx context.Context, followers []string) error
	window time.Duration // 0: pageWindow

	progress *progress
	waiting  atomic.Int32 // how many pages wait for the rate
}

// run visits all buckets that from has left, concurrently, and returns how far it came. Its heartbeats, of type [WalkHeartbeat], carry
// the same, and a retry of the activity resumes from the last of them.
func (w *walk) run(ctx context.Context, from twtr.Progress) (twtr.Progress, error) {
	if activity.HasHeartbeatDetails(ctx) {
		from = twtr.Progress{}
		if err := activity.GetHeartbeatDetails(ctx, &from); err != nil {
			return from, err
		}
	}
	w.progress = newProgress(from)
	defer heartbeat(ctx, func() any { return w.status() })()
	walking, cancel := untilStopping(ctx)
	defer cancel()
	err := w.visit(walking)
	if err != nil {
		activity.RecordHeartbeat(ctx, w.progress.snapshot()) // the retry starts here
	}
	return w.progress.snapshot(), stopped(walking, err)
}

// WalkHeartbeat is the heartbeat of a walk.
type WalkHeartbeat struct {
	twtr.Progress
	// RowsPerSecond is the limit of [Rate] that the walk waits for; 0 if it does not wait.
	RowsPerSecond int `json:"rowsPerSecond,omitempty"`
}

func (w *walk) status() WalkHeartbeat {
	status := WalkHeartbeat{Progress: w.progress.snapshot()}
	if w.waiting.Load() > 0 {
		status.RowsPerSecond = w.rate.perSecond()
	}
	return status
}

// wait returns when the rate allows n more feeds.
func (w *walk) wait(ctx context.Context, n int) error {
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	return w.rate.wait(ctx, n)
}

// untilStopping is a context that ends with [errStopping] when the worker begins to stop, wherever the activity waits.
func untilStopping(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stopping := activity.GetWorkerStopChannel(ctx)
	go func() {
		select {
		case <-stopping:
			cancel(errStopping)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// stopped is err or, if there is one and the context has ended, why the context has.
func stopped(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (w *walk) visit(ctx context.Context) error {
	if w.progress.fresh() {
		if err := w.visitFirst(ctx); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, cursor := range w.progress.snapshot().Left {
		g.Go(func() error { return w.visitBucket(ctx, cursor) })
	}
	return g.Wait()
}

// visitFirst visits the first followers of all buckets as one page.
func (w *walk) visitFirst(ctx context.Context) error {
	var left []twtr.BucketCursor
	size := startSize(ctx, firstPage)
	page, err := w.page(ctx, &size, func(ctx context.Context, limit int) (followers []string, err error) {
		followers, left, err = w.follows.FirstFollowers(ctx, w.author, limit)
		return followers, err
	})
	if err != nil {
		return err
	}
	w.progress.replace(left, page)
	if len(left) > 0 {
		w.readFollowers(ctx)
	}
	return w.wait(ctx, len(page.followers))
}

// readFollowers reads about how many followers there are. It is only for people who watch, so an error is no reason to stop.
func (w *walk) readFollowers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pageWindow)
	defer cancel()
	counts, err := w.follows.FollowerCounts(ctx, w.author)
	if err != nil {
		activity.GetLogger(ctx).Warn("followers not counted; progress has no total", "author", w.author, "error", err)
		return
	}
	w.progress.mu.Lock()
	defer w.progress.mu.Unlock()
	w.progress.followers = int64(twtr.CountOf(counts))
}

// visitBucket visits the followers of one bucket, page by page. It visits one page at least, so that a bucket without
// followers is never left for the next step.
func (w *walk) visitBucket(ctx context.Context, cursor twtr.BucketCursor) error {
	for size := startSize(ctx, followerPage); ; size = min(2*size, followerPage) {
		page, err := w.page(ctx, &size, func(ctx context.Context, limit int) ([]string, error) {
			return w.follows.Followers(ctx, w.author, cursor.Bucket, cursor.After, limit)
		})
		if err != nil {
			return err
		}
		more := len(page.followers) == size
		if more {
			cursor.After = page.followers[size-1]
		}
		visited := w.progress.advance(cursor, page, more)
		// After the page, so that it does not use up the page's window.
		if err := w.wait(ctx, len(page.followers)); err != nil {
			return err
		}
		if !more || w.budget != 0 && visited >= w.budget {
			return nil
		}
	}
}

// startSize is the size of the first page of an attempt: half of full after each attempt before it. Without this, an attempt whose
// first pages do not fit their windows would fail as the last one did, and so on forever.
func startSize(ctx context.Context, full int) int {
	return max(full>>(min(activity.GetInfo(ctx).Attempt, 16)-1), smallestPage)
}

// visited is a page of followers, and those of them whose feeds the store refused to write.
type visited struct {
	followers, refused []string
}

// page acquires a slot, reads one page of followers, of that size, and acts upon it. While the store is unavailable it retries with
// backoff and keeps its slot, so concurrency drops under overload. After a page that did not fit its window the next one has half the
// size. If that fails, the activity fails and Temporal retries it.
func (w *walk) page(ctx context.Context, size *int, read func(ctx context.Context, limit int) ([]string, error)) (visited, error) {
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return visited{}, ctx.Err()
	}
	for pause := firstPause; ; pause *= 2 {
		page, err := w.tryPage(ctx, func(ctx context.Context) ([]string, error) { return read(ctx, *size) })
		if err == nil {
			w.metrics.page(ctx, w.step, len(page.followers), len(page.refused))
		}
		late := errors.Is(err, context.DeadlineExceeded)
		if !late && twtr.ErrorCode(err) != twtr.Unavailable || ctx.Err() != nil || pause > lastPause {
			return page, err
		}
		if late {
			*size = max(*size/2, smallestPage)
		}
		w.metrics.retry(ctx, w.step)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return visited{}, ctx.Err()
		}
	}
}

func (w *walk) tryPage(ctx context.Context, read func(context.Context) ([]string, error)) (page visited, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(w.window, pageWindow))
	defer cancel()
	page.followers, err = read(ctx)
	if err == nil && len(page.followers) > 0 {
		page.refused, err = accepted(ctx, page.followers, feedName, w.act)
	}
	return page, err
}

// progress is a [twtr.Progress] that several goroutines advance.
type progress struct {
	mu    sync.Mutex
	left  []twtr.BucketCursor
	done  int64
	begun int64 // done and failed when this attempt began

	failed  int64
	readers []string // the first that failed

	followers int64 // about how many there are; 0: not known
}

func newProgress(from twtr.Progress) *progress {
	p := &progress{done: from.Done, begun: from.Done + from.Failed, failed: from.Failed, followers: from.Followers}
	p.readers = append(p.readers, from.FailedReaders...)
	p.left = append(p.left, from.Left...)
	return p
}

// fresh reports whether the walk has visited no bucket yet.
func (p *progress) fresh() bool {
	for _, cursor := range p.left {
		if cursor.After != "" {
			return false
		}
	}
	return len(p.left) == twtr.FollowerBuckets
}

func (p *progress) replace(left []twtr.BucketCursor, page visited) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = left
	p.count(page)
}

func (p *progress) count(page visited) {
	p.done += int64(len(page.followers) - len(page.refused))
	p.failed += int64(len(page.refused))
	p.readers = append(p.readers, page.refused[:min(len(page.refused), twtr.MaxFailedReaders-len(p.readers))]...)
}

// advance moves the cursor of a bucket, or removes it if the bucket has no more followers, and returns how many followers the
// attempt has visited.
func (p *progress) advance(cursor twtr.BucketCursor, page visited, more bool) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(page)
	for i := range p.left {
		if p.left[i].Bucket != cursor.Bucket {
			continue
		}
		if more {
			p.left[i] = cursor
		} else {
			p.left = append(p.left[:i], p.left[i+1:]...)
		}
		break
	}
	return p.done + p.failed - p.begun
}

func (p *progress) snapshot() twtr.Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	return twtr.Progress{Left: slices.Clone(p.left), Done: p.done, Failed: p.failed, FailedReaders: slices.Clone(p.readers), Followers: p.followers}
}

// heartbeat records details as the activity's heartbeat until stop is called. Nearly every delivery is over before the first.
func heartbeat(ctx context.Context, details func() any) (stop func()) {
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
