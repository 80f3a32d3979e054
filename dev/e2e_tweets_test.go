package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

type delivery struct {
	TweetID     uuid.UUID `json:"tweetId"`
	State       string    `json:"state"`
	Delivered   int64     `json:"delivered"`
	Failed      int64     `json:"failed"`
	StartedAt   string    `json:"startedAt"`
	CompletedAt *string   `json:"completedAt"`
}

func (s *stack) delivery(token string, id uuid.UUID) (d delivery) {
	s.t.Helper()
	s.ok("GET", "/deliveries/"+id.String(), token, nil, &d)
	return d
}

func (s *stack) deleteTweet(token string, id uuid.UUID) {
	s.t.Helper()
	require.Equal(s.t, `{}`, string(s.ok("DELETE", "/tweets/"+id.String(), token, nil, nil).Data))
}

// stored is the tweet as the store has it.
func stored(t *testing.T, one tweet) twtr.Tweet {
	stored, err := twtr.NewTweet(one.ID, one.Username, twtr.Post{Content: one.Content})
	require.NoError(t, err)
	return stored
}

func TestADeletedTweetIsGoneFromTheListAtOnceAndFromEveryFeedSoon(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		ann, bob := s.signUp("ann"), s.signUp("bob")
		s.follow(bob, "ann")
		first, second := s.tweet(ann, "first"), s.tweet(ann, "second")
		s.eventually("both are delivered", func() bool { return len(s.feed(bob)) == 2 })
		path := "/tweets/" + first.ID.String()
		require.Equal(t, 401, s.call("DELETE", path, "", nil).Status)
		require.Equal(t, 403, s.call("DELETE", path, bob, nil).Status)
		require.Equal(t, 404, s.call("DELETE", "/tweets/"+uuid.Must(uuid.NewV7()).String(), ann, nil).Status)
		require.Equal(t, 404, s.call("DELETE", "/tweets/not-an-id", ann, nil).Status)
		require.Len(t, s.feed(bob), 2)

		s.deleteTweet(ann, first.ID)
		var list []tweet
		s.ok("GET", "/tweets/ann", "", nil, &list)
		require.Equal(t, []tweet{second}, list)
		s.eventually("it is gone from the feed", func() bool { return slices.Equal([]tweet{second}, s.feed(bob)) })
		require.Equal(t, 404, s.call("DELETE", path, ann, nil).Status)
		s.eventually("its receipt says so", func() bool { return s.delivery(ann, first.ID).State == "retracted" })
		d := s.delivery(ann, first.ID)
		require.Equal(t, int64(1), d.Delivered)
		require.NotNil(t, d.CompletedAt)

		// A late retry of what wrote it doesn't bring it back.
		gone := stored(t, first)
		require.NoError(t, s.store.PutTweet(t.Context(), gone))
		require.NoError(t, s.store.PutFeedItem(t.Context(), gone, []string{"bob"}))
		require.NoError(t, s.store.PutFeedItems(t.Context(), "bob", []twtr.Tweet{gone}, time.Now()))
		require.Equal(t, []tweet{second}, s.feed(bob))
		s.ok("GET", "/tweets/ann", "", nil, &list)
		require.Equal(t, []tweet{second}, list)
	})
}

func TestADeletionStopsTheDeliveryThatRunsAndTakesBackWhatItDid(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		ann := s.signUp("ann")
		readers := s.seedFollowers("ann", manyFollowers)
		posted := s.tweet(ann, "to all of you")
		s.eventually("the delivery is on its way", func() bool { return s.delivery(ann, posted.ID).Delivered > 0 })
		s.deleteTweet(ann, posted.ID)
		s.eventually("all is taken back", func() bool { return s.delivery(ann, posted.ID).State == "retracted" })
		s.eventually("the delivery has ended", func() bool { return s.completed("delete-tweet/" + posted.ID.String()) })
		require.Less(t, s.delivery(ann, posted.ID).Delivered, int64(manyFollowers), "it stopped")
		require.Zero(t, s.delivered(posted.ID, readers))
	}, "--feed-rows-per-second", "5000") // so that it is running when the tweet is deleted
}

func TestTheTextOfADeletedTweetDoesNotStayInTemporal(t *testing.T) {
	t.Parallel()
	s := newStackWith(t, "sqlite", promptDeletions)
	s.work("users", "tweets", "followers")
	stop := s.work("feeds")
	ann := s.signUp("ann")
	kept, first := s.tweet(ann, "a text to keep"), s.tweet(ann, "the first secret")
	s.eventually("it is delivered", func() bool { return s.completed("post-tweet/" + first.ID.String()) })
	require.Equal(t, !s.encrypted(), s.temporalHolds("the first secret"))
	s.deleteTweet(ann, first.ID)
	s.eventually("its text is gone", func() bool { return !s.temporalHolds("the first secret") })
	s.eventually("the deletion has ended", func() bool { return s.completed("delete-tweet/" + first.ID.String()) })

	stop() // a tweet whose delivery is running
	second := s.tweet(ann, "the second secret")
	s.deleteTweet(ann, second.ID)
	s.work("feeds")
	s.eventually("the delivery ends, and its text is gone", func() bool { return !s.temporalHolds("the second secret") })
	s.eventually("the deletion has ended", func() bool { return s.completed("delete-tweet/" + second.ID.String()) })

	for _, gone := range []tweet{first, second} {
		s.eventually("its history is gone", func() bool {
			_, err := s.client.DescribeWorkflowExecution(t.Context(), "post-tweet/"+gone.ID.String(), "")
			return err != nil && strings.Contains(err.Error(), "not found")
		})
		require.Equal(t, "retracted", s.delivery(ann, gone.ID).State)
	}
	require.True(t, s.completed("post-tweet/"+kept.ID.String()))
	require.Equal(t, !s.encrypted(), s.temporalHolds("a text to keep"))
}

func TestADeletionMeetsBackfillsAndNothingComesBack(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		ann := s.signUp("ann")
		kept := s.tweet(ann, "kept")
		tokens := make([]string, 8)
		for i := range tokens {
			tokens[i] = s.signUp(fmt.Sprintf("fan-%d", i))
		}
		for round := range 3 {
			posted := s.tweet(ann, "deleted soon")
			var all sync.WaitGroup
			for i, token := range tokens {
				all.Go(func() {
					time.Sleep(time.Duration(i*round) * time.Millisecond)
					s.insist("POST", "/follow", token, map[string]string{"followingUsername": "ann"})
				})
			}
			time.Sleep(time.Duration(round*5) * time.Millisecond)
			s.deleteTweet(ann, posted.ID)
			all.Wait()
			s.eventually("only the kept one is there", func() bool {
				for _, token := range tokens {
					if !slices.Equal([]tweet{kept}, s.feed(token)) {
						return false
					}
				}
				return true
			})
			for _, token := range tokens {
				s.unfollow(token, "ann")
			}
			for _, token := range tokens {
				s.eventually("the feed is empty", func() bool { return len(s.feed(token)) == 0 })
			}
		}
	})
}

func TestAnIdempotencyKeyIsOneTweet(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		ann, bob := s.signUp("ann"), s.signUp("bob")
		s.follow(bob, "ann")
		post := func(token, key, content string) answer {
			return s.callWith("POST", "/tweets", token, map[string]string{"content": content}, map[string]string{"Idempotency-Key": key})
		}
		answers := make([]answer, 10)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i] = post(ann, "k-1", "once") })
		}
		all.Wait()
		for _, a := range answers {
			require.Equal(t, 200, a.Status, a.Error)
			require.Equal(t, string(answers[0].Data), string(a.Data))
		}
		s.eventually("it is delivered", func() bool { return len(s.feed(bob)) > 0 })
		s.eventually("the delivery has ended", func() bool { return s.completed("post-tweet/" + s.feed(bob)[0].ID.String()) })
		again := post(ann, "k-1", "once")
		require.Equal(t, string(answers[0].Data), string(again.Data), "also when its workflow has ended")
		require.Len(t, s.feed(bob), 1)
		other := post(ann, "k-1", "another content")
		require.Equal(t, 422, other.Status)
		require.Contains(t, other.Error, "Idempotency-Key")
		require.NotEqual(t, string(answers[0].Data), string(post(bob, "k-1", "once").Data), "another user's")
		require.NotEqual(t, string(answers[0].Data), string(post(ann, "k-2", "once").Data), "another key")
		for _, bad := range []string{"", "a b", "é", strings.Repeat("k", 256)} {
			require.Equal(t, 422, post(ann, bad, "once").Status, bad)
		}
		require.Equal(t, 200, post(ann, strings.Repeat("k", 255), "once").Status)
		var list []tweet
		s.ok("GET", "/tweets/ann", "", nil, &list)
		require.Len(t, list, 3)
	})
}

func TestAReceiptTellsHowFarADeliveryIsWithEveryWorkerDown(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		others := s.work("users", "tweets", "followers")
		ann, bob := s.signUp("ann"), s.signUp("bob")
		s.seedFollowers("ann", manyFollowers)
		posted := s.tweet(ann, "to all of you")
		path := "/deliveries/" + posted.ID.String()
		require.Equal(t, 401, s.call("GET", path, "", nil).Status)
		require.Equal(t, 403, s.call("GET", path, bob, nil).Status)
		require.Equal(t, 404, s.call("GET", "/deliveries/"+uuid.Must(uuid.NewV7()).String(), ann, nil).Status)
		require.Equal(t, 404, s.call("GET", "/deliveries/x", ann, nil).Status)
		require.Equal(t, delivery{TweetID: posted.ID, State: "running", StartedAt: posted.CreatedAt}, s.delivery(ann, posted.ID))

		stop := s.work("feeds")
		s.eventually("the delivery is on its way", func() bool { return s.delivery(ann, posted.ID).Delivered > 0 })
		stop()
		// What a step that has just ended did is told as soon as the workflow knows.
		s.eventually("what the step did is noted", func() bool { return s.delivery(ann, posted.ID).Delivered > 0 })
		others()
		d := s.delivery(ann, posted.ID)
		if d.State == "running" { // on a fast machine it may be over
			require.Positive(t, d.Delivered)
			require.LessOrEqual(t, d.Delivered, int64(manyFollowers))
		}
		others = s.work("tweets")
		stop = s.work("feeds")
		s.eventually("all is delivered", func() bool { return s.delivery(ann, posted.ID).State == "complete" })
		stop()
		others()
		d = s.delivery(ann, posted.ID)
		require.GreaterOrEqual(t, d.Delivered, int64(manyFollowers))
		require.NotNil(t, d.CompletedAt)
		require.Greater(t, *d.CompletedAt, d.StartedAt)
	})
}
