package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

var followers *activities.Followers

const (
	// sweepAfter is how long after an edge was removed the feed is swept once more: what read the edge before may write
	// for the 3 s of a page's window, and some.
	sweepAfter = 5 * time.Second
	// countAfter is how long a change waits for others before a large bucket is counted, in time for the 5 s within
	// which a count is right.
	countAfter = 3 * time.Second
)

// FollowInput is who wants to follow whom, since when.
type FollowInput struct {
	Follow twtr.Follow `json:"follow"`
}

// StartOptions implements [Input].
func (in FollowInput) StartOptions() client.StartWorkflowOptions {
	return startEdge(in.Follow, "follows")
}

// Update implements [Input].
func (in FollowInput) Update() client.UpdateWorkflowOptions {
	return wish{At: in.Follow.At, Follows: true}.update()
}

// UnfollowInput is who wants to follow whom no more, since when.
type UnfollowInput struct {
	Follow twtr.Follow `json:"follow"`
}

// StartOptions implements [Input].
func (in UnfollowInput) StartOptions() client.StartWorkflowOptions {
	return startEdge(in.Follow, "unfollows")
}

// Update implements [Input].
func (in UnfollowInput) Update() client.UpdateWorkflowOptions {
	return wish{At: in.Follow.At}.update()
}

// startEdge is how both are started: there is one run a pair at a time, which whoever comes joins.
func startEdge(f twtr.Follow, does string) client.StartWorkflowOptions {
	return start(FollowersQueue, "follow/"+f.Follower+"/"+f.Followee, f.Follower+" "+does+" "+f.Followee)
}

// wish is what a follower wants.
type wish struct {
	At      time.Time `json:"at"`
	Follows bool      `json:"follows"`
}

func (w wish) update() client.UpdateWorkflowOptions {
	return answer("set", fmt.Sprintf("%d/%t", w.At.UnixMicro(), w.Follows), w)
}

// before is the order of the wishes. At the same time the one to unfollow is the later one, as in the store.
func (w wish) before(other wish) bool {
	return w.At.Before(other.At) || w.At.Equal(other.At) && w.Follows && !other.Follows
}

// Follow writes that one user follows another, and then the newest tweets of the one into the feed of the other. Its
// update "set" carries a wish, to follow or to unfollow, and answers when that one, or a newer one, is durable; the newest
// one wins.
func Follow(ctx workflow.Context, in FollowInput) error {
	return keepEdge(ctx, in.Follow, true)
}

// Unfollow is [Follow], begun by the opposite wish: it removes the edge, and then the tweets of the one from the feed of
// the other.
func Unfollow(ctx workflow.Context, in UnfollowInput) error {
	return keepEdge(ctx, in.Follow, false)
}

func keepEdge(ctx workflow.Context, edge twtr.Follow, begin bool) error {
	newest := wish{edge.At, begin}
	var written wish
	var failed error // what came of the written one
	err := workflow.SetUpdateHandler(ctx, "set", func(ctx workflow.Context, w wish) error {
		if newest.before(w) {
			newest = w
		}
		if err := workflow.Await(ctx, func() bool { return !written.before(w) }); err != nil {
			return err
		}
		if written.Follows != w.Follows { // a newer, opposite wish took its place
			return nil
		}
		return failed
	})
	if err != nil {
		return err
	}

	// What follows from a wish goes on beside, so that the next wish doesn't wait for it.
	tasks := []func(ctx workflow.Context, follows bool, newer func() bool) error{
		(&edgeFeed{reader: edge.Follower, author: edge.Followee}).settle,
		(&edgeCount{username: edge.Followee, bucket: twtr.FollowerBucket(edge.Follower)}).settle,
	}
	settled := make([]wish, len(tasks)) // what each has done all for
	var broken error
	for i, task := range tasks {
		workflow.Go(ctx, func(ctx workflow.Context) {
			for broken == nil {
				if broken = workflow.Await(ctx, func() bool { return settled[i].before(written) }); broken != nil {
					return
				}
				w := written
				if err := task(ctx, w.Follows && failed == nil, func() bool { return w.before(written) }); err != nil {
					broken = err
					return
				}
				settled[i] = w
			}
		})
	}
	for {
		w, store := newest, followers.RemoveFollow
		if w.Follows {
			store = followers.StoreFollow
		}
		edge.At = w.At
		err := write(ctx, store, edge, nil)
		if temporal.IsCanceledError(err) {
			return err
		}
		written, failed = w, err
		wished := func() bool { return written.before(newest) }
		done := func() bool {
			return !slices.ContainsFunc(settled, func(s wish) bool { return s.before(written) }) && workflow.AllHandlersFinished(ctx)
		}
		err = workflow.Await(ctx, func() bool { return broken != nil || wished() || done() })
		if err := cmp.Or(err, broken); err != nil || !wished() {
			return err
		}
	}
}

// edgeFeed is what an edge brings into a feed, or takes out of it.
type edgeFeed struct {
	reader, author string
	last           time.Time // what the last change is as of
	sweepAgain     time.Time // when; zero: not at all
}

// next is what the next change is as of: each is later than the one before, also within one workflow task.
func (f *edgeFeed) next(ctx workflow.Context) activities.EdgeInput {
	now := workflow.Now(ctx).UTC().Truncate(time.Microsecond)
	if !now.After(f.last) {
		now = f.last.Add(time.Microsecond)
	}
	f.last = now
	return activities.EdgeInput{Reader: f.reader, Author: f.author, At: now}
}

func (f *edgeFeed) backfill(ctx workflow.Context) error {
	return onFeeds(ctx, feeds.Backfill, f.next(ctx))
}

func (f *edgeFeed) sweep(ctx workflow.Context) error {
	return onFeeds(ctx, feeds.Sweep, f.next(ctx))
}

// settle brings the feed to what the edge is, unless there is a newer wish first, which has its own settling.
func (f *edgeFeed) settle(ctx workflow.Context, follows bool, newer func() bool) error {
	if !follows {
		if err := f.sweep(ctx); err != nil {
			return err
		}
		f.sweepAgain = workflow.Now(ctx).Add(sweepAfter)
	}
	if !f.sweepAgain.IsZero() {
		changed, err := workflow.AwaitWithTimeout(ctx, f.sweepAgain.Sub(workflow.Now(ctx)), newer)
		if err != nil || changed {
			return err
		}
		f.sweepAgain = time.Time{}
		if err := f.sweep(ctx); err != nil {
			return err
		}
	}
	if !follows {
		return nil
	}
	return f.backfill(ctx)
}

// edgeCount keeps the count of the bucket that an edge is in.
type edgeCount struct {
	username string
	bucket   int
}

// settle counts the bucket or, if it is too large to be counted after each change, does so a little later, unless there is a
// newer wish first.
func (c *edgeCount) settle(ctx workflow.Context, _ bool, newer func() bool) error {
	input := activities.RecountInput{Username: c.username, Bucket: c.bucket, Changed: workflow.Now(ctx).UTC()}
	var left bool
	if err := write(ctx, followers.Recount, input, &left); err != nil || !left {
		return err
	}
	if changed, err := workflow.AwaitWithTimeout(ctx, countAfter, newer); err != nil || changed {
		return err
	}
	input.Now = true
	options := durable
	options.StartToCloseTimeout = time.Minute // 600,000 rows, at 10 million followers
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), followers.Recount, input).Get(ctx, nil)
}
