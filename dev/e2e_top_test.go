package main

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/inspect"
	"github.com/twtr-dev/twtr/internal/top"
	"github.com/twtr-dev/twtr/workers"
	"github.com/twtr-dev/twtr/workflows"
)

// collector is one of the stack, and counts its calls to Temporal.
func (s *stack) collector() (*top.Collector, *atomic.Int64) {
	calls := &atomic.Int64{}
	count := func(ctx context.Context, method string, request, reply any, c *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
		calls.Add(1)
		return invoke(ctx, method, request, reply, c, o...)
	}
	temporal, err := client.Dial(client.Options{HostPort: s.temporal, ConnectionOptions: client.ConnectionOptions{
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(count)}}})
	require.NoError(s.t, err)
	s.t.Cleanup(temporal.Close)
	return &top.Collector{Temporal: temporal, Queues: inspect.NewQueues(temporal, client.DefaultNamespace, workers.Domains()...),
		Store: func() (twtr.Store, error) { return s.store, nil }}, calls
}

func ids(all []top.Delivery) (ids []string) {
	for _, d := range all {
		ids = append(ids, d.WorkflowID)
	}
	return ids
}

func TestTopShowsWhatWaitsWhatFailsAndWhatCompletesAndAsksTemporalLittle(t *testing.T) {
	const followers = 900 // a page; its delivery then waits for the rate for some seconds
	s := newStack(t, "sqlite", "--feed-rows-per-second", "100")
	s.work("users")
	ann := s.signUp("ann")
	s.seedFollowers("ann", followers)
	require.NoError(t, s.store.PutFollowerCount(t.Context(), twtr.FollowerCount{Username: "ann", Count: followers, Version: 1}))
	id := workflows.PostTweetID(s.tweet(ann, "hello").ID)
	c, calls := s.collector()
	var last top.Snapshot
	shows := func(what string, condition func() bool) {
		t.Helper()
		s.eventually(what, func() bool {
			last = c.Collect(t.Context(), top.Request{Limit: 5})
			require.Empty(t, last.Problems)
			return condition()
		})
	}
	feeds := func() top.Queue { return last.Queues[3] }

	shows("that no worker takes the tweet", func() bool {
		return len(last.Deliveries) == 1 && last.Deliveries[0].State == "waits for worker" && last.Queues[1].Workflows.Backlog == 1
	})
	one := last.Deliveries[0]
	require.Equal(t, top.Delivery{WorkflowID: id, Author: "ann", Total: followers, Age: one.Age, Rate: one.Rate, State: one.State}, one)
	require.Equal(t, "tweets", last.Queues[1].Name)
	require.Zero(t, last.Queues[1].Workflows.Pollers)
	require.Positive(t, last.Queues[1].Workflows.Age)
	require.Positive(t, one.Age)
	require.Equal(t, 1, last.Queues[0].Workflows.Pollers, "the worker of users")

	start := func(names ...string) {
		s.each(names, func(name string) error {
			_, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: name, TaskQueue: "nobody"}, "PostTweet")
			return err
		})
	}
	start("unknown")
	shows("both", func() bool { return last.Running == 2 })
	require.Equal(t, []string{id, "unknown"}, ids(last.Deliveries))
	require.Equal(t, []string{"unknown"}, ids(c.Collect(t.Context(), top.Request{Offset: 1, Limit: 5}).Deliveries), "scrolled")
	require.Equal(t, []string{"unknown", id}, ids(c.Collect(t.Context(), top.Request{Newest: true, Limit: 5}).Deliveries))

	// More than one call lists: the one that waits longest is found all the same.
	const many = 210
	names := make([]string, many)
	for i := range names {
		names[i] = fmt.Sprint("unknown/", i)
	}
	start(names...)
	shows("how many run", func() bool { return last.Running == many+2 })
	require.Len(t, last.Deliveries, 5)
	require.Equal(t, id, last.Deliveries[0].WorkflowID)
	_, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "other", TaskQueue: "nobody"}, "RebuildFeed")
	require.NoError(t, err)
	shows("a workflow of another type", func() bool { return last.Others == 1 })
	before := calls.Load()
	shows("the same", func() bool { return true })
	require.LessOrEqual(t, calls.Load()-before, int64(5+2*len(workers.Domains())+20))

	db, err := sql.Open("sqlite", s.file)
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec(`CREATE TRIGGER refuse BEFORE INSERT ON feed_items BEGIN SELECT raise(ABORT, 'all rows are refused'); END`)
	require.NoError(t, err)
	s.work("tweets", "feeds")
	shows("the error of the activity that fails", func() bool { return len(last.Failures) > 0 })
	failure := last.Failures[0]
	require.Contains(t, failure.Error, "all rows are refused")
	require.Greater(t, failure.Attempt, int32(1))
	require.Equal(t, inspect.Failure{WorkflowID: id, Activity: "Deliver", Attempt: failure.Attempt, Error: failure.Error}, failure)
	require.Equal(t, fmt.Sprint("attempt ", failure.Attempt), last.Deliveries[0].State)
	require.Positive(t, feeds().Activities.Pollers)

	_, err = db.Exec(`DROP TRIGGER refuse`)
	require.NoError(t, err)
	shows("how fast the delivery is", func() bool { return len(last.Deliveries) > 0 && last.Deliveries[0].Rate > 0 })
	shows("what the delivery did", func() bool { return len(last.Completed) > 0 })
	done := last.Completed[0] // what was refused ten times in a row counts as failed
	require.Equal(t, []top.Completed{{Author: "ann", Took: last.Lags[0], Delivered: followers - done.Failed, Failed: done.Failed}}, last.Completed)
	require.Positive(t, last.Rate)

	code, output := s.twtr("top", "--once", "--interval", "200ms")
	require.Equal(t, 0, code, output)
	require.Contains(t, output, fmt.Sprintf("Deliveries  %d running", many+1))
	require.Regexp(t, fmt.Sprintf(`(?m)^ +\S+ ann +%d +%d$`, done.Delivered, done.Failed), output)
	command := s.twtrCommand("top", "--once")
	command.Args = append(command.Args, "--sqlite-path", t.TempDir()+"/none.db")
	said, err := command.CombinedOutput()
	require.NoError(t, err, string(said))
	require.Regexp(t, `(?m)^! store: there is no store at .*$`, string(said), "the rest is shown without the store")
	require.Contains(t, string(said), fmt.Sprintf("Deliveries  %d running", many+1))
}
