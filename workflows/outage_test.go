package workflows_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

// outages are how long the store is unavailable: no number of attempts and no timeout may end what a client was promised.
var outages = []time.Duration{15 * time.Minute, 24 * time.Hour}

// newEnvWithOutage is an environment whose store is unavailable until so long after the start.
func newEnvWithOutage(t *testing.T, outage time.Duration) *env {
	e := newEnv(t)
	e.SetTestTimeout(5 * time.Minute)
	e.SetWorkflowRunTimeout(30 * 24 * time.Hour) // the server's is unlimited; this environment's is short
	e.store.before = func(string, int) error {
		if e.Now().Before(start.Add(outage)) {
			return twtr.Errorf(twtr.Unavailable, "the store is unavailable")
		}
		return nil
	}
	return e
}

func TestATweetIsDeliveredHoweverLongTheStoreIsUnavailable(t *testing.T) {
	for _, outage := range outages {
		t.Run(outage.String(), func(t *testing.T) {
			e := newEnvWithOutage(t, outage)
			require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start}))
			tweet := newTweet(t)
			require.Equal(t, workflows.DeliveryResult{Delivered: 1}, e.post(tweet))
			require.Len(t, e.feed(), 1)
			require.Less(t, e.Now().Sub(start), outage+10*time.Second, "and soon after that")
		})
	}
}

// eventsOfAStep is how many events an activity has, at most: three of its own, three of the workflow task that it causes, and one of
// the search attribute that this updates.
const eventsOfAStep = 7

// countActivities returns the number of activities that have begun, each once however often it is tried.
func (e *env) countActivities() func() int {
	n := 0
	e.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		if info.Attempt == 1 {
			n++
		}
	})
	return func() int { return n }
}

func TestTheHistoryOfADeliveryTo10MillionIsShort(t *testing.T) {
	e := newEnvWithOutage(t, 0)
	steps := e.countActivities()
	const bucket = 10_000_000 / twtr.FollowerBuckets
	var feeds *activities.Feeds
	e.OnActivity(feeds.Deliver, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.DeliverInput) (r activities.DeliverResult, err error) {
			if in.Budget > 0 {
				r.Left = in.From.Left
				return r, nil
			}
			r.Done = bucket
			return r, nil
		})
	require.Equal(t, workflows.DeliveryResult{Delivered: 10_000_000}, e.post(newTweet(t)))
	require.Less(t, steps()*eventsOfAStep, 200)
}

func TestTheHistoryOfAnErasureOf10MillionIsShort(t *testing.T) {
	const many = 10_000_000
	e := newEnvWithOutage(t, 0)
	e.requestDeletion(0)
	steps := e.countActivities()
	var (
		feeds  *activities.Feeds
		tweets *activities.Tweets
	)
	e.OnActivity(feeds.EraseFeeds, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.EraseFeedsInput) (twtr.Progress, error) {
			p := in.From
			if p.Done += in.Budget; p.Done >= many {
				p.Done, p.Left = many, nil
			}
			return p, nil
		})
	e.OnActivity(tweets.EraseTweets, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.EraseTweetsInput) (activities.ErasedTweets, error) {
			erased := in.From
			erased.Done = min(many, erased.Done+in.Budget)
			erased.Complete = erased.Done == many
			return erased, nil
		})
	for i := range twtr.MaxFollowings {
		require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "ann", Followee: fmt.Sprintf("star-%d", i), At: start}))
	}
	require.Equal(t, workflows.ErasureResult{Followings: twtr.MaxFollowings, Tweets: many, Feeds: many}, e.deleteAnn())
	t.Logf("%d activities", steps())
	require.Less(t, steps()*eventsOfAStep, 1500)
}

// Deliveries themselves, which take as long as the outage: an activity that fails is retried for all of it.
func TestADeliveryInProgressOutlastsAnOutage(t *testing.T) {
	end := start.Add(15 * time.Minute)
	e := newEnvWithOutage(t, 0)
	var feeds *activities.Feeds
	e.OnActivity(feeds.Deliver, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.DeliverInput) (d activities.DeliverResult, err error) {
			if e.Now().Before(end) {
				return d, twtr.Errorf(twtr.Unavailable, "the store is unavailable")
			}
			return activities.DeliverResult{Progress: twtr.Progress{Done: 7}}, nil
		})
	require.Equal(t, workflows.DeliveryResult{Delivered: 7}, e.post(newTweet(t)))
	require.Less(t, e.Now().Sub(end), 10*time.Second)
}

func TestTheNewestRequestToFollowWinsHoweverLongTheStoreIsUnavailable(t *testing.T) {
	for _, outage := range outages {
		t.Run(outage.String(), func(t *testing.T) {
			e := newEnvWithOutage(t, outage)
			old := e.tweetBefore()
			// As many as the server holds of one run.
			requests := e.requests(0, false, true, false, true, false)
			requests = append(requests, e.requests(outage/2, true, false, true, false)...)
			require.NoError(t, e.follow(bobAndAnn))
			e.requireDone(requests...)
			require.True(t, e.follows())
			require.Equal(t, 1, e.followers())
			require.Equal(t, []string{old.ID.String()}, []string{e.feed()[0].String()})
			require.Less(t, e.Now().Sub(start), outage+20*time.Second)
		})
	}
}

// tweetBefore is a tweet of ann's from before the outage.
func (e *env) tweetBefore() twtr.Tweet {
	e.t.Helper()
	before := e.store.before
	e.store.before = nil
	defer func() { e.store.before = before }()
	return e.tweet(start.Add(-time.Hour))
}

// quiet is the log of environments whose activities fail ten thousand times.
var quiet = log.NewStructuredLogger(slog.New(slog.DiscardHandler))

// unlimited lets activities be retried as often as by the server. Where a policy has no limit, the environment makes 10 attempts,
// and it does not begin the timeouts of an attempt anew with the next one.
type unlimited struct {
	interceptor.WorkerInterceptorBase
}

func (*unlimited) InterceptWorkflow(ctx workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &unlimitedInbound{interceptor.WorkflowInboundInterceptorBase{Next: next}}
}

type unlimitedInbound struct {
	interceptor.WorkflowInboundInterceptorBase
}

func (i *unlimitedInbound) Init(outbound interceptor.WorkflowOutboundInterceptor) error {
	return i.Next.Init(&unlimitedOutbound{interceptor.WorkflowOutboundInterceptorBase{Next: outbound}})
}

type unlimitedOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
}

func (o *unlimitedOutbound) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	options := workflow.GetActivityOptions(ctx)
	if options.RetryPolicy.MaximumAttempts == 0 {
		policy := *options.RetryPolicy
		policy.MaximumAttempts = math.MaxInt32
		options.RetryPolicy = &policy
	}
	options.StartToCloseTimeout, options.HeartbeatTimeout = 24*time.Hour, 0
	ctx = workflow.WithActivityOptions(ctx, options)
	return o.Next.ExecuteActivity(ctx, name, args...)
}
