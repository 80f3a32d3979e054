package activities

import (
	"context"
	"errors"
	"hash/fnv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// Feeds are the activities of task queue feeds.
type Feeds struct {
	Tweets     twtr.TweetStore
	Deliveries twtr.DeliveryStore
	Follows    twtr.FollowStore
	Store      twtr.FeedStore
	// Pages and LargePages have room for as many pages of followers as may be in hand at a time, in all walks of the process
	// together: those with a budget, which nearly all are and which are short, and those without. So the short ones don't
	// queue behind the long ones. A page's window begins when it has got its place: much to do doesn't make pages fail.
	Pages, LargePages chan struct{}
	// Rate limits them all together.
	Rate *Rate
	// MaxItems is how many items a feed keeps.
	MaxItems int
}

// DeliverInput says what to deliver, and to whom.
type DeliverInput struct {
	Tweet    twtr.Tweet    `json:"tweet"`
	Delivery twtr.Delivery `json:"delivery"`
	// Budget is after how many feed items to stop and return what is left; 0 for never.
	Budget int64 `json:"budget,omitempty"`
}

// Deliver writes the tweet into the feeds of its author's followers, from where in.Delivery says on, and returns how far
// it came. It stops when the tweet was deleted.
func (a *Feeds) Deliver(ctx context.Context, in DeliverInput) (twtr.Delivery, error) {
	tweet := &presence{store: a.Tweets, id: in.Tweet.ID}
	d, err := a.walk(ctx, in.Tweet.Username, in.Delivery, in.Budget, pageWindow, func(ctx context.Context, followers []string) (found, error) {
		// Only now that the followers are read: whoever follows after the tweet is gone is not among them, and whoever is
		// among them is met by the retraction, which begins when it is gone.
		if err := tweet.check(ctx); err != nil {
			return found{}, err
		}
		if err := a.Store.PutFeedItem(ctx, in.Tweet, followers); err != nil {
			return found{}, err
		}
		return found{}, a.trim(ctx, in.Tweet.ID, followers)
	})
	if errors.Is(err, errDeleted) {
		return twtr.Delivery{Delivered: d.Delivered, Deleted: true}, nil
	}
	return d, err
}

var errDeleted = errors.New("the tweet is deleted")

// presence finds out whether a tweet is still there, in one read for all who ask at about the same time.
type presence struct {
	store twtr.TweetStore
	id    uuid.UUID
	mu    sync.Mutex
	asked time.Time // when the last read began that found it there
}

// check returns errDeleted unless the tweet was there after the call began.
func (p *presence) check(ctx context.Context) error {
	began := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked.After(began) {
		return nil
	}
	asked := time.Now()
	_, err := p.store.Tweet(ctx, p.id)
	if twtr.ErrorCode(err) == twtr.NotFound {
		return errDeleted
	}
	if err == nil {
		p.asked = asked
	}
	return err
}

// trimEvery is how many items are delivered, on average, for one look at a feed's length: a look reads some 1,000 rows,
// so it makes two of each row written, and a feed seldom grows beyond its limit by more than a few times this.
const trimEvery = 512

// trim cuts the feeds of a few of the readers. Which ones is in the tweet's id and the reader's name, so that a retry
// decides alike.
func (a *Feeds) trim(ctx context.Context, id uuid.UUID, readers []string) error {
	for _, reader := range readers {
		h := fnv.New32a()
		h.Write(id[:])
		h.Write([]byte(reader))
		if h.Sum32()%trimEvery != 0 {
			continue
		}
		if err := a.Store.TrimFeed(ctx, reader, a.MaxItems); err != nil {
			return err
		}
	}
	return nil
}

// RetractInput says what to take out of the feeds, and of whose followers.
type RetractInput struct {
	TweetID uuid.UUID `json:"tweetId"`
	Author  string    `json:"author"`
	// At is the time that the removal is as of: later than any put of the tweet.
	At       time.Time     `json:"at"`
	Delivery twtr.Delivery `json:"delivery"`
	Budget   int64         `json:"budget,omitempty"`
}

// Retract takes a deleted tweet out of the feeds of its author's followers, as [Feeds.Deliver] brings one there. Feeds of
// those who unfollowed are swept by [Feeds.Sweep].
func (a *Feeds) Retract(ctx context.Context, in RetractInput) (twtr.Delivery, error) {
	return a.walk(ctx, in.Author, in.Delivery, in.Budget, pageWindow, func(ctx context.Context, followers []string) (found, error) {
		return found{}, a.Store.DeleteFeedItem(ctx, in.TweetID, followers, in.At)
	})
}

// EdgeInput says whose tweets are to come into whose feed, or to go out of it, as of when.
type EdgeInput struct {
	Reader string    `json:"reader"`
	Author string    `json:"author"`
	At     time.Time `json:"at"`
}

// Backfill writes the newest [twtr.BackfillTweets] of the author into the reader's feed.
func (a *Feeds) Backfill(ctx context.Context, in EdgeInput) error {
	ctx, cancel := context.WithTimeout(ctx, pageWindow)
	defer cancel()
	tweets, err := a.Tweets.TweetsByUser(ctx, in.Author, uuid.Nil, twtr.BackfillTweets)
	if err != nil {
		return err
	}
	return a.Store.PutFeedItems(ctx, in.Reader, tweets, in.At)
}

// feedPage is how many items of a feed are read at a time.
const feedPage = 500

// Sweep removes the author's tweets from the reader's feed.
func (a *Feeds) Sweep(ctx context.Context, in EdgeInput) error {
	feed, err := a.feed(ctx, in.Reader)
	if err != nil {
		return err
	}
	var theirs []uuid.UUID
	for _, item := range feed {
		if item.Username == in.Author {
			theirs = append(theirs, item.ID)
		}
	}
	return a.Store.DeleteFeedItems(ctx, in.Reader, theirs, in.At)
}

// feed reads a whole feed, newest first.
func (a *Feeds) feed(ctx context.Context, reader string) (all []twtr.Tweet, err error) {
	for before := uuid.Nil; ; before = all[len(all)-1].ID {
		page, err := a.Store.Feed(ctx, reader, before, feedPage)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < feedPage {
			return all, nil
		}
	}
}
