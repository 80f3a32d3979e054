package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

func TestATweetThatTemporalAcceptedWhileTheStoreWasUnavailableAppearsOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		ann, bob := s.signUp("ann"), s.signUp("bob")
		s.follow(bob, "ann")
		store := &brokenStore{Store: s.store}
		other := s.apiWith(s.client, store, time.Now)
		key := map[string]string{"Idempotency-Key": uuid.NewString()}
		post := func(content string, header map[string]string) answer {
			return other.callWith("POST", "/tweets", ann, map[string]string{"content": content}, header)
		}
		store.set("PutTweet")
		require.Equal(t, 503, post("without a key", nil).Status)
		for range 2 {
			require.Equal(t, 503, post("with a key", key).Status)
		}
		store.set("ClaimIdempotencyKey")
		require.Equal(t, 503, post("with a key that was not stored", map[string]string{"Idempotency-Key": uuid.NewString()}).Status)
		s.eventually("Temporal holds the first two", func() bool { return s.started(t, "ann") == 2 })
		store.set("")

		s.eventually("both are delivered", func() bool { return len(s.feed(bob)) == 2 })
		require.Equal(t, 200, post("with a key", key).Status)
		marker := s.tweet(ann, "the last one")
		s.eventually("all are delivered", func() bool { return s.delivery(ann, marker.ID).State == "complete" })
		want := []string{"the last one", "with a key", "without a key"}
		require.Equal(t, want, contents(s.feed(bob)))
		require.Equal(t, want, contents(s.list("ann")))
		s.eventually("nothing else was started", func() bool { return s.started(t, "ann") == 3 })
	})
}

// The whole store, and not one of its calls.
func TestATweetThatTemporalAcceptedDuringAnOutageOfTheStoreAppears(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		ann, bob := s.signUp("ann"), s.signUp("bob")
		s.follow(bob, "ann")
		api, end := s, func() {}
		if temporal, cassandra := s.proxies(); cassandra == nil {
			_, outage := s.outage()
			end = outage()
		} else { // of this API alone: other tests use the same Cassandra
			api = s.through(temporal, cassandra)
			cassandra.Cut()
		}
		a := api.call("POST", "/tweets", ann, map[string]string{"content": "hello"})
		require.Equal(t, 503, a.Status, a.Error)
		require.Contains(t, a.Error, "may have been accepted")
		require.Empty(t, a.header.Get("Retry-After"), "it is not to be repeated blindly")
		end()
		s.eventually("it is delivered", func() bool { return len(s.feed(bob)) == 1 })
		require.Equal(t, []string{"hello"}, contents(s.list("ann")))
	})
}

func TestATweetThatTemporalDidNotAcceptDoesNotAppear(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		ann, bob := s.signUp("ann"), s.signUp("bob")
		s.follow(bob, "ann")
		temporal := s.proxyTo(s.temporal)
		e := s.anotherAPI(temporal.Addr())
		temporal.Cut()
		key := map[string]string{"Idempotency-Key": uuid.NewString()}
		for _, header := range []map[string]string{nil, key, key} {
			require.Equal(t, 503, e.callWith("POST", "/tweets", ann, map[string]string{"content": "lost"}, header).Status)
		}
		require.NoError(t, temporal.Heal(context.WithoutCancel(t.Context())))
		marker := s.tweet(ann, "the last one")
		s.eventually("it is delivered", func() bool { return s.delivery(ann, marker.ID).State == "complete" })
		require.Equal(t, []string{"the last one"}, contents(s.list("ann")))
		require.Equal(t, []string{"the last one"}, contents(s.feed(bob)))
		s.eventually("nothing else was started", func() bool { return s.started(t, "ann") == 1 })

		e.eventually("a repetition with the key is accepted", func() bool {
			return e.callWith("POST", "/tweets", ann, map[string]string{"content": "lost"}, key).Status == 200
		})
		s.eventually("it is delivered", func() bool { return len(s.feed(bob)) == 2 })
		require.Equal(t, []string{"the last one", "lost"}, contents(s.list("ann")), "by the time of the first request")
	})
}

// started is how many tweets of the author Temporal has accepted.
func (s *stack) started(t *testing.T, author string) int {
	query := fmt.Sprintf("WorkflowType = 'PostTweet' AND %s = '%s'", workflows.Author.GetName(), author)
	count, err := s.client.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	require.NoError(t, err)
	return int(count.GetCount())
}

func (s *stack) list(author string) (all []tweet) {
	s.t.Helper()
	require.NoError(s.t, json.Unmarshal(s.ok("GET", "/tweets/"+author, "", nil, nil).Data, &all))
	return all
}

func contents(tweets []tweet) (all []string) {
	for _, one := range tweets {
		all = append(all, one.Content)
	}
	return all
}

// brokenStore is a store of which one method is unavailable.
type brokenStore struct {
	twtr.Store
	mu     sync.Mutex
	broken string
}

func (b *brokenStore) set(method string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = method
}

func (b *brokenStore) check(method string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken == method {
		return twtr.Errorf(twtr.Unavailable, "the store is unavailable")
	}
	return nil
}

func (b *brokenStore) PutTweet(ctx context.Context, t twtr.Tweet) error {
	if err := b.check("PutTweet"); err != nil {
		return err
	}
	return b.Store.PutTweet(ctx, t)
}

func (b *brokenStore) ClaimIdempotencyKey(ctx context.Context, c twtr.IdempotencyClaim) (twtr.IdempotencyClaim, error) {
	if err := b.check("ClaimIdempotencyKey"); err != nil {
		return twtr.IdempotencyClaim{}, err
	}
	return b.Store.ClaimIdempotencyKey(ctx, c)
}

func (b *brokenStore) CountFollowers(ctx context.Context, username string, bucket int) (int, error) {
	if err := b.check("CountFollowers"); err != nil {
		return 0, err
	}
	return b.Store.CountFollowers(ctx, username, bucket)
}
