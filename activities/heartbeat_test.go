package activities_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
)

// heartbeats passes the heartbeats of activities to seen, all of them: the SDK's test environment itself drops most.
type heartbeats struct {
	interceptor.WorkerInterceptorBase
	seen func(details any)
}

func (h *heartbeats) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &heartbeatsOf{interceptor.ActivityInboundInterceptorBase{Next: next}, h.seen}
}

type heartbeatsOf struct {
	interceptor.ActivityInboundInterceptorBase
	seen func(details any)
}

func (h *heartbeatsOf) Init(outbound interceptor.ActivityOutboundInterceptor) error {
	return h.Next.Init(&heartbeatsTo{interceptor.ActivityOutboundInterceptorBase{Next: outbound}, h.seen})
}

type heartbeatsTo struct {
	interceptor.ActivityOutboundInterceptorBase
	seen func(details any)
}

func (h *heartbeatsTo) RecordHeartbeat(ctx context.Context, details ...any) {
	h.seen(details[0])
	h.Next.RecordHeartbeat(ctx, details...)
}

func TestTheHeartbeatHasTheRateForAsLongAsTheDeliveryWaitsForIt(t *testing.T) {
	s := &faulty{Store: newStore(t), put: func() error {
		time.Sleep(300 * time.Millisecond) // some heartbeats
		return nil
	}}
	hot(t, s, 700) // a page at once, and one for which the rate is a wait of half a minute
	rate, tweet := activities.NewRate(7), newTweet(t, s)
	a := activities.NewFeeds(s, activities.FeedsConfig{MaxItems: 1000, Rate: rate})
	var mu sync.Mutex
	var limits []any
	seen := func(details any) {
		var fields map[string]any
		encoded, err := json.Marshal(details)
		if err == nil {
			err = json.Unmarshal(encoded, &fields)
		}
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		limits = append(limits, fields["rowsPerSecond"])
		if fields["rowsPerSecond"] != nil {
			rate.Set(0)
		}
	}
	env := new(testsuite.WorkflowTestSuite).NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&heartbeats{seen: seen}}})
	env.RegisterActivity(a)
	_, err := env.ExecuteActivity(a.Deliver, activities.DeliverInput{TweetID: tweet.ID, Author: "ann", From: oneBucket("")})
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()
	require.Nil(t, limits[0], "it writes")
	require.Contains(t, limits, 7.0)
}
