package workflows_test

import (
	"context"
	"encoding/json"
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
	path  string // of the store
	store *store
	*testsuite.TestWorkflowEnvironment
	counts    []activities.Bucket // that were requested
	histories *histories
	published *published
	inFlight  *inFlight

	steps   []activities.Step // that run
	lookErr error
	looks   int // at the running steps
}

func newEnv(t *testing.T) *env {
	path := filepath.Join(t.TempDir(), "twtr.db")
	require.NoError(t, sqlite.Migrate(t.Context(), path))
	s, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	e := &env{path: path, t: t, store: &store{Store: s}, histories: &histories{posted: map[uuid.UUID]int{}}, published: &published{t: t}, inFlight: &inFlight{}}
	t.Cleanup(e.inFlight.wait)
	for _, name := range []string{"ann", "bob"} {
		require.NoError(t, s.CreateUser(t.Context(), twtr.User{Username: name, Email: name + "@example.com", PasswordHash: "first", CreatedAt: start}))
	}
	e.next()
	return e
}

// next makes the environment of the next run, at the same time of the same store.
func (e *env) next() {
	now := start
	if e.TestWorkflowEnvironment != nil {
		now = e.Now()
	}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	e.TestWorkflowEnvironment = suite.NewTestWorkflowEnvironment()
	e.SetStartTime(now)
	e.SetTestTimeout(time.Minute)
	e.SetWorkerOptions(worker.Options{
		Interceptors:             []interceptor.WorkerInterceptor{&temporalerr.Interceptor{}, &unlimited{}, e.inFlight},
		DeadlockDetectionTimeout: time.Minute, // a busy machine may not run a workflow for the default of one second
	})
	e.RegisterActivity(activities.NewFeeds(e.store, activities.FeedsConfig{MaxItems: 1000}))
	e.RegisterActivity(&activities.Followers{Store: e.store, Counts: e})
	e.RegisterActivity(&activities.Tweets{Store: e.store, Deliveries: e.store, Erasure: e.store, Histories: e.histories, Steps: e})
	e.RegisterActivity(&activities.Events{Publisher: e.published})
	e.RegisterActivity(&activities.Users{Store: e.store, Unseal: unseal, NameHold: nameHold})
	e.RegisterWorkflow(workflows.Follow)
	e.RegisterWorkflow(workflows.CountFollowers)
}

// inFlight knows whether activities run: the environment does not wait for those of a workflow that ends before them, and the
// store must not be closed meanwhile.
type inFlight struct {
	interceptor.WorkerInterceptorBase
	mu sync.RWMutex // every activity has it for reading
}

func (f *inFlight) wait() {
	f.mu.Lock()
	defer f.mu.Unlock()
}

func (f *inFlight) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &inFlightInbound{interceptor.ActivityInboundInterceptorBase{Next: next}, f}
}

type inFlightInbound struct {
	interceptor.ActivityInboundInterceptorBase
	*inFlight
}

func (i *inFlightInbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.Next.ExecuteActivity(ctx, in)
}

// start is when the first run of a test starts; Temporal's clock need not be near the store's.
var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// RequestCount implements [activities.CountRequester].
func (e *env) RequestCount(_ context.Context, b activities.Bucket) error {
	e.counts = append(e.counts, b)
	return nil
}

const nameHold = 24 * time.Hour

func unseal(_ string, sealed []byte, v any) error { return json.Unmarshal(sealed, v) }

// histories are those that Temporal would have. It implements [activities.Histories].
type histories struct {
	mu      sync.Mutex
	posted  map[uuid.UUID]int // how many looks at the workflow that posted a tweet find it running, before it has ended
	running int64             // how many looks find workflows of the author running
	ended   int64             // how many histories of the author there are
}

func (h *histories) DeletePosted(_ context.Context, tweetID uuid.UUID) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.posted[tweetID] > 0 {
		h.posted[tweetID]--
		return false, nil
	}
	delete(h.posted, tweetID)
	return true, nil
}

// has reports whether there is a history of the workflow that posted a tweet.
func (h *histories) has(tweetID uuid.UUID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.posted[tweetID]
	return ok
}

func (h *histories) CountRunning(context.Context, string) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = max(0, h.running-1)
	return h.running, nil
}

func (h *histories) DeleteEnded(context.Context, string) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.ended
	h.ended = 0
	return n, nil
}

// request sends a request to follow or to unfollow after that time, and returns where its result will be.
func (e *env) request(after time.Duration, unfollow bool) *result {
	return e.requests(after, unfollow)[0]
}

// requests sends requests one right after the other.
func (e *env) requests(after time.Duration, unfollow ...bool) []*result {
	ids := make([]string, len(unfollow))
	for i := range ids {
		ids[i] = workflows.FollowInput{}.Update().UpdateID
	}
	return e.send(after, ids, unfollow...)
}

// send sends requests with these ids one right after the other.
func (e *env) send(after time.Duration, ids []string, unfollow ...bool) []*result {
	results := make([]*result, len(unfollow))
	for i := range results {
		results[i] = &result{}
	}
	e.RegisterDelayedCallback(func() {
		for i, r := range results {
			update := workflows.FollowInput{Unfollow: unfollow[i]}.Update()
			e.UpdateWorkflow(update.UpdateName, ids[i], r.callback(), update.Args...)
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
	items, err := e.store.Feed(context.Background(), "bob", twtr.Window{}, 1000)
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
	// refuse is whose feed cannot be cleaned.
	refuse string
	// after is called after the next PutFollow.
	after func()
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
	err := errors.Join(s.call("PutFollow"), s.Store.PutFollow(ctx, f))
	if s.after != nil {
		s.after()
		s.after = nil
	}
	return err
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

func (s *store) PutFeedItem(ctx context.Context, t twtr.Tweet, readers []string) error {
	if err := s.call("PutFeedItem"); err != nil {
		return err
	}
	return s.Store.PutFeedItem(ctx, t, readers)
}

func (s *store) RetractFeedItem(ctx context.Context, id uuid.UUID, readers []string, at time.Time) error {
	if err := s.call("RetractFeedItem"); err != nil {
		return err
	}
	return s.Store.RetractFeedItem(ctx, id, readers, at)
}

func (s *store) CountFollowers(ctx context.Context, username string, bucket int) (int, error) {
	if err := s.call("CountFollowers"); err != nil {
		return 0, err
	}
	return s.Store.CountFollowers(ctx, username, bucket)
}

func (s *store) EndSession(ctx context.Context, family uuid.UUID, at time.Time) error {
	if err := s.call("EndSession"); err != nil {
		return err
	}
	return s.Store.EndSession(ctx, family, at)
}

func (s *store) RetireUser(ctx context.Context, username string) error {
	if err := s.call("RetireUser"); err != nil {
		return err
	}
	return s.Store.RetireUser(ctx, username)
}

func (s *store) EraseTweets(ctx context.Context, username string, ids []uuid.UUID) error {
	if err := s.call("EraseTweets"); err != nil {
		return err
	}
	return s.Store.EraseTweets(ctx, username, ids)
}

func (s *store) EraseFromFeed(ctx context.Context, reader, author string) error {
	if err := s.call("EraseFromFeed"); err != nil {
		return err
	}
	if s.refuse == reader {
		return errors.New("the row is refused")
	}
	return s.Store.EraseFromFeed(ctx, reader, author)
}

func (s *store) EraseFollow(ctx context.Context, follower, followee string) error {
	if err := s.call("EraseFollow"); err != nil {
		return err
	}
	return s.Store.EraseFollow(ctx, follower, followee)
}

func (s *store) EraseUser(ctx context.Context, username string) error {
	return errors.Join(s.Store.EraseUser(ctx, username), s.call("EraseUser"))
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
