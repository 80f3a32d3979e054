package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

var followers *activities.Followers

// sweepAfter is the time from the first sweep of an unfollow to the second. A delivery that read the edge before the unfollow may
// still write for the 3 s of a page's window.
const sweepAfter = 5 * time.Second

// edgeStep is the least distance in time between two changes of an edge. The changes of the feed that follow from one have the
// microseconds up to the next.
const edgeStep = 10 * time.Microsecond

// FollowInput is the input of [Follow]: a follower, and the user to follow or to unfollow.
type FollowInput struct {
	Follower string `json:"follower"`
	Followee string `json:"followee"`
	// Unfollow is the request. It is no part of the workflow's input: the update carries it.
	Unfollow bool `json:"-"`
	// Announce says that an event is published of each change.
	Announce bool `json:"announce,omitempty"`
	// Unfinished is set by a run that continued as new.
	Unfinished *UnfinishedFollow `json:"unfinished,omitempty"`
}

// UnfinishedFollow is what a run of [Follow] leaves to the next one.
type UnfinishedFollow struct {
	// Follows is what the store has; feed and count are to be brought in line with it.
	Follows bool `json:"follows"`
	// Swept says that the feed was swept since the last unfollow.
	Swept bool `json:"swept"`
	// SweepAgain says that the second sweep of an unfollow is still to come.
	SweepAgain bool `json:"sweepAgain,omitempty"`
	// Last is the time of the last change of the edge or the feed.
	Last time.Time `json:"last"`
	// Since and Requests are those of the edge.
	Since    uuid.UUID `json:"since"`
	Requests []string  `json:"requests,omitempty"`
	// Events are still to be published, the oldest first.
	Events []twtr.Event `json:"events,omitempty"`
}

// updateRequest is the one update of Follow; its argument is one of the requests. It is one because of several updates that reach
// a run before its first task the order is kept only among those of one name.
const updateRequest = "request"

const (
	requestFollow   = "follow"
	requestUnfollow = "unfollow"
)

func (in FollowInput) request() string {
	if in.Unfollow {
		return requestUnfollow
	}
	return requestFollow
}

// StartOptions implements [Input]. A pair has one run at a time, which every request joins.
func (in FollowInput) StartOptions() client.StartWorkflowOptions {
	return startOptions(FollowersQueue, "follow/"+in.Follower+"/"+in.Followee, in.Follower+" "+in.request()+"s "+in.Followee,
		"Takes all requests of the pair, to follow and to unfollow, in their order, and brings feed and count in line with them.")
}

// Update implements [Request].
func (in FollowInput) Update() client.UpdateWorkflowOptions {
	return updateOptions(updateRequest, uuid.NewString(), in.request())
}

// Follow takes the requests of one user to follow another, or to unfollow them, in the order of their arrival: as the
// update "request", which returns when its request, or a newer one, is durable. It then brings the follower's feed and the
// other one's count of followers in line with it.
//
// Temporal recognizes a request that is sent again, because its answer was lost, in the newest run alone, by its update ID. So the edge
// remembers the IDs of the last changes, for the runs after it, and for a worker that repeats a task which another one did not complete.
//
// Changes are ordered by their times. These are the workflow's, but always later than those of all changes before, so that no
// order of clocks makes a request ineffective.
func Follow(ctx workflow.Context, in FollowInput) error {
	f, err := newFollow(ctx, in)
	if err != nil {
		return err
	}
	return f.run(ctx)
}

// follow is a run of [Follow].
type follow struct {
	pair activities.Pair
	edge twtr.Follow // as last written

	requests int       // taken
	pending  []request // taken, and neither durable nor refused
	answered request   // the last one that is durable, or refused
	refused  error     // why the answered one was refused

	change  int  // counts the changes of the edge
	follows bool // what the last change made of it
	fed     int  // the change that the feed is in line with
	counted int  // the change that the count is in line with

	last       time.Time // of the last change of the edge or the feed
	swept      bool      // the feed was, since the last unfollow
	sweepAgain time.Time // when; zero: not at all
	broken     error     // why the feed or the count cannot be brought in line

	announced *announcements
}

// request is a request to follow or to unfollow.
type request struct {
	id      string
	number  int
	follows bool
}

func newFollow(ctx workflow.Context, in FollowInput) (*follow, error) {
	f := &follow{
		pair: activities.Pair{Follower: in.Follower, Followee: in.Followee},
		edge: twtr.Follow{Follower: in.Follower, Followee: in.Followee}, swept: true,
	}
	var unannounced []twtr.Event
	if u := in.Unfinished; u != nil {
		unannounced = u.Events
		f.change, f.follows, f.swept, f.last = 1, u.Follows, u.Swept, u.Last
		f.edge.Since, f.edge.Requests = u.Since, u.Requests
		if u.SweepAgain {
			f.sweepAgain = workflow.Now(ctx).Add(sweepAfter)
		}
	}
	f.announced = announce(ctx, in.Announce, false, unannounced...)
	return f, workflow.SetUpdateHandlerWithOptions(ctx, updateRequest, f.take, workflow.UpdateHandlerOptions{Validator: f.validRequest})
}

// validRequest is the validator of the update. What it refuses adds nothing to the history: a long run takes no more requests, so
// that those it has can be answered, and the next run takes others.
func (f *follow) validRequest(ctx workflow.Context, name string) error {
	if isLong(ctx) {
		return temporal.NewApplicationError("the run is about to continue as new", string(twtr.Unavailable))
	}
	if len(f.announced.left) >= maxUnannounced {
		return temporal.NewApplicationError("too many changes of the pair are not published yet", string(twtr.Unavailable))
	}
	if name != requestFollow && name != requestUnfollow {
		return fmt.Errorf("the request must be %q or %q, not %q", requestFollow, requestUnfollow, name)
	}
	return nil
}

// take is the handler of the update.
func (f *follow) take(ctx workflow.Context, name string) error {
	f.requests++
	r := request{id: workflow.GetCurrentUpdateInfo(ctx).ID, number: f.requests, follows: name == requestFollow}
	f.pending = append(f.pending, r)
	if err := workflow.Await(ctx, func() bool { return f.answered.number >= r.number }); err != nil {
		return err
	}
	if f.answered.follows != r.follows { // a newer, opposite request took its place
		return nil
	}
	return f.refused
}

// run writes the newest request, again and again, until there is no newer one and all that follows from it is done.
func (f *follow) run(ctx workflow.Context) error {
	workflow.Go(ctx, f.keepFeed)
	workflow.Go(ctx, f.keepCount)
	if f.change == 0 {
		if err := f.awaitFirst(ctx); err != nil {
			return err
		}
	}
	for {
		var err error
		switch {
		case f.requested():
			err = f.write(ctx)
		case f.late():
			if err = f.put(ctx, f.follows); permanent(err) && !temporal.IsCanceledError(err) {
				err = nil // a user is gone, and the edge with them
			}
		case f.idle(ctx):
			return f.end(ctx)
		default:
			err = workflow.Await(ctx, func() bool { return f.requested() || f.late() || f.idle(ctx) })
		}
		if err != nil {
			return err
		}
	}
}

// awaitFirst lets the update that came with the start of the run be taken. It does not wait for one that does not come: then the run
// ends, and the caller, who repeats the update, starts another.
func (f *follow) awaitFirst(ctx workflow.Context) error {
	yielded := false
	return workflow.Await(ctx, func() bool {
		yield := !yielded
		yielded = true
		return f.requested() || !yield
	})
}

func (f *follow) requested() bool { return len(f.pending) > 0 }

// settled reports whether feed and count are in line with the edge.
func (f *follow) settled() bool { return f.fed == f.change && f.counted == f.change }

// late reports whether the last change of the feed is later than the next change of the edge might be, as it is after a tweet
// whose API server's clock was ahead. Then the edge is written again, as late as that.
func (f *follow) late() bool {
	return f.settled() && f.change > 0 && f.last.Sub(f.edge.At) >= edgeStep
}

// idle reports whether the run can end, or can be continued as new because its history has become long.
func (f *follow) idle(ctx workflow.Context) bool {
	return workflow.AllHandlersFinished(ctx) && (f.over() || isLong(ctx))
}

// over reports whether nothing is left to do, or can be done.
func (f *follow) over() bool { return (f.broken != nil || f.settled()) && f.announced.done() }

func (f *follow) end(ctx workflow.Context) error {
	if f.over() {
		return f.broken
	}
	return workflow.NewContinueAsNewError(ctx, Follow, FollowInput{
		Follower: f.pair.Follower, Followee: f.pair.Followee, Announce: f.announced.on,
		Unfinished: &UnfinishedFollow{Follows: f.follows, Swept: f.swept, SweepAgain: !f.sweepAgain.IsZero(), Last: f.last,
			Since: f.edge.Since, Requests: f.edge.Requests, Events: f.announced.left},
	})
}

// write makes the newest request durable, or refuses it. It fails only if the workflow is canceled.
func (f *follow) write(ctx workflow.Context) error {
	taken := f.pending
	f.pending = nil
	last := taken[len(taken)-1]
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("%s %ss %s", f.pair.Follower, FollowInput{Unfollow: !last.follows}.request(), f.pair.Followee))
	newest, err := f.store(ctx, taken)
	if temporal.IsCanceledError(err) {
		return err
	}
	f.answered, f.refused = request{number: last.number, follows: newest.follows}, err
	return nil
}

// store changes the edge, unless it is as requested already. It returns the request that decided: the newest of those that did not
// change the edge before.
func (f *follow) store(ctx workflow.Context, taken []request) (request, error) {
	newest := taken[len(taken)-1]
	var stored activities.Edge
	if err := short(ctx, followers.ReadEdge, f.pair, &stored); err != nil {
		return newest, err
	}
	f.adopt(stored, taken)
	i := len(taken) - 1
	for i >= 0 && slices.Contains(stored.Requests, taken[i].id) {
		i--
	}
	if i < 0 {
		return newest, nil
	}
	newest = taken[i]
	if stored.Follows == newest.follows {
		return newest, nil
	}
	if newest.follows && stored.Followings >= twtr.MaxFollowings {
		return newest, temporal.NewNonRetryableApplicationError(
			fmt.Sprintf("you follow %d users, which is the limit: unfollow a user first", twtr.MaxFollowings), string(twtr.Invalid), nil)
	}
	f.last = latest(workflow.Now(ctx).UTC().Truncate(time.Microsecond), stored.At.Add(edgeStep), f.last.Add(edgeStep))
	requests := append([]string{newest.id}, stored.Requests...)
	f.edge.Since, f.edge.Requests = stored.Since, requests[:min(len(requests), twtr.KeptRequests)]
	if err := f.put(ctx, newest.follows); err != nil {
		return newest, err
	}
	f.changed(newest.follows)
	f.announced.add(twtr.FollowEvent(f.edge, newest.follows, newest.id))
	return newest, nil
}

// adopt takes over the last change of the edge if one of the requests made it. The run that did may have completed what follows from
// it, or this run lost the task before it was completed: then feed and count are still to be brought in line.
func (f *follow) adopt(stored activities.Edge, taken []request) {
	if len(stored.Requests) == 0 || !slices.ContainsFunc(taken, func(r request) bool { return r.id == stored.Requests[0] }) {
		return
	}
	f.edge.At, f.edge.Since, f.edge.Requests = stored.At, stored.Since, stored.Requests
	f.last = latest(f.last, stored.At)
	f.changed(stored.Follows)
	f.announced.add(twtr.FollowEvent(f.edge, stored.Follows, stored.Requests[0]))
}

// changed notes that the edge has changed, so that feed and count are brought in line.
func (f *follow) changed(follows bool) {
	f.change++
	f.follows = follows
	f.swept = f.swept && follows
}

// put writes the edge as of the last time.
func (f *follow) put(ctx workflow.Context, follows bool) error {
	f.edge.At = f.last
	if !follows {
		return short(ctx, followers.RemoveFollow, f.edge, nil)
	}
	err := short(ctx, followers.StoreFollow, f.edge, nil)
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok && failure.Type() == string(twtr.NotFound) {
		// The edge is gone, of which an attempt before may have written a part: what deliveries did meanwhile is swept.
		f.changed(false)
	}
	return err
}

// keepFeed brings the feed in line with each change of the edge.
func (f *follow) keepFeed(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return f.fed < f.change }) == nil {
		change := f.change
		if err := f.reconcile(ctx, f.follows, func() bool { return f.change > change }); err != nil {
			f.broken = err
			return
		}
		f.fed = change
	}
}

// reconcile brings the feed in line with the edge, unless the edge changes first. After an unfollow it sweeps the feed also if a follow
// has come since: what was deleted in between was not removed from the feed of one who did not follow.
func (f *follow) reconcile(ctx workflow.Context, follows bool, changed func() bool) error {
	if !f.swept {
		f.swept = true
		if err := f.changeFeed(ctx, feeds.Sweep, "remove the tweets of %s from the feed of %s"); err != nil {
			return err
		}
		f.sweepAgain = workflow.Now(ctx).Add(sweepAfter)
	}
	if !f.sweepAgain.IsZero() {
		wait := workflow.AwaitOptions{Timeout: f.sweepAgain.Sub(workflow.Now(ctx)), TimerOptions: workflow.TimerOptions{Summary: "wait for deliveries that read the edge before"}}
		interrupted, err := workflow.AwaitWithOptions(ctx, wait, changed)
		if err != nil || interrupted {
			return err
		}
		f.sweepAgain = time.Time{}
		if err := f.changeFeed(ctx, feeds.Sweep, "remove what came late of %s from the feed of %s"); err != nil {
			return err
		}
	}
	if !follows {
		return nil
	}
	return f.changeFeed(ctx, feeds.Backfill, "add the newest tweets of %s to the feed of %s")
}

// changeFeed executes an activity that changes the feed, later than all changes before it.
func (f *follow) changeFeed(ctx workflow.Context, activity any, summary string) error {
	options := activityOptions
	options.TaskQueue = FeedsQueue
	options.Summary = fmt.Sprintf(summary, f.pair.Followee, f.pair.Follower)
	f.last = f.last.Add(time.Microsecond)
	in := activities.FeedEdgeInput{Reader: f.pair.Follower, Author: f.pair.Followee, At: f.last}
	var at time.Time
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), activity, in).Get(ctx, &at)
	f.last = latest(f.last, at)
	return err
}

// keepCount has the followers counted after each change of the edge.
func (f *follow) keepCount(ctx workflow.Context) {
	bucket := activities.Bucket{Username: f.pair.Followee, Bucket: twtr.FollowerBucket(f.pair.Follower)}
	for workflow.Await(ctx, func() bool { return f.counted < f.change }) == nil {
		change := f.change
		if err := short(ctx, followers.Recount, bucket, nil); err != nil {
			f.broken = err
			return
		}
		f.counted = change
	}
}

func latest(times ...time.Time) (t time.Time) {
	for _, other := range times {
		if other.After(t) {
			t = other
		}
	}
	return t
}

const (
	// countAfter is how long a bucket must have had no change before it is counted, and countWithin how long a count is postponed
	// by further changes: a storm of follows causes a scan of the bucket at its end, and one now and then.
	countAfter  = 3 * time.Second
	countWithin = 30 * time.Second
	// countTimeout is for 600,000 rows, at 10 million followers.
	countTimeout = time.Minute
)

// CountChanged is the signal that tells [CountFollowers] of a change in its bucket.
const CountChanged = "changed"

// CountFollowersInput is the input of [CountFollowers]: the bucket to count.
type CountFollowersInput struct {
	activities.Bucket
	// CountBy is set by a run that continued as new before it had counted: when the next one must begin to count.
	CountBy time.Time `json:"countBy,omitzero"`
}

// StartOptions implements [Input]. A bucket has one run at a time, so that it is not scanned by several at once.
func (in CountFollowersInput) StartOptions() client.StartWorkflowOptions {
	id := fmt.Sprintf("count-followers/%s/%d", in.Username, in.Bucket.Bucket)
	return startOptions(FollowersQueue, id, in.summary(), "Counts the bucket when it has been quiet for a while. Signals tell of changes.")
}

func (in CountFollowersInput) summary() string {
	return fmt.Sprintf("count the followers of %s, bucket %d", in.Username, in.Bucket.Bucket+1)
}

// CountFollowers counts the followers in one bucket when it has not changed for a while. It ends after a count that began when no
// change was outstanding.
//
// Changes may come for as long as a count fails. When there were so many that the history is long, the run continues as new, also in
// the middle of a count, which the next run begins anew.
func CountFollowers(ctx workflow.Context, in CountFollowersInput) error {
	options := activityOptions
	options.StartToCloseTimeout, options.Summary = countTimeout, in.summary()
	ctx = workflow.WithActivityOptions(ctx, options)
	changed := workflow.GetSignalChannel(ctx, CountChanged)
	for quiet := false; !quiet || changed.Len() > 0; {
		if in.CountBy.IsZero() {
			in.CountBy = workflow.Now(ctx).Add(countWithin)
		}
		quiet = awaitQuiet(ctx, changed, in.CountBy)
		if isLong(ctx) {
			return workflow.NewContinueAsNewError(ctx, CountFollowers, in)
		}
		count := workflow.ExecuteActivity(ctx, followers.Count, in.Bucket)
		if err := workflow.Await(ctx, func() bool { return count.IsReady() || isLong(ctx) }); err != nil {
			return err
		}
		if !count.IsReady() {
			in.CountBy = workflow.Now(ctx) // at once
			return workflow.NewContinueAsNewError(ctx, CountFollowers, in)
		}
		if err := count.Get(ctx, nil); err != nil {
			return err
		}
		in.CountBy = time.Time{}
		if isLong(ctx) {
			return workflow.NewContinueAsNewError(ctx, CountFollowers, in)
		}
	}
	return nil
}

// awaitQuiet waits until there was no change for countAfter, until the time to count, or until the history is long; quiet says
// whether it was the first.
func awaitQuiet(ctx workflow.Context, changed workflow.ReceiveChannel, countBy time.Time) (quiet bool) {
	for workflow.Now(ctx).Before(countBy) && !isLong(ctx) {
		if received, _ := changed.ReceiveWithTimeout(ctx, countAfter, nil); !received {
			return true
		}
	}
	return false
}
