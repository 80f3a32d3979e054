package activities

import (
	"context"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

// Followers are the activities of task queue followers.
type Followers struct {
	Store FollowerStore
	// Counts requests the count of a large bucket, which is not counted at each change.
	Counts  CountRequester
	Metrics *Metrics // may be nil
}

// FollowerStore keeps the users, who follows whom, and the tweets that new followers find.
type FollowerStore interface {
	twtr.UserStore
	twtr.FollowStore
	twtr.TweetStore
	twtr.ErasureStore
}

// CountRequester requests counts of followers.
type CountRequester interface {
	// RequestCount returns when it is durable that a count of the bucket will begin after the call began.
	RequestCount(ctx context.Context, b Bucket) error
}

// Bucket is one bucket of a user's followers.
type Bucket struct {
	Username string `json:"username"`
	Bucket   int    `json:"bucket"`
}

// Pair is a follower and the user they follow, or may follow.
type Pair struct {
	Follower string `json:"follower"`
	Followee string `json:"followee"`
}

// Edge is the state of a pair in the store.
type Edge struct {
	// Follows says whether the follower follows the other one.
	Follows bool `json:"follows"`
	// At is the time of the last change; zero if there was none, or only one so long ago that it no longer matters.
	At time.Time `json:"at"`
	// Since is the edge's [twtr.Follow.Since] or, if there is no edge, the one of an edge that is put now.
	Since uuid.UUID `json:"since"`
	// Requests made the last changes; the newest first.
	Requests []string `json:"requests,omitempty"`
	// Followings is how many users the follower follows.
	Followings int `json:"followings"`
}

// ReadEdge returns the state of the pair in the store.
func (a *Followers) ReadEdge(ctx context.Context, p Pair) (e Edge, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		f, err := a.Store.Follow(ctx, p.Follower, p.Followee)
		e.Follows = err == nil // an edge that is there is later than every removal of it
		if twtr.ErrorCode(err) == twtr.NotFound {
			f, err = a.Store.FollowChanged(ctx, p.Follower, p.Followee)
		}
		e.At, e.Requests = f.At, f.Requests
		if err == nil && !e.Follows {
			f.Since, err = a.newSince(ctx, p.Followee)
		}
		e.Since = f.Since
		return err
	})
	g.Go(func() (err error) {
		e.Followings, err = a.Store.CountFollowings(ctx, p.Follower)
		return err
	})
	err = g.Wait()
	return e, err
}

// newSince is the Since of a follow of that user that begins now.
func (a *Followers) newSince(ctx context.Context, followee string) (uuid.UUID, error) {
	newest, err := a.Store.TweetsByUser(ctx, followee, twtr.Window{}, twtr.BackfillTweets)
	if err != nil || len(newest) < twtr.BackfillTweets {
		return uuid.Nil, err
	}
	return newest[twtr.BackfillTweets-1].ID, nil
}

// StoreFollow writes the edge, in both directions. It fails with [twtr.NotFound] if one of the two is no user. It looks that up
// right before it writes, so that an erasure has to wait for no longer than for one attempt.
func (a *Followers) StoreFollow(ctx context.Context, f twtr.Follow) error {
	g, reading := errgroup.WithContext(ctx)
	for _, name := range []string{f.Follower, f.Followee} {
		g.Go(func() error {
			_, err := a.Store.User(reading, name)
			return err
		})
	}
	err := g.Wait()
	if twtr.ErrorCode(err) == twtr.NotFound {
		// An attempt before may have written one direction, where an erasure that follows the other one does not find it.
		if err := a.Store.EraseFollow(ctx, f.Follower, f.Followee); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return a.Store.PutFollow(ctx, f)
}

// RemoveFollow removes the edge, in both directions.
func (a *Followers) RemoveFollow(ctx context.Context, f twtr.Follow) error {
	return a.Store.DeleteFollow(ctx, f)
}

// largeBucket is the number of followers from which on a bucket is not counted at each change: reading it would slow the follows
// of a user who gains many.
const largeBucket = 500

// Recount counts the followers in the bucket or, if the bucket is large or is being counted elsewhere at the same time,
// requests a count.
func (a *Followers) Recount(ctx context.Context, b Bucket) error {
	stored, err := a.storedCount(ctx, b)
	if err != nil {
		return err
	}
	a.Metrics.recount(ctx)
	if stored.Count < largeBucket {
		if _, err := a.replaceCount(ctx, stored); twtr.ErrorCode(err) != twtr.Conflict {
			return err
		}
	}
	return a.Counts.RequestCount(ctx, b)
}

// Count counts the followers in the bucket, whatever its size. The count includes every change that was stored before the
// call.
func (a *Followers) Count(ctx context.Context, b Bucket) error {
	for {
		stored, err := a.storedCount(ctx, b)
		if err != nil {
			return err
		}
		if _, err := a.replaceCount(ctx, stored); twtr.ErrorCode(err) != twtr.Conflict {
			return err
		}
	}
}

// storedCount is the count that the store has of the bucket; of version 0 if there is none.
func (a *Followers) storedCount(ctx context.Context, b Bucket) (twtr.FollowerCount, error) {
	counts, err := a.Store.FollowerCounts(ctx, b.Username)
	for _, c := range counts {
		if c.Bucket == b.Bucket {
			return c, nil
		}
	}
	return twtr.FollowerCount{Username: b.Username, Bucket: b.Bucket}, err
}

// replaceCount counts the followers in the bucket and stores the count in place of the one that was read before it began, so
// that no older count replaces a newer one, whatever the clocks say. It fails with [twtr.Conflict] if another count was
// stored in the meantime. Of a user who is retired meanwhile it stores none.
func (a *Followers) replaceCount(ctx context.Context, stored twtr.FollowerCount) (replaced bool, err error) {
	c := stored
	c.Version++
	if c.Count, err = a.Store.CountFollowers(ctx, c.Username, c.Bucket); err != nil {
		return false, err
	}
	if _, err := a.Store.User(ctx, c.Username); err != nil {
		if twtr.ErrorCode(err) == twtr.NotFound {
			return false, nil
		}
		return false, err
	}
	if err := a.Store.PutFollowerCount(ctx, c); err != nil {
		return false, err
	}
	a.Metrics.counted(ctx, stored.Count, c.Count)
	return true, nil
}
