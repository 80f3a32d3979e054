package workflows_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/internal/temporalerr"
	"github.com/twtr-dev/twtr/workflows"
)

// followed runs bob's and ann's workflow with requests that come at the same time.
func (e *env) followed(after time.Duration, unfollow ...bool) []*result {
	e.t.Helper()
	results := e.requests(after, unfollow...)
	require.NoError(e.t, e.follow(bobAndAnn))
	return results
}

func TestAFollowIsStoredCountedAndBackfilled(t *testing.T) {
	e := newEnv(t)
	old := e.tweet(start.Add(-time.Hour))
	e.requireDone(e.followed(0, false, false)...)
	e.next()
	e.requireDone(e.followed(0, false)...)
	require.True(t, e.follows())
	require.Equal(t, []uuid.UUID{old.ID}, e.feed())
	require.Equal(t, 1, e.followers())
	require.Equal(t, 1, e.store.calls["PutFollow"], "the same request again writes nothing")
}

func TestAnUnfollowSweepsTheFeedAgainAfterDeliveriesThatAreInFlight(t *testing.T) {
	e := newEnv(t)
	e.request(0, false)
	require.NoError(t, e.follow(bobAndAnn))
	e.next()
	e.tweet(start, "bob")
	unfollowed := e.request(0, true)
	e.RegisterDelayedCallback(func() { e.tweet(start.Add(time.Second), "bob") }, 3*time.Second) // read the edge before
	require.NoError(t, e.follow(bobAndAnn))
	e.requireDone(unfollowed)
	require.False(t, e.follows())
	require.Empty(t, e.feed())
	require.Zero(t, e.followers())
}

func TestTheLastRequestToArriveWinsWhateverTheClocksSay(t *testing.T) {
	future := start.Add(10 * time.Second)
	for _, follows := range []bool{true, false} {
		t.Run(fmt.Sprintf("the store has follows=%t of the future", follows), func(t *testing.T) {
			e := newEnv(t)
			edge := twtr.Follow{Follower: "bob", Followee: "ann", At: future}
			if follows {
				require.NoError(t, e.store.Store.PutFollow(t.Context(), edge))
			} else {
				require.NoError(t, e.store.Store.DeleteFollow(t.Context(), edge))
			}
			done := e.request(0, follows) // the opposite
			require.NoError(t, e.follow(bobAndAnn))
			e.requireDone(done)
			require.Equal(t, !follows, e.follows())
		})
	}
}

func TestARequestThatIsSentAgainLaterTakesEffectOnce(t *testing.T) {
	e := newEnv(t)
	send := func(ids []string, unfollow ...bool) {
		t.Helper()
		e.next()
		done := e.send(0, ids, unfollow...)
		require.NoError(t, e.follow(bobAndAnn))
		e.requireDone(done...)
	}
	send([]string{"follow"}, false)
	send([]string{"unfollow"}, true)
	send([]string{"follow"}, false)
	require.False(t, e.follows(), "the unfollow is newer")
	send([]string{"follow again", "follow"}, false, false)
	require.True(t, e.follows(), "by the other request")
	send([]string{"unfollow"}, true)
	require.True(t, e.follows())
	send([]string{"unfollow again", "follow again"}, true, false)
	require.False(t, e.follows(), "the request that changed the edge last is no newer one when it is sent again")
	for i := range twtr.KeptRequests {
		send([]string{fmt.Sprint(i)}, i%2 == 1)
	}
	f, err := e.store.FollowChanged(t.Context(), "bob", "ann")
	require.NoError(t, err)
	require.Len(t, f.Requests, twtr.KeptRequests)
	require.Equal(t, fmt.Sprint(twtr.KeptRequests-1), f.Requests[0])
}

func TestWhatFollowsFromAChangeIsDoneByAWorkerThatRepeatsTheTaskOfOneThatDied(t *testing.T) {
	for _, unfollow := range []bool{false, true} {
		t.Run(workflows.FollowInput{Unfollow: unfollow}.Update().Args[0].(string), func(t *testing.T) {
			e := newEnv(t)
			// The worker changed the edge in a local activity, and died before the task was completed.
			edge := twtr.Follow{Follower: "bob", Followee: "ann", At: start.Add(-time.Second), Requests: []string{"request"}}
			want := []uuid.UUID{}
			if unfollow {
				e.tweet(start.Add(-time.Hour), "bob")
				require.NoError(t, e.store.Store.DeleteFollow(t.Context(), edge))
			} else {
				want = append(want, e.tweet(start.Add(-time.Hour)).ID)
				require.NoError(t, e.store.Store.PutFollow(t.Context(), edge))
			}
			done := e.send(0, []string{"request"}, unfollow)
			require.NoError(t, e.follow(bobAndAnn))
			e.requireDone(done...)
			require.Equal(t, !unfollow, e.follows())
			require.Equal(t, want, e.feed())
			require.Equal(t, len(want), e.followers())
		})
	}
}

func TestADeletionWhileTheEdgeWasGoneIsSweptHoweverShortThatWas(t *testing.T) {
	e := newEnv(t)
	tweet := e.tweet(start.Add(-time.Hour))
	e.store.before = unavailable("PutFeedItems", 5) // the backfill is tried after 1.5 s and then after 3.1 s
	done := []*result{e.request(0, false), e.request(1600*time.Millisecond, true), e.request(2500*time.Millisecond, false)}
	e.RegisterDelayedCallback(func() {
		require.NoError(t, e.store.PutFeedItem(t.Context(), tweet, []string{"bob"})) // a write of the backfill that was not answered
	}, 500*time.Millisecond)
	// Its retraction does not visit bob, who does not follow.
	e.RegisterDelayedCallback(func() { require.NoError(t, e.store.DeleteTweet(t.Context(), tweet)) }, 2*time.Second)
	require.NoError(t, e.follow(bobAndAnn))
	e.requireDone(done...)
	require.True(t, e.follows())
	require.Empty(t, e.feed())
}

func TestARequestDuringTheWriteOfAnotherIsWrittenNext(t *testing.T) {
	e := newEnv(t)
	e.store.before = unavailable("PutFollow", 10) // longer than the local activity retries
	followed, unfollowed := e.request(0, false), e.request(3*time.Second, true)
	require.NoError(t, e.follow(bobAndAnn))
	e.requireDone(followed, unfollowed)
	require.False(t, e.follows())
	require.Empty(t, e.feed())
	require.Zero(t, e.followers())
}

func TestOfManyRequestsAtOnceTheNewestIsWrittenAndAllGetAResponse(t *testing.T) {
	e := newEnv(t)
	unfollow := make([]bool, 101)
	for i := range unfollow {
		unfollow[i] = i%2 == 1
	}
	e.requireDone(e.followed(0, unfollow...)...)
	require.True(t, e.follows())
	require.Equal(t, 1, e.followers())
}

func TestAFollowBetweenTheTwoSweepsKeepsTheFeed(t *testing.T) {
	e := newEnv(t)
	tweet := e.tweet(start.Add(-time.Hour), "bob")
	require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start.Add(-time.Minute)}))
	unfollowed, followed := e.request(0, true), e.request(2*time.Second, false)
	require.NoError(t, e.follow(bobAndAnn))
	e.requireDone(unfollowed, followed)
	require.True(t, e.follows())
	require.Equal(t, []uuid.UUID{tweet.ID}, e.feed())
	require.Equal(t, 2, e.store.calls["DeleteFeedItems"], "the second sweep of the unfollow is not left out")
}

func TestTweetsOfAnAPIServerWhoseClockIsAheadFollowTheEdge(t *testing.T) {
	e := newEnv(t)
	tweet := e.tweet(start.Add(65*time.Minute), "bob")
	require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start.Add(-time.Minute)}))
	for i := range 3 { // runs of their own, which know of each other by the store alone
		e.next()
		e.request(0, true)
		require.NoError(t, e.follow(bobAndAnn))
		require.Empty(t, e.feed(), "unfollow %d", i)
		e.next()
		e.request(0, false)
		require.NoError(t, e.follow(bobAndAnn))
		require.Equal(t, []uuid.UUID{tweet.ID}, e.feed(), "follow %d", i)
	}
	e.next() // and in one run
	for i := range 6 {
		e.request(time.Duration(i)*2*time.Second, i%2 == 0)
	}
	require.NoError(t, e.follow(bobAndAnn))
	require.Equal(t, []uuid.UUID{tweet.ID}, e.feed())
}

func TestWhoFollowsTooManyIsRefusedAndNothingIsWritten(t *testing.T) {
	e := newEnv(t)
	e.store.before = func(method string, _ int) error {
		if method == "CountFollowings" {
			return errPermanent
		}
		return nil
	}
	refused := e.request(0, false)
	require.NoError(t, e.follow(bobAndAnn))
	require.ErrorContains(t, refused.err, "broken for good")
	e.store.before = nil

	for i := range twtr.MaxFollowings {
		require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: fmt.Sprintf("star-%d", i), At: start}))
	}
	e.next()
	refused = e.request(0, false)
	require.NoError(t, e.follow(bobAndAnn))
	failure := new(temporal.ApplicationError)
	require.ErrorAs(t, refused.err, &failure)
	require.Equal(t, string(twtr.Invalid), failure.Type())
	require.Contains(t, failure.Message(), "5000 users")
	require.False(t, e.follows())

	e.next()
	star := workflows.FollowInput{Follower: "bob", Followee: "star-7"}
	followed := e.request(0, false)
	require.NoError(t, e.follow(star))
	e.requireDone(followed) // whom bob follows already
}

func TestAPermanentErrorOfWhatFollowsEndsTheRunAfterItsResponses(t *testing.T) {
	for _, method := range []string{"DeleteFeedItems", "PutFeedItems", "CountFollowers"} {
		t.Run(method, func(t *testing.T) {
			e := newEnv(t)
			require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start.Add(-time.Minute)}))
			e.tweet(start.Add(-time.Hour), "bob")
			e.store.before = func(called string, _ int) error {
				if called == method {
					return errPermanent
				}
				return nil
			}
			responses := e.requests(0, true)
			if method == "PutFeedItems" { // a backfill
				responses = append(responses, e.request(time.Second, false))
			}
			require.ErrorContains(t, e.follow(bobAndAnn), "broken for good")
			e.requireDone(responses...)
		})
	}
}

func TestACanceledRunEnds(t *testing.T) {
	for _, at := range []time.Duration{0, time.Second, 3 * time.Second, 6 * time.Second} {
		t.Run(at.String(), func(t *testing.T) {
			e := newEnv(t)
			require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start.Add(-time.Minute)}))
			e.store.before = unavailable("DeleteFollow", 12)
			e.request(0, true)
			e.RegisterDelayedCallback(e.CancelWorkflow, at)
			require.True(t, temporal.IsCanceledError(errors.Unwrap(e.follow(bobAndAnn))))
		})
	}
}

func TestALongRunContinuesAsNewAndLosesNothing(t *testing.T) {
	e := newEnv(t)
	require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start.Add(-time.Minute)}))
	tweet := e.tweet(start.Add(-time.Hour), "bob")
	var all []*result
	for i := range 101 {
		all = append(all, e.request(time.Duration(i)*time.Millisecond, i%2 == 0))
	}
	e.RegisterDelayedCallback(func() { e.SetContinueAsNewSuggested(true) }, 100*time.Millisecond)
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, e.follow(bobAndAnn), &next)
	answered := 0
	for _, r := range all {
		if r.err != nil { // it came when the run was long: its client sends it again
			require.ErrorContains(t, r.err, "about to continue as new")
		} else if r.done {
			answered++
		}
	}
	require.GreaterOrEqual(t, answered, 95)

	var in workflows.FollowInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.NotNil(t, in.Unfinished)
	stored, err := e.store.FollowChanged(t.Context(), "bob", "ann")
	require.NoError(t, err)
	require.NotEmpty(t, stored.Requests)
	require.Equal(t, stored.Requests, in.Unfinished.Requests)
	require.True(t, in.Unfinished.SweepAgain)
	e.next()
	followed := e.request(time.Second, false)
	late := e.tweet(start.Add(-2*time.Hour), "bob")
	require.NoError(t, e.follow(in))
	e.requireDone(followed)
	require.True(t, e.follows())
	require.Equal(t, []uuid.UUID{tweet.ID, late.ID}, e.feed())
	require.Equal(t, 1, e.followers())
}

func TestAStormOfFollowsIsCountedAtItsEnd(t *testing.T) {
	for storm, scans := range map[time.Duration]int{0: 1, 20 * time.Second: 1, 100 * time.Second: 4} {
		t.Run(storm.String(), func(t *testing.T) {
			e := newEnv(t)
			require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start}))
			for at := time.Duration(0); at <= storm; at += 2 * time.Second {
				e.RegisterDelayedCallback(func() { e.SignalWorkflow(workflows.CountChanged, nil) }, at)
			}
			bucket := activities.Bucket{Username: "ann", Bucket: twtr.FollowerBucket("bob")}
			e.ExecuteWorkflow(workflows.CountFollowers, workflows.CountFollowersInput{Bucket: bucket})
			require.NoError(t, e.GetWorkflowError())
			require.Equal(t, scans, e.store.calls["CountFollowers"])
			require.Equal(t, 1, e.followers())
			require.WithinDuration(t, start.Add(storm), e.Now(), 5*time.Second)
		})
	}
}

// countDuring runs the workflow that counts bob's bucket of ann's followers, with a change every 2 s in that time.
func (e *env) countDuring(storm time.Duration, in workflows.CountFollowersInput) error {
	begin := e.Now()
	var change func()
	change = func() {
		e.SignalWorkflow(workflows.CountChanged, nil)
		if e.Now().Sub(begin) < storm {
			e.RegisterDelayedCallback(change, 2*time.Second)
		}
	}
	e.RegisterDelayedCallback(change, 0)
	e.ExecuteWorkflow(workflows.CountFollowers, in)
	return e.GetWorkflowError()
}

var bucketOfBob = workflows.CountFollowersInput{Bucket: activities.Bucket{Username: "ann", Bucket: twtr.FollowerBucket("bob")}}

func TestACountThatFailsDoesNotMakeAHistoryLong(t *testing.T) {
	e := newEnv(t)
	e.SetWorkflowRunTimeout(24 * time.Hour)
	require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start}))
	e.store.before = unavailable("CountFollowers", math.MaxInt)
	e.RegisterDelayedCallback(func() { e.SetCurrentHistoryLength(1500) }, 10*time.Minute)
	in := e.nextOf(e.countDuring(time.Hour, bucketOfBob))
	require.WithinDuration(t, start.Add(10*time.Minute), e.Now(), 3*time.Second, "at the next change")
	require.NotZero(t, in.CountBy)

	e.next()
	e.store.before = nil
	begin := e.Now()
	require.NoError(t, e.countDuring(0, in))
	require.Equal(t, 1, e.followers())
	require.Less(t, e.Now().Sub(begin), 5*time.Second)
}

func TestAStormOfFollowsDoesNotPostponeTheCountWhenTheHistoryIsLong(t *testing.T) {
	e := newEnv(t)
	require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start}))
	e.RegisterDelayedCallback(func() { e.SetCurrentHistoryLength(1500) }, 20*time.Second)
	in := e.nextOf(e.countDuring(time.Minute, bucketOfBob))
	require.Zero(t, e.store.calls["CountFollowers"])
	e.next()
	e.RegisterDelayedCallback(func() { e.SetCurrentHistoryLength(1500) }, 15*time.Second)
	next := e.nextOf(e.countDuring(time.Minute, in))
	require.Equal(t, 1, e.store.calls["CountFollowers"], "30 s after the first change, which was in the run before")
	require.Equal(t, start.Add(time.Minute), next.CountBy.UTC(), "the changes since then have 30 s of their own")
}

// nextOf is the input of the run that a run of CountFollowers continued as.
func (e *env) nextOf(err error) (in workflows.CountFollowersInput) {
	e.t.Helper()
	var next *workflow.ContinueAsNewError
	require.ErrorAs(e.t, err, &next)
	require.NoError(e.t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.Equal(e.t, bucketOfBob.Bucket, in.Bucket)
	return in
}

func TestALongRunTakesNoMoreRequestsUntilItContinuesAsNew(t *testing.T) {
	e := newEnv(t)
	e.store.before = unavailable("PutFollow", 20)
	followed := e.request(0, false)
	e.RegisterDelayedCallback(func() { e.SetCurrentHistoryLength(1500) }, time.Second)
	late := e.request(2*time.Second, true)
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, e.follow(bobAndAnn), &next)
	e.requireDone(followed)
	require.ErrorContains(t, late.err, "continue as new")
	require.Equal(t, twtr.Unavailable, twtr.ErrorCode(temporalerr.FromTemporal(late.err)), "so the client repeats it")
	require.True(t, e.follows())
}
