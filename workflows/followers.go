package workflows

import (
	"strconv"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

var followers *activities.Followers

// FollowInput is who wants to follow whom, since when.
type FollowInput struct {
	Follow twtr.Follow `json:"follow"`
}

// StartOptions implements [Input]. There is one run a pair at a time.
func (in FollowInput) StartOptions() client.StartWorkflowOptions {
	f := in.Follow
	return start(FollowersQueue, "follow/"+f.Follower+"/"+f.Followee, f.Follower+" follows "+f.Followee)
}

// Update implements [Input].
func (in FollowInput) Update() client.UpdateWorkflowOptions {
	return answer("set", strconv.FormatInt(in.Follow.At.UnixMicro(), 10), in.Follow.At)
}

// Follow writes that one user follows another, and then the newest tweets of the one into the feed of the other. Its
// update "set" carries the time of the caller's wish and answers when one as new is durable; the newest wish wins.
func Follow(ctx workflow.Context, in FollowInput) error {
	newest := in.Follow
	var written time.Time
	err := workflow.SetUpdateHandler(ctx, "set", func(ctx workflow.Context, at time.Time) error {
		if at.After(newest.At) {
			newest.At = at
		}
		return workflow.Await(ctx, func() bool { return !written.Before(at) })
	})
	if err != nil {
		return err
	}
	for written.Before(newest.At) {
		f := newest
		if err := write(ctx, followers.StoreFollow, f); err != nil {
			return err
		}
		written = f.At
		if err := backfill(ctx, f.Follower, f.Followee); err != nil {
			return err
		}
		// To the next round if somebody wants it newer meanwhile, and to the end when all have their answer.
		more := func() bool { return written.Before(newest.At) || workflow.AllHandlersFinished(ctx) }
		if err := workflow.Await(ctx, more); err != nil {
			return err
		}
	}
	return nil
}
