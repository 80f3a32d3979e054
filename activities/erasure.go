package activities

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

// Histories are the histories that Temporal keeps of posted and deleted tweets. That of a posted one has its text. A history is gone up
// to a minute after its deletion has returned.
type Histories interface {
	// DeletePosted deletes the history of the workflow that posted the tweet, if there is one. It reports whether that workflow
	// has ended; while it is running it deletes nothing.
	DeletePosted(ctx context.Context, tweetID uuid.UUID) (ended bool, err error)
	// CountRunning counts the workflows of the author's tweets that are running. A workflow that started a moment ago may be
	// missing.
	CountRunning(ctx context.Context, author string) (int64, error)
	// DeleteEnded deletes the histories of the workflows of the author's tweets that have ended, and returns how many there were. One
	// that ended a moment ago may be missing.
	DeleteEnded(ctx context.Context, author string) (int64, error)
}

// stillRunning is the error of an attempt that has to wait for workflows to end. It is no one's fault, so no log warns of it.
func stillRunning(message string, after time.Duration) error {
	return temporal.NewApplicationErrorWithOptions(message, "running", temporal.ApplicationErrorOptions{
		NextRetryDelay: after,
		Category:       temporal.ApplicationErrorCategoryBenign,
	})
}

// DeleteHistory deletes the history of the workflow that posted the tweet: it has the text. If that is running, it is retried.
func (a *Tweets) DeleteHistory(ctx context.Context, tweetID uuid.UUID) error {
	ended, err := a.Histories.DeletePosted(ctx, tweetID)
	if err == nil && !ended {
		err = stillRunning("the workflow that posts the tweet has not ended", 0)
	}
	return err
}

// awaitEvery is the time between two looks at the workflows of an author's tweets.
const awaitEvery = 5 * time.Second

// AwaitTweets succeeds if none of the workflows of the author's tweets is running. Otherwise it is retried.
func (a *Tweets) AwaitTweets(ctx context.Context, author string) error {
	n, err := a.Histories.CountRunning(ctx, author)
	if err == nil && n > 0 {
		err = stillRunning(fmt.Sprintf("%d workflows of the user's tweets have not ended", n), awaitEvery)
	}
	return err
}

// DeleteHistories deletes the histories of the author's tweets, and returns how many there were. A retry finds those that were
// deleted a while ago no longer.
func (a *Tweets) DeleteHistories(ctx context.Context, author string) (int64, error) {
	defer heartbeat(ctx, func() any { return nil })()
	ctx, cancel := untilStopping(ctx)
	defer cancel()
	n, err := a.Histories.DeleteEnded(ctx, author)
	return n, stopped(ctx, err)
}

// EraseTweetsInput says whose tweets to erase.
type EraseTweetsInput struct {
	Username string `json:"username"`
	// From is where the step starts.
	From ErasedTweets `json:"from"`
	// Budget is the number of tweets after which the step stops.
	Budget int64 `json:"budget"`
}

// ErasedTweets is the progress of an erasure of tweets, from the newest to the oldest.
type ErasedTweets struct {
	// Last is the tweet that was erased last; [uuid.Nil]: none was.
	Last uuid.UUID `json:"last"`
	Done int64     `json:"done"`
	// Complete says that there are no more.
	Complete bool `json:"complete,omitempty"`
}

// tweetPage is how many tweets are erased at a time.
const tweetPage = 500

// EraseTweets removes the user's tweets and their receipts. Its heartbeats carry its progress, from which a retry resumes.
func (a *Tweets) EraseTweets(ctx context.Context, in EraseTweetsInput) (ErasedTweets, error) {
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &in.From); err != nil {
			return ErasedTweets{}, err
		}
	}
	var erased atomic.Pointer[ErasedTweets]
	erased.Store(&in.From)
	defer heartbeat(ctx, func() any { return *erased.Load() })()
	erasing, cancel := untilStopping(ctx)
	defer cancel()
	for begun := in.From.Done; ; {
		next, err := a.eraseTweetPage(erasing, in.Username, *erased.Load())
		if err != nil {
			activity.RecordHeartbeat(ctx, *erased.Load()) // the retry starts here
			return ErasedTweets{}, stopped(erasing, err)
		}
		erased.Store(&next)
		if next.Complete || next.Done-begun >= in.Budget {
			return next, nil
		}
	}
}

func (a *Tweets) eraseTweetPage(ctx context.Context, username string, from ErasedTweets) (ErasedTweets, error) {
	page, err := a.Erasure.TweetIDs(ctx, username, from.Last, tweetPage)
	if err != nil {
		return from, err
	}
	if len(page) > 0 {
		if err := a.Erasure.EraseTweets(ctx, username, page); err != nil {
			return from, err
		}
		from.Last = page[len(page)-1]
	}
	from.Done += int64(len(page))
	from.Complete = len(page) < tweetPage
	return from, nil
}

// FollowingsInput says which page of whose followings to read.
type FollowingsInput struct {
	Username string `json:"username"`
	After    string `json:"after,omitempty"`
}

// FollowingsPage is how many followings are erased at a time.
const FollowingsPage = 200

// Followings returns the next users whom the user follows, [FollowingsPage] of them or all that are left.
func (a *Followers) Followings(ctx context.Context, in FollowingsInput) ([]string, error) {
	return a.Store.Followings(ctx, in.Username, in.After, FollowingsPage)
}

// EraseFollowingsInput says which of a user's followings to erase.
type EraseFollowingsInput struct {
	Username  string   `json:"username"`
	Followees []string `json:"followees"`
}

// EraseFollowings removes the edges from the user to these users, and has their followers counted. It takes the names as its input,
// because a retry would not find those whose edge is gone and whose followers were not counted yet.
func (a *Followers) EraseFollowings(ctx context.Context, in EraseFollowingsInput) error {
	defer heartbeat(ctx, func() any { return nil })()
	bucket := twtr.FollowerBucket(in.Username)
	return each(ctx, in.Followees, func(ctx context.Context, followee string) error {
		if err := a.Store.EraseFollow(ctx, in.Username, followee); err != nil {
			return err
		}
		return a.Recount(ctx, Bucket{Username: followee, Bucket: bucket})
	})
}

// erasers is how many users' rows one page of an erasure writes concurrently.
const erasers = 16

// each calls do for each of the users, a few concurrently, until one call fails.
func each(ctx context.Context, users []string, do func(ctx context.Context, user string) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(erasers)
	for _, user := range users {
		g.Go(func() error { return do(ctx, user) })
	}
	return g.Wait()
}

// EraseFeedsInput says whose tweets to erase from the feeds of their followers.
type EraseFeedsInput struct {
	Author string        `json:"author"`
	From   twtr.Progress `json:"from"`
	Budget int64         `json:"budget"`
}

const (
	// eraseSlots is how many pages of followers are being erased at a time. Each of their feeds is read and written on its own.
	eraseSlots = 8
	// eraseWindow bounds the time for one page. What is read of it cannot become wrong meanwhile: no follower is added any more.
	eraseWindow = time.Minute
)

// EraseFeeds removes everything of the author from the feeds of their followers, and then the followers, step by step like
// [Feeds.Deliver].
func (a *Feeds) EraseFeeds(ctx context.Context, in EraseFeedsInput) (twtr.Progress, error) {
	w := walk{walker: a.erasing, step: stepErase, author: in.Author, budget: in.Budget, window: eraseWindow}
	w.act = func(ctx context.Context, followers []string) error {
		return each(ctx, followers, func(ctx context.Context, follower string) error {
			if err := a.erasure.EraseFromFeed(ctx, follower, in.Author); err != nil {
				return err
			}
			return a.erasure.EraseFollow(ctx, follower, in.Author)
		})
	}
	return w.run(ctx, in.From)
}

// RetireUser takes the user's name out of use.
func (a *Users) RetireUser(ctx context.Context, username string) error {
	return a.Store.RetireUser(ctx, username)
}

// CountFollowers returns about how many followers the user has.
func (a *Users) CountFollowers(ctx context.Context, username string) (n int64, err error) {
	counts, err := a.Store.FollowerCounts(ctx, username)
	return int64(twtr.CountOf(counts)), err
}

// EraseUser removes everything that is kept under the name of a retired user.
func (a *Users) EraseUser(ctx context.Context, username string) error {
	defer heartbeat(ctx, func() any { return nil })()
	return a.Store.EraseUser(ctx, username)
}

// Remains reports whether anything is kept under the name of a retired user: a write that was late.
func (a *Users) Remains(ctx context.Context, username string) (bool, error) {
	var tweets, followers, followings, items, counts, sessions int
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		page, err := a.Store.TweetIDs(ctx, username, uuid.Nil, 1)
		tweets = len(page)
		return err
	})
	g.Go(func() error {
		page, _, err := a.Store.FirstFollowers(ctx, username, 1)
		followers = len(page)
		return err
	})
	g.Go(func() error {
		page, err := a.Store.Followings(ctx, username, "", 1)
		followings = len(page)
		return err
	})
	g.Go(func() error {
		page, err := a.Store.Feed(ctx, username, twtr.Window{}, 1)
		items = len(page)
		return err
	})
	g.Go(func() error {
		page, err := a.Store.FollowerCounts(ctx, username)
		counts = len(page)
		return err
	})
	g.Go(func() error {
		page, err := a.Store.SessionsByUser(ctx, username, uuid.Nil, 1)
		sessions = len(page)
		return err
	})
	err := g.Wait()
	return cmp.Or(tweets, followers, followings, items, counts, sessions) > 0, err
}

// ReleaseUsername lets the name of a retired user be taken when NameHold has passed. The time is this process's, and a sign-up is
// compared with it by the time of an API process: if that is behind, the name is taken for so much longer.
func (a *Users) ReleaseUsername(ctx context.Context, username string) error {
	return a.Store.ReleaseUsername(ctx, username, time.Now().Add(a.NameHold))
}
