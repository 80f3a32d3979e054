package activities

import (
	"context"
	"slices"
	"time"

	"github.com/twtr-dev/twtr"
)

// Followers are the activities of task queue followers.
type Followers struct {
	Store twtr.FollowStore
}

// StoreFollow writes the edge from follower to followee, in both directions. It fails with [twtr.Invalid], and leaves no
// edge, if the follower follows [twtr.MaxFollowings] others already.
func (a *Followers) StoreFollow(ctx context.Context, f twtr.Follow) error {
	tooMany := twtr.Errorf(twtr.Invalid, "you follow %d users, which is as many as one may: unfollow somebody first", twtr.MaxFollowings)
	names, err := a.followings(ctx, f.Follower)
	if err != nil {
		return err
	}
	if len(names) >= twtr.MaxFollowings && !slices.Contains(names, f.Followee) {
		return tooMany
	}
	if err := a.Store.PutFollow(ctx, f); err != nil {
		return err
	}
	// Others of the same follower may have been written meanwhile. Or an earlier try, whose answer was lost, found so and
	// removed this one: then the put above did nothing.
	if names, err = a.followings(ctx, f.Follower); err != nil {
		return err
	}
	if len(names) <= twtr.MaxFollowings && slices.Contains(names, f.Followee) {
		return nil
	}
	if err := a.Store.DeleteFollow(ctx, f); err != nil {
		return err
	}
	return tooMany
}

// followings are all that the user follows, and one more than may be at most.
func (a *Followers) followings(ctx context.Context, username string) ([]string, error) {
	return a.Store.Followings(ctx, username, "", twtr.MaxFollowings+1)
}

// RemoveFollow removes the edge from follower to followee, in both directions.
func (a *Followers) RemoveFollow(ctx context.Context, f twtr.Follow) error {
	return a.Store.DeleteFollow(ctx, f)
}

// RecountInput says which bucket of whose followers has changed.
type RecountInput struct {
	Username string `json:"username"`
	Bucket   int    `json:"bucket"`
	// Changed is when, at the latest.
	Changed time.Time `json:"changed"`
	// Now is to count a large bucket, too.
	Now bool `json:"now,omitempty"`
}

const (
	// largeBucket is how many followers a bucket has that is not counted anew for each change: reading it takes some
	// 20 ms and more.
	largeBucket = 10_000
	// clockSkew is by how much the clocks of two machines may differ.
	clockSkew = time.Second
)

// Recount counts the followers in the bucket and keeps the count. A large one it counts only when told to do so now, and
// not if that was done since the change; it returns whether it is left to be counted.
func (a *Followers) Recount(ctx context.Context, in RecountInput) (left bool, err error) {
	counts, err := a.Store.FollowerCounts(ctx, in.Username)
	if err != nil {
		return false, err
	}
	for _, kept := range counts {
		if kept.Bucket == in.Bucket && kept.Count >= largeBucket {
			if kept.At.After(in.Changed.Add(clockSkew)) {
				return false, nil
			}
			if !in.Now {
				return true, nil
			}
		}
	}
	c := twtr.FollowerCount{Username: in.Username, Bucket: in.Bucket, At: time.Now().UTC().Truncate(time.Microsecond)}
	if c.Count, err = a.Store.CountFollowers(ctx, in.Username, in.Bucket); err != nil {
		return false, err
	}
	return false, a.Store.PutFollowerCount(ctx, c)
}
