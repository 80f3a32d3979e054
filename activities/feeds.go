package activities

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

const (
	// followerPage is how many followers are read, and then written to, at a time.
	followerPage = 500
	// pageWindow is for how long a page of followers may be acted upon after it was read. Then it is read again:
	// whoever unfollowed meanwhile is not on it any more, so a sweep after an unfollow need not wait longer than this.
	pageWindow = 3 * time.Second
	// heartbeatEvery is below the worker's MaxHeartbeatThrottleInterval, so that the throttle decides.
	heartbeatEvery = 100 * time.Millisecond
)

// errStopping hands a delivery that has not ended to another worker.
var errStopping = errors.New("this worker is stopping; another goes on from here")

// Feeds are the activities of task queue feeds.
type Feeds struct {
	Tweets  twtr.TweetStore
	Follows twtr.FollowStore
	Store   twtr.FeedStore
	// Pages has room for as many pages of followers as may be in hand at a time, in all deliveries of the process
	// together. A page's window begins when it has got its place, so that much to do doesn't make pages fail.
	Pages chan struct{}
}

// DeliverInput says what to deliver, and to whom.
type DeliverInput struct {
	Tweet    twtr.Tweet    `json:"tweet"`
	Delivery twtr.Delivery `json:"delivery"`
	// Budget is after how many feed items to stop and return what is left; 0 for never.
	Budget int64 `json:"budget,omitempty"`
}

// Deliver writes the tweet into the feeds of its author's followers, from where in.Delivery says on, and returns how
// far it came. Its heartbeats carry the same, and a retry resumes from the last of them.
func (a *Feeds) Deliver(ctx context.Context, in DeliverInput) (twtr.Delivery, error) {
	start := in.Delivery
	if activity.HasHeartbeatDetails(ctx) {
		start = twtr.Delivery{}
		if err := activity.GetHeartbeatDetails(ctx, &start); err != nil {
			return twtr.Delivery{}, err
		}
	}
	p := newProgress(start)
	stop := p.heartbeat(ctx)
	defer stop()
	stopping := activity.GetWorkerStopChannel(ctx)

	g, gctx := errgroup.WithContext(ctx)
	for _, cursor := range start.Left {
		g.Go(func() error {
			for {
				select {
				case <-stopping:
					return errStopping
				default:
				}
				after, n, err := a.deliverPage(gctx, in.Tweet, cursor)
				if err != nil {
					return err
				}
				done := n < followerPage
				p.advance(cursor.Bucket, after, n, done)
				// Each bucket has had a page at least, so that an empty one is not left for the next step.
				if done || in.Budget != 0 && p.delivered()-in.Delivery.Delivered >= in.Budget {
					return nil
				}
				cursor.After = after
			}
		})
	}
	err := g.Wait()
	if err != nil {
		activity.RecordHeartbeat(ctx, p.snapshot()) // the retry begins here
	}
	return p.snapshot(), err
}

// deliverPage delivers to the next followers of one bucket and returns the last of them, and how many they were.
func (a *Feeds) deliverPage(ctx context.Context, t twtr.Tweet, cursor twtr.BucketCursor) (last string, n int, err error) {
	select {
	case a.Pages <- struct{}{}:
		defer func() { <-a.Pages }()
	case <-ctx.Done():
		return "", 0, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, pageWindow)
	defer cancel()
	followers, err := a.Follows.Followers(ctx, t.Username, cursor.Bucket, cursor.After, followerPage)
	if err != nil || len(followers) == 0 {
		return "", 0, err
	}
	return followers[len(followers)-1], len(followers), a.Store.PutFeedItem(ctx, t, followers)
}

// BackfillInput says whose tweets to write into whose feed.
type BackfillInput struct {
	Reader string `json:"reader"`
	Author string `json:"author"`
}

// Backfill writes the newest [twtr.BackfillTweets] of the author into the reader's feed.
func (a *Feeds) Backfill(ctx context.Context, in BackfillInput) error {
	ctx, cancel := context.WithTimeout(ctx, pageWindow)
	defer cancel()
	tweets, err := a.Tweets.TweetsByUser(ctx, in.Author, uuid.Nil, twtr.BackfillTweets)
	if err != nil {
		return err
	}
	return a.Store.PutFeedItems(ctx, in.Reader, tweets)
}

// progress is a [twtr.Delivery] that several goroutines move on.
type progress struct {
	mu    sync.Mutex
	order []int // buckets, in the order they were given
	after map[int]string
	count int64
}

func newProgress(d twtr.Delivery) *progress {
	p := &progress{after: map[int]string{}, count: d.Delivered}
	for _, c := range d.Left {
		p.order = append(p.order, c.Bucket)
		p.after[c.Bucket] = c.After
	}
	return p
}

func (p *progress) advance(bucket int, after string, n int, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count += int64(n)
	if done {
		delete(p.after, bucket)
	} else {
		p.after[bucket] = after
	}
}

func (p *progress) delivered() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

func (p *progress) snapshot() twtr.Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := twtr.Delivery{Delivered: p.count}
	for _, bucket := range p.order {
		if after, left := p.after[bucket]; left {
			d.Left = append(d.Left, twtr.BucketCursor{Bucket: bucket, After: after})
		}
	}
	return d
}

// heartbeat reports progress until the returned function is called. The small delivery, nearly every one, is over
// before the first report.
func (p *progress) heartbeat(ctx context.Context) (stop func()) {
	ticker, done := time.NewTicker(heartbeatEvery), make(chan struct{})
	go func() {
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				activity.RecordHeartbeat(ctx, p.snapshot())
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}
