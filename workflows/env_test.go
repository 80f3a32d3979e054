package workflows_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/internal/temporalerr"
	"github.com/twtr-dev/twtr/store/sqlite"
	"github.com/twtr-dev/twtr/workflows"
)

// env runs workflows in the SDK's test environment, whose clock skips the time in which nothing happens, with the real
// activities on a SQLite store.
type env struct {
	t     *testing.T
	store *store
	*testsuite.TestWorkflowEnvironment
	counts []activities.Bucket // that were requested
}

func newEnv(t *testing.T) *env {
	path := filepath.Join(t.TempDir(), "twtr.db")
	require.NoError(t, sqlite.Migrate(t.Context(), path))
	s, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	e := &env{t: t, store: &store{Store: s}}
	e.next()
	return e
}

// next makes the environment of the next run, at the same time of the same store.
func (e *env) next() {
	now := start
	if e.TestWorkflowEnvironment != nil {
		now = e.Now()
	}
	e.TestWorkflowEnvironment = new(testsuite.WorkflowTestSuite).NewTestWorkflowEnvironment()
	e.SetStartTime(now)
	e.SetTestTimeout(time.Minute)
	e.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&temporalerr.Interceptor{}}})
	e.RegisterActivity(activities.NewFeeds(e.store, activities.FeedsConfig{MaxItems: 1000}))
	e.RegisterActivity(&activities.Followers{Store: e.store, Counts: e})
	e.RegisterActivity(&activities.Tweets{Store: e.store, Deliveries: e.store})
	e.RegisterWorkflow(workflows.Follow)
	e.RegisterWorkflow(workflows.CountFollowers)
}

// start is when the first run of a test starts; Temporal's clock need not be near the store's.
var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// RequestCount implements [activities.CountRequester].
func (e *env) RequestCount(_ context.Context, b activities.Bucket) error {
	e.counts = append(e.counts, b)
	return nil
}

// request sends a request to follow or to unfollow after that time, and returns where its result will be.
func (e *env) request(after time.Duration, unfollow bool) *result {
	return e.requests(after, unfollow)[0]
}

// requests sends requests one right after the other.
func (e *env) requests(after time.Duration, unfollow ...bool) []*result {
	results := make([]*result, len(unfollow))
	for i := range results {
		results[i] = &result{}
	}
	e.RegisterDelayedCallback(func() {
		for i, r := range results {
			update := workflows.FollowInput{Unfollow: unfollow[i]}.Update()
			e.UpdateWorkflow(update.UpdateName, update.UpdateID, r.callback(), update.Args...)
		}
	}, after)
	return results
}

func (r *result) callback() *testsuite.TestUpdateCallback {
	return &testsuite.TestUpdateCallback{
		OnAccept:   func() {},
		OnReject:   func(err error) { r.done, r.err = true, err },
		OnComplete: func(_ any, err error) { r.done, r.err = true, err },
	}
}

// result is that of an update.
type result struct {
	done bool
	err  error
}

func (e *env) requireDone(results ...*result) {
	e.t.Helper()
	for i, r := range results {
		require.True(e.t, r.done, "request %d has no response", i)
		require.NoError(e.t, r.err, "request %d", i)
	}
}

var bobAndAnn = workflows.FollowInput{Follower: "bob", Followee: "ann"}

// follow runs bob's and ann's workflow to its end.
func (e *env) follow(in workflows.FollowInput) error {
	e.t.Helper()
	e.ExecuteWorkflow(workflows.Follow, in)
	require.True(e.t, e.IsWorkflowCompleted())
	return e.GetWorkflowError()
}

// tweet stores a tweet of ann's whose API server's clock said that time, and writes it into the feeds of the readers.
func (e *env) tweet(at time.Time, readers ...string) twtr.Tweet {
	e.t.Helper()
	id, err := twtr.NewTweetID(at)
	require.NoError(e.t, err)
	tweet, err := twtr.NewTweet(id, "ann", twtr.Post{Content: "hello"})
	require.NoError(e.t, err)
	require.NoError(e.t, e.store.PutTweet(context.Background(), tweet))
	require.NoError(e.t, e.store.PutFeedItem(context.Background(), tweet, readers))
	return tweet
}

func (e *env) feed() []uuid.UUID {
	e.t.Helper()
	items, err := e.store.Feed(context.Background(), "bob", uuid.Nil, 1000)
	require.NoError(e.t, err)
	ids := []uuid.UUID{}
	for _, item := range items {
		ids = append(ids, item.ID)
	}
	return ids
}

func (e *env) follows() bool {
	e.t.Helper()
	_, err := e.store.Follow(context.Background(), "bob", "ann")
	if twtr.ErrorCode(err) != twtr.NotFound {
		require.NoError(e.t, err)
	}
	return err == nil
}

func (e *env) followers() int {
	e.t.Helper()
	counts, err := e.store.FollowerCounts(context.Background(), "ann")
	require.NoError(e.t, err)
	n := 0
	for _, c := range counts {
		n += c.Count
	}
	return n
}

// store is a SQLite store whose methods call the test first, which may make them fail.
type store struct {
	twtr.Store
	mu    sync.Mutex
	calls map[string]int
	// before is called with the method's name and how many calls of it there were before.
	before func(method string, calls int) error
}

var errPermanent = twtr.Errorf(twtr.Invalid, "broken for good")

func (s *store) call(method string) error {
	s.mu.Lock()
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	n, before := s.calls[method], s.before
	s.calls[method]++
	s.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(method, n)
}

func (s *store) PutFollow(ctx context.Context, f twtr.Follow) error {
	return errors.Join(s.call("PutFollow"), s.Store.PutFollow(ctx, f))
}

func (s *store) DeleteFollow(ctx context.Context, f twtr.Follow) error {
	return errors.Join(s.call("DeleteFollow"), s.Store.DeleteFollow(ctx, f))
}

func (s *store) CountFollowings(ctx context.Context, username string) (int, error) {
	if err := s.call("CountFollowings"); err != nil {
		return 0, err
	}
	return s.Store.CountFollowings(ctx, username)
}

func (s *store) PutFeedItems(ctx context.Context, reader string, tweets []twtr.Tweet, at time.Time) error {
	if err := s.call("PutFeedItems"); err != nil {
		return err
	}
	return s.Store.PutFeedItems(ctx, reader, tweets, at)
}

func (s *store) DeleteFeedItems(ctx context.Context, reader string, ids []uuid.UUID, at time.Time) error {
	if err := s.call("DeleteFeedItems"); err != nil {
		return err
	}
	return s.Store.DeleteFeedItems(ctx, reader, ids, at)
}

func (s *store) CountFollowers(ctx context.Context, username string, bucket int) (int, error) {
	if err := s.call("CountFollowers"); err != nil {
		return 0, err
	}
	return s.Store.CountFollowers(ctx, username, bucket)
}

func (s *store) PutTweet(ctx context.Context, t twtr.Tweet) error {
	if err := s.call("PutTweet"); err != nil {
		return err
	}
	return s.Store.PutTweet(ctx, t)
}

// unavailable is what a store returns that is unavailable for the first calls of a method.
func unavailable(method string, calls int) func(string, int) error {
	return func(called string, n int) error {
		if called == method && n < calls {
			return twtr.Errorf(twtr.Unavailable, "the store is unavailable")
		}
		return nil
	}
}
