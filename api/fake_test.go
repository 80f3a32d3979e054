package api

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/google/uuid"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

// fakeStore keeps in memory what the tests of handlers need, and lets them see and fail its calls.
type fakeStore struct {
	twtr.Store // nil: all other methods panic

	err       error // of every call
	mu        sync.Mutex
	calls     []string // guarded by mu
	users     map[string]twtr.User
	tweets    []twtr.Tweet // newest first
	claims    map[string]twtr.IdempotencyClaim
	receipts  map[uuid.UUID]twtr.Receipt
	followers map[string][]string // by followee
	counts    []twtr.FollowerCount
}

func (s *fakeStore) call(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, name)
	return s.err
}

func (s *fakeStore) Ping(context.Context) error { return s.err }

func (s *fakeStore) User(_ context.Context, username string) (twtr.User, error) {
	if s.err != nil {
		return twtr.User{}, s.err
	}
	u, ok := s.users[username]
	if !ok {
		return u, twtr.Errorf(twtr.NotFound, "there is no user %s", username)
	}
	return u, nil
}

func (s *fakeStore) ClaimIdempotencyKey(_ context.Context, c twtr.IdempotencyClaim) (twtr.IdempotencyClaim, error) {
	if err := s.call("claim"); err != nil {
		return c, err
	}
	if s.claims == nil {
		s.claims = map[string]twtr.IdempotencyClaim{}
	}
	id := c.Username + "/" + c.Key
	if _, ok := s.claims[id]; !ok {
		s.claims[id] = c
	}
	return s.claims[id], nil
}

func (s *fakeStore) PutTweet(_ context.Context, t twtr.Tweet) error {
	if err := s.call("put " + t.ID.String()); err != nil {
		return err
	}
	s.tweets = slices.Insert(s.tweets, 0, t)
	return nil
}

func (s *fakeStore) Tweet(_ context.Context, id uuid.UUID) (twtr.Tweet, error) {
	for _, t := range s.tweets {
		if t.ID == id {
			return t, nil
		}
	}
	return twtr.Tweet{}, twtr.Errorf(twtr.NotFound, "there is no tweet of that id")
}

func (s *fakeStore) TweetsByUser(_ context.Context, username string, w twtr.Window, limit int) (found []twtr.Tweet, err error) {
	for _, t := range s.tweets {
		older := w.Before == uuid.Nil || slices.Compare(t.ID[:], w.Before[:]) < 0
		newer := slices.Compare(t.ID[:], w.After[:]) > 0
		if t.Username == username && older && newer && len(found) < limit {
			found = append(found, t)
		}
	}
	return found, s.call("tweets")
}

// Feed is that of a user who follows all.
func (s *fakeStore) Feed(_ context.Context, _ string, w twtr.Window, limit int) (found []twtr.Tweet, err error) {
	for _, t := range s.tweets {
		if w.Before == uuid.Nil && slices.Compare(t.ID[:], w.After[:]) > 0 && len(found) < limit {
			found = append(found, t)
		}
	}
	return found, s.call("feed")
}

func (s *fakeStore) Receipt(_ context.Context, tweetID uuid.UUID) (twtr.Receipt, error) {
	receipt, ok := s.receipts[tweetID]
	if !ok {
		return receipt, twtr.Errorf(twtr.NotFound, "there is no such delivery")
	}
	return receipt, s.err
}

func (s *fakeStore) FirstFollowers(_ context.Context, username string, limit int) (names []string, left []twtr.BucketCursor, err error) {
	names = slices.Clone(s.followers[username])
	slices.Sort(names)
	if len(names) > limit {
		names, left = names[:limit], []twtr.BucketCursor{{}}
	}
	return names, left, s.call("first followers")
}

func (s *fakeStore) Followers(_ context.Context, username string, bucket int, after string, limit int) (names []string, err error) {
	for _, name := range slices.Sorted(slices.Values(s.followers[username])) {
		if twtr.FollowerBucket(name) == bucket && name > after && len(names) < limit {
			names = append(names, name)
		}
	}
	return names, s.call("followers")
}

func (s *fakeStore) Followings(context.Context, string, string, int) ([]string, error) {
	return nil, s.call("followings")
}

func (s *fakeStore) CountFollowings(_ context.Context, username string) (n int, err error) {
	for _, followers := range s.followers {
		if slices.Contains(followers, username) {
			n++
		}
	}
	return n, s.err
}

func (s *fakeStore) FollowerCounts(context.Context, string) ([]twtr.FollowerCount, error) {
	return s.counts, s.err
}

// fakeTemporal records which workflows are started.
type fakeTemporal struct {
	client.Client // nil: all other methods panic

	err     error
	store   *fakeStore // whose calls get the starts, too
	posted  []twtr.Tweet
	running map[string]*workflowservice.DescribeWorkflowExecutionResponse // by workflow ID
}

func (f *fakeTemporal) ExecuteWorkflow(_ context.Context, options client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	if options.WorkflowExecutionErrorWhenAlreadyStarted {
		return nil, errors.New("a run that exists would be an error")
	}
	f.store.calls = append(f.store.calls, "start "+options.ID)
	if f.err != nil {
		return nil, f.err
	}
	f.posted = append(f.posted, args[0].(workflows.PostTweetInput).Tweet)
	return nil, nil
}
