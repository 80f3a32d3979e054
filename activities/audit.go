package activities

import (
	"bytes"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

// AuditDeliveryInput says which tweet's delivery to look at.
type AuditDeliveryInput struct {
	TweetID uuid.UUID `json:"tweetId"`
	// Repair is to mend what is found.
	Repair bool `json:"repair,omitempty"`
}

const (
	// auditWindow is within what time a page of followers is looked at. It may be long: nothing is written for a follower
	// but within [pageWindow] after it was made sure that they follow.
	auditWindow = time.Minute
	// auditors is how many feeds of a page are looked at more closely at a time.
	auditors = 16
)

// AuditDelivery reads the feeds of the author's followers again, and returns how many of them lack the tweet or, if it is
// deleted, still have it. A feed lacks it if its reader followed before the tweet, or the tweet is one of those that a new
// follower finds, and the feed is not full of newer ones. It fails with [twtr.NotFound] if the tweet was never there.
func (a *Feeds) AuditDelivery(ctx context.Context, in AuditDeliveryInput) (twtr.Audit, error) {
	tweet, err := a.Tweets.Tweet(ctx, in.TweetID)
	deleted := twtr.ErrorCode(err) == twtr.NotFound
	if deleted { // its receipt tells whose it was
		receipt, err := a.Deliveries.Receipt(ctx, in.TweetID)
		if twtr.ErrorCode(err) == twtr.NotFound {
			return twtr.Audit{}, twtr.Errorf(twtr.NotFound, "there is no tweet %s", in.TweetID)
		}
		if err != nil {
			return twtr.Audit{}, err
		}
		tweet = twtr.Tweet{ID: in.TweetID, Username: receipt.Username}
	} else if err != nil {
		return twtr.Audit{}, err
	}
	newest, err := a.Tweets.TweetsByUser(ctx, tweet.Username, uuid.Nil, twtr.BackfillTweets)
	if err != nil {
		return twtr.Audit{}, err
	}
	isNew := slices.Contains(newest, tweet)

	d, err := a.walk(ctx, tweet.Username, twtr.NewDelivery(), 0, auditWindow, func(ctx context.Context, followers []string) (found, error) {
		at := retractionTime(time.Now())
		have, err := a.Store.HaveFeedItem(ctx, tweet.ID, followers)
		if err != nil {
			return found{}, err
		}
		if deleted {
			if in.Repair {
				err = a.Store.DeleteFeedItem(ctx, tweet.ID, have, at)
			}
			return found{extra: int64(len(have))}, err
		}
		missing, err := a.auditMissing(ctx, tweet, isNew, without(followers, have), in.Repair)
		return found{missing: missing}, err
	})
	return twtr.Audit{Looked: d.Delivered, Missing: d.Missing, Extra: d.Extra}, err
}

// retractionTime is what time a deleted tweet is removed from feeds as of, at that time: later than whatever put is still
// under way, also by a machine whose clock is ahead, because no put of it may win.
func retractionTime(now time.Time) time.Time {
	return now.UTC().Truncate(time.Microsecond).Add(RetractionLead)
}

// RetractionLead is how far in the future the removal of a deleted tweet is as of. A deleted tweet never comes back, so
// it may be far.
const RetractionLead = time.Hour

// without are those names that are not among others, which are in the same order.
func without(names, others []string) (rest []string) {
	for _, name := range names {
		if len(others) > 0 && name == others[0] {
			others = others[1:]
			continue
		}
		rest = append(rest, name)
	}
	return rest
}

// auditMissing counts those of the readers, whose feeds don't have the tweet, that should have it.
func (a *Feeds) auditMissing(ctx context.Context, tweet twtr.Tweet, isNew bool, readers []string, repair bool) (int64, error) {
	var missing atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(auditors)
	for _, reader := range readers {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, pageWindow)
			defer cancel()
			at := time.Now()
			f, err := a.Follows.Follow(ctx, reader, tweet.Username)
			switch {
			case twtr.ErrorCode(err) == twtr.NotFound:
				return nil
			case err != nil:
				return err
			case f.At.After(tweet.CreatedAt()) && !isNew:
				return nil
			}
			full, err := a.fullOfNewer(ctx, reader, tweet.ID)
			if err != nil || full {
				return err
			}
			missing.Add(1)
			if !repair {
				return nil
			}
			return a.Store.PutFeedItems(ctx, reader, []twtr.Tweet{tweet}, at)
		})
	}
	err := g.Wait()
	return missing.Load(), err
}

// fullOfNewer reports whether a feed that has not the tweet may have been cut above it.
func (a *Feeds) fullOfNewer(ctx context.Context, reader string, id uuid.UUID) (bool, error) {
	older, err := a.Store.Feed(ctx, reader, id, 1)
	if err != nil || len(older) > 0 {
		return false, err
	}
	all, err := a.Store.Feed(ctx, reader, uuid.Nil, a.MaxItems)
	return len(all) >= a.MaxItems, err
}

// RebuildFeedInput says whose feed to compare with what they follow.
type RebuildFeedInput struct {
	Reader string `json:"reader"`
	// DryRun is to change nothing.
	DryRun bool `json:"dryRun,omitempty"`
}

// RebuildFeed brings a feed to what its reader's followings give: of each the newest [twtr.BackfillTweets], those since
// the reader follows, and nothing of anybody else or of a deleted tweet; the newest of all up to the limit.
func (a *Feeds) RebuildFeed(ctx context.Context, in RebuildFeedInput) (twtr.Audit, error) {
	feed, err := a.feed(ctx, in.Reader)
	if err != nil {
		return twtr.Audit{}, err
	}
	have := make(map[uuid.UUID]bool, len(feed))
	for _, item := range feed {
		have[item.ID] = true
	}
	var looked atomic.Int64
	stop := beat(ctx, func() any { return twtr.Audit{Looked: looked.Load()} })
	defer stop()

	want := wanted{limit: a.MaxItems}
	for after := ""; ; {
		names, err := a.Follows.Followings(ctx, in.Reader, after, followerPage)
		if err != nil {
			return twtr.Audit{}, err
		}
		for _, author := range names {
			if err := a.fill(ctx, in, author, have, &want); err != nil {
				return twtr.Audit{}, err
			}
			looked.Add(1)
		}
		if len(names) < followerPage {
			break
		}
		after = names[len(names)-1]
	}
	report := twtr.Audit{Looked: looked.Load()}
	expected := make(map[uuid.UUID]bool)
	for _, t := range want.newest() {
		expected[t.ID] = true
		if !have[t.ID] {
			report.Missing++
		}
	}
	if report.Extra, err = a.clear(ctx, in, feed, expected); err != nil || in.DryRun {
		return report, err
	}
	return report, a.Store.TrimFeed(ctx, in.Reader, a.MaxItems)
}

// fill finds what of one author's is wanted in the feed, and puts there what it doesn't have. Between the look at the edge
// and the put is no more than [pageWindow], as between any of them.
func (a *Feeds) fill(ctx context.Context, in RebuildFeedInput, author string, have map[uuid.UUID]bool, want *wanted) error {
	ctx, cancel := context.WithTimeout(ctx, pageWindow)
	defer cancel()
	at := time.Now()
	f, err := a.Follows.Follow(ctx, in.Reader, author)
	if twtr.ErrorCode(err) == twtr.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	var missing []twtr.Tweet
	for before, n := uuid.Nil, 0; ; {
		tweets, err := a.Tweets.TweetsByUser(ctx, author, before, twtr.BackfillTweets)
		if err != nil {
			return err
		}
		ended := len(tweets) < twtr.BackfillTweets
		for _, t := range tweets {
			if n >= twtr.BackfillTweets && t.CreatedAt().Before(f.At) || !want.add(t) {
				ended = true
				break
			}
			n++
			if !have[t.ID] {
				missing = append(missing, t)
			}
		}
		if ended {
			break
		}
		before = tweets[len(tweets)-1].ID
	}
	if in.DryRun {
		return nil
	}
	return a.Store.PutFeedItems(ctx, in.Reader, missing, at)
}

// clear removes, and counts, what is in the feed without a reason: what is not among the expected, and is of somebody who
// is not followed, or deleted.
func (a *Feeds) clear(ctx context.Context, in RebuildFeedInput, feed []twtr.Tweet, expected map[uuid.UUID]bool) (int64, error) {
	// Of before the look at the edges: what a follow brings after it counts.
	at := time.Now()
	follows := map[string]bool{}
	var extra []uuid.UUID
	for _, item := range feed {
		if expected[item.ID] {
			continue
		}
		followed, known := follows[item.Username]
		if !known {
			_, err := a.Follows.Follow(ctx, in.Reader, item.Username)
			if err != nil && twtr.ErrorCode(err) != twtr.NotFound {
				return 0, err
			}
			followed = err == nil
			follows[item.Username] = followed
		}
		if followed {
			_, err := a.Tweets.Tweet(ctx, item.ID)
			if err == nil {
				continue
			}
			if twtr.ErrorCode(err) != twtr.NotFound {
				return 0, err
			}
		}
		extra = append(extra, item.ID)
	}
	if in.DryRun {
		return int64(len(extra)), nil
	}
	return int64(len(extra)), a.Store.DeleteFeedItems(ctx, in.Reader, extra, at)
}

// wanted are the newest tweets of those that were added.
type wanted struct {
	limit  int
	tweets []twtr.Tweet
	floor  uuid.UUID // those up to here are too old
}

// add reports whether the tweet may be among the newest.
func (w *wanted) add(t twtr.Tweet) bool {
	if compare(t.ID, w.floor) <= 0 {
		return false
	}
	w.tweets = append(w.tweets, t)
	if len(w.tweets) >= 2*w.limit+twtr.BackfillTweets {
		w.newest()
		w.floor = w.tweets[w.limit-1].ID
	}
	return true
}

func (w *wanted) newest() []twtr.Tweet {
	slices.SortFunc(w.tweets, func(a, b twtr.Tweet) int { return compare(b.ID, a.ID) })
	w.tweets = w.tweets[:min(w.limit, len(w.tweets))]
	return w.tweets
}

func compare(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
