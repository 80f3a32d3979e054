package activities

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"github.com/twtr-dev/twtr"
)

// FeedsConfig configures [Feeds].
type FeedsConfig struct {
	// MaxItems is how many items a feed keeps.
	MaxItems int
	// Rate limits how many feeds are written; nil: no limit.
	Rate *Rate
	// TrimEvery is how many items are written, on average, for each trim of a feed; 0: the default. A trim reads some 1,000
	// rows, so by default it makes two reads of each row written, and a feed seldom grows beyond its limit by more than a
	// few times this number.
	TrimEvery uint32
	// Metrics may be nil.
	Metrics *Metrics
}

const defaultTrimEvery = 512

// Feeds are the activities of task queue feeds: [NewFeeds] makes them, once for each process, because they share limits.
type Feeds struct {
	tweets     twtr.TweetStore
	deliveries twtr.DeliveryStore
	follows    twtr.FollowStore
	feeds      twtr.FeedStore
	config     FeedsConfig
	erasure    twtr.ErasureStore
	// Steps with a budget, which nearly all are and which are short, have slots of their own, so that they never queue behind
	// those without. So do erasures.
	short, long, erasing *walker
}

// NewFeeds makes the activities of one process.
func NewFeeds(store twtr.Store, c FeedsConfig) *Feeds {
	if c.TrimEvery == 0 {
		c.TrimEvery = defaultTrimEvery
	}
	if c.Rate == nil {
		c.Rate = NewRate(0)
	}
	a := &Feeds{
		tweets: store, deliveries: store, follows: store, feeds: store, erasure: store, config: c,
		short: newWalker(store, c, slots), long: newWalker(store, c, slots), erasing: newWalker(store, c, eraseSlots),
	}
	c.Metrics.observe(map[string]*walker{"short": a.short, "long": a.long, "erase": a.erasing})
	return a
}

func (a *Feeds) walker(budget int64) *walker {
	if budget > 0 {
		return a.short
	}
	return a.long
}

// DeliverInput says which tweet to deliver, and to whom.
type DeliverInput struct {
	TweetID uuid.UUID `json:"tweetId"`
	Author  string    `json:"author"`
	// From is where the step starts.
	From twtr.Progress `json:"from"`
	// Budget is the number of feed items after which the step stops and returns what is left; 0: never.
	Budget int64 `json:"budget,omitempty"`
}

// DeliverResult is the progress of a delivery after a step.
type DeliverResult struct {
	twtr.Progress
	// Deleted says that the step stopped because the tweet was deleted.
	Deleted bool `json:"deleted,omitempty"`
}

// Deliver writes a tweet into the feeds of its author's followers, from in.From on, and returns what is left: nothing, unless it has
// used up its budget. It stops when the tweet is deleted. A retry resumes from the last heartbeat; feeds written since are written again,
// which changes nothing. A feed that the store refuses to write is counted, and stops no other.
func (a *Feeds) Deliver(ctx context.Context, in DeliverInput) (DeliverResult, error) {
	source := &tweetSource{store: a.tweets, id: in.TweetID}
	w := walk{walker: a.walker(in.Budget), step: stepDeliver, author: in.Author, budget: in.Budget}
	w.act = func(ctx context.Context, followers []string) error {
		// Read the tweet after the followers: a user on this page followed before the deletion, if there is one, so the
		// retraction, which starts after it, visits them too.
		tweet, err := source.read(ctx)
		if err != nil {
			return err
		}
		if err := a.feeds.PutFeedItem(ctx, tweet, followers); err != nil {
			return err
		}
		a.trim(ctx, in.TweetID, followers)
		return nil
	}
	p, err := w.run(ctx, in.From)
	if errors.Is(err, errDeleted) {
		p.Left = nil
		return DeliverResult{Progress: p, Deleted: true}, nil
	}
	return DeliverResult{Progress: p}, err
}

var errDeleted = errors.New("the tweet is deleted")

// tweetSource reads a tweet, once for all callers that ask at about the same time.
type tweetSource struct {
	store twtr.TweetStore
	id    uuid.UUID

	mu    sync.Mutex
	tweet twtr.Tweet
	began time.Time // when the read of tweet began
}

// read returns the tweet if it was there at some time after the call began, and errDeleted if not.
func (s *tweetSource) read(ctx context.Context) (twtr.Tweet, error) {
	called := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began.After(called) {
		return s.tweet, nil
	}
	began := time.Now()
	tweet, err := s.store.Tweet(ctx, s.id)
	if twtr.ErrorCode(err) == twtr.NotFound {
		return tweet, errDeleted
	}
	if err == nil {
		s.tweet, s.began = tweet, began
	}
	return tweet, err
}

// trim trims the feeds of a few of the readers. Which ones follows from the tweet's id and the reader's name, so that a retry
// chooses the same. A failure only postpones the trim to a later tweet: it must not fail a delivery.
func (a *Feeds) trim(ctx context.Context, id uuid.UUID, readers []string) {
	for _, reader := range readers {
		h := fnv.New32a()
		h.Write(id[:])
		h.Write([]byte(reader))
		if h.Sum32()%a.config.TrimEvery != 0 {
			continue
		}
		if err := a.feeds.TrimFeed(ctx, reader, a.config.MaxItems); err != nil {
			activity.GetLogger(ctx).Warn("feed not trimmed; a later tweet will", "reader", reader, "error", err)
		}
	}
}

// RetractInput says which tweet to remove from the feeds of whose followers.
type RetractInput struct {
	TweetID uuid.UUID `json:"tweetId"`
	Author  string    `json:"author"`
	// At is the time of the removal; see [RetractionTime].
	At     time.Time     `json:"at"`
	From   twtr.Progress `json:"from"`
	Budget int64         `json:"budget,omitempty"`
}

// RetractionTime returns the time for retracting a tweet that is deleted now. It is not before the tweet's own, which may be in the
// future, so that the retraction also removes the text. The mark itself outlasts every put, whatever its time.
func RetractionTime(now time.Time, id uuid.UUID) time.Time {
	return later(now, twtr.TimeOf(id)).UTC().Truncate(time.Microsecond)
}

// Retract removes a deleted tweet from the feeds of its author's followers, step by step like [Feeds.Deliver]. Feeds of
// former followers are swept by [Feeds.Sweep].
func (a *Feeds) Retract(ctx context.Context, in RetractInput) (twtr.Progress, error) {
	w := walk{walker: a.walker(in.Budget), step: stepRetract, author: in.Author, budget: in.Budget}
	w.act = func(ctx context.Context, followers []string) error {
		if err := a.feeds.RetractFeedItem(ctx, in.TweetID, followers, in.At); err != nil {
			return err
		}
		a.trim(ctx, in.TweetID, followers)
		return nil
	}
	return w.run(ctx, in.From)
}

// FeedEdgeInput says whose tweets to add to, or to remove from, whose feed.
type FeedEdgeInput struct {
	Reader string    `json:"reader"`
	Author string    `json:"author"`
	At     time.Time `json:"at"` // the time of the change
}

// Backfill writes the author's newest [twtr.BackfillTweets], and all those from the edge's Since on, into the reader's feed, unless an
// erasure of either has removed the edge meanwhile. It returns the time that the change was made with: in.At or, if a tweet is from
// the future, a microsecond after the newest tweet. Tweets that the store refuses are missing from the feed; an audit of it counts them.
func (a *Feeds) Backfill(ctx context.Context, in FeedEdgeInput) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, pageWindow)
	defer cancel()
	f, err := a.follows.Follow(ctx, in.Reader, in.Author)
	if twtr.ErrorCode(err) == twtr.NotFound {
		return in.At, nil
	}
	if err != nil {
		return in.At, err
	}
	tweets, err := a.newest(ctx, in.Author, f.Since)
	if err != nil {
		return in.At, err
	}
	at := afterAll(in.At, tweets)
	name := func(t twtr.Tweet) string { return itemName(t.ID, in.Reader) }
	refused, err := accepted(ctx, tweets, name, func(ctx context.Context, tweets []twtr.Tweet) error {
		return a.feeds.PutFeedItems(ctx, in.Reader, tweets, at)
	})
	if err == nil {
		a.config.Metrics.page(ctx, stepBackfill, len(tweets), len(refused))
	}
	return at, err
}

// itemName names an item of a feed, for the log.
func itemName(tweetID uuid.UUID, reader string) string {
	return fmt.Sprintf("tweet %s in the feed of %s", tweetID, reader)
}

// newest reads the author's newest [twtr.BackfillTweets] and, if some were posted since then or some of them deleted, further ones
// down to the id.
func (a *Feeds) newest(ctx context.Context, author string, since uuid.UUID) (all []twtr.Tweet, err error) {
	for w := (twtr.Window{}); ; {
		page, err := a.tweets.TweetsByUser(ctx, author, w, twtr.BackfillTweets)
		if err != nil {
			return nil, err
		}
		for _, t := range page {
			if len(all) >= twtr.BackfillTweets && compare(t.ID, since) < 0 {
				return all, nil
			}
			all = append(all, t)
		}
		if len(page) < twtr.BackfillTweets || compare(all[len(all)-1].ID, since) <= 0 {
			return all, nil
		}
		w.Before = all[len(all)-1].ID
	}
}

// feedPage is how many items of a feed are read at a time.
const feedPage = 500

// Sweep removes the author's tweets from the reader's feed. It returns the time that the change was made with, like
// [Feeds.Backfill]. Those that the store refuses to remove stay in the feed; an audit of it counts them.
func (a *Feeds) Sweep(ctx context.Context, in FeedEdgeInput) (time.Time, error) {
	feed, err := a.feed(ctx, in.Reader)
	if err != nil {
		return in.At, err
	}
	var theirs []twtr.Tweet
	for _, item := range feed {
		if item.Username == in.Author {
			theirs = append(theirs, item)
		}
	}
	at := afterAll(in.At, theirs)
	name := func(id uuid.UUID) string { return itemName(id, in.Reader) }
	refused, err := accepted(ctx, ids(theirs), name, func(ctx context.Context, ids []uuid.UUID) error {
		return a.feeds.DeleteFeedItems(ctx, in.Reader, ids, at)
	})
	if err == nil {
		a.config.Metrics.page(ctx, stepSweep, len(theirs), len(refused))
	}
	return at, err
}

// afterAll is at or, if one of the tweets is not older, a microsecond after the newest of them.
func afterAll(at time.Time, tweets []twtr.Tweet) time.Time {
	for _, t := range tweets {
		at = later(at, t.CreatedAt().Add(time.Microsecond))
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func ids(tweets []twtr.Tweet) []uuid.UUID {
	all := make([]uuid.UUID, len(tweets))
	for i, t := range tweets {
		all[i] = t.ID
	}
	return all
}

// feed reads a whole feed, newest first.
func (a *Feeds) feed(ctx context.Context, reader string) (all []twtr.Tweet, err error) {
	for w := (twtr.Window{}); ; w.Before = all[len(all)-1].ID {
		page, err := a.feeds.Feed(ctx, reader, w, feedPage)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < feedPage {
			return all, nil
		}
	}
}
