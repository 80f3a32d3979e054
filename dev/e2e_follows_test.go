package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

// profile is what everybody sees of a user.
type profile struct {
	Username    string `json:"username"`
	DisplayName string `json:"displayName"`
	CreatedAt   string `json:"createdAt"`
	Followers   int    `json:"followers"`
	Followings  int    `json:"followings"`
}

func (s *stack) profile(username string) (p profile) {
	s.t.Helper()
	s.ok("GET", "/users/"+username, "", nil, &p)
	return p
}

func (s *stack) unfollow(token, username string) {
	s.t.Helper()
	require.Equal(s.t, `{}`, string(s.ok("DELETE", "/follow/"+username, token, nil, nil).Data))
}

// names reads a whole list of users, in pages of that limit.
func (s *stack) names(path string, limit int) (all []string) {
	s.t.Helper()
	for cursor := ""; ; {
		var page []struct{ Username string }
		a := s.ok("GET", fmt.Sprintf("%s?limit=%d%s", path, limit, cursor), "", nil, &page)
		for _, row := range page {
			all = append(all, row.Username)
		}
		if a.NextCursor == "" {
			return all
		}
		require.Len(s.t, page, limit)
		cursor = "&cursor=" + a.NextCursor
	}
}

// within5s is how soon a count is right.
func (s *stack) within5s(what string, condition func() bool) {
	s.t.Helper()
	require.Eventually(s.t, condition, 5*time.Second, 20*time.Millisecond, what)
}

func TestWhoUnfollowsFindsNothingOfTheOtherInTheirFeed(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		ann, bob, eve := s.signUp("ann"), s.signUp("bob"), s.signUp("eve")
		s.unfollow(bob, "ann") // whom bob doesn't follow
		require.Equal(t, 404, s.call("DELETE", "/follow/nobody", bob, nil).Status)
		require.Equal(t, 401, s.call("DELETE", "/follow/ann", "", nil).Status)
		s.follow(bob, "ann")
		s.follow(bob, "eve")
		of := s.tweet(eve, "of eve")
		for i := range 3 {
			s.tweet(ann, fmt.Sprint(i))
		}
		s.eventually("bob has all", func() bool { return len(s.feed(bob)) == 4 })
		s.unfollow(bob, "ann")
		s.eventually("only eve's is left", func() bool { return slices.Equal([]tweet{of}, s.feed(bob)) })
		s.tweet(ann, "bob does not read this")
		s.follow(bob, "ann")
		s.eventually("all are back", func() bool { return len(s.feed(bob)) == 5 })
		s.unfollow(bob, "ann")
		s.follow(bob, "ann") // before the second sweep of that unfollow
		s.unfollow(bob, "eve")
		last := s.tweet(ann, "bob reads this")
		s.eventually("ann's are there, eve's not", func() bool { f := s.feed(bob); return len(f) == 5 && f[0] == last })
		time.Sleep(7 * time.Second) // every second sweep is over
		require.Len(t, s.feed(bob), 5)
	})
}

func TestANewFollowerFindsTheNewest100(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		ann, bob := s.signUp("ann"), s.signUp("bob")
		for i := range 105 {
			s.tweet(ann, fmt.Sprint(i))
		}
		s.follow(bob, "ann")
		s.eventually("the newest 100 are there", func() bool { return len(s.feed(bob)) >= 100 })
		feed := s.feed(bob)
		require.Len(t, feed, 100)
		require.Equal(t, "104", feed[0].Content)
		require.Equal(t, "5", feed[99].Content)
	})
}

func TestCountsAndListsOfPeopleAreRightWithin5Seconds(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		s.signUp("ann")
		tokens, want := map[string]string{}, []string{}
		for i := range 8 {
			name := fmt.Sprintf("fan-%d", i)
			tokens[name] = s.signUp(name)
			want = append(want, name)
		}
		var all sync.WaitGroup
		for _, token := range tokens {
			all.Go(func() {
				for range 2 { // the last intention is to follow
					s.insist("DELETE", "/follow/ann", token, nil)
					s.insist("POST", "/follow", token, map[string]string{"followingUsername": "ann"})
				}
			})
		}
		all.Wait()
		s.within5s("8 follow ann", func() bool { return s.profile("ann").Followers == 8 })
		for _, limit := range []int{1, 3, 8, 100} {
			require.ElementsMatch(t, want, s.names("/users/ann/followers", limit))
		}
		require.Empty(t, s.names("/users/ann/followings", 10))
		s.unfollow(tokens["fan-3"], "ann")
		s.within5s("7 follow ann", func() bool { return s.profile("ann").Followers == 7 })

		s.signUp("bob")
		s.signUp("Zoe")
		s.follow(tokens["fan-0"], "bob")
		s.follow(tokens["fan-0"], "Zoe")
		require.Equal(t, 3, s.profile("fan-0").Followings)
		require.Equal(t, []string{"Zoe", "ann", "bob"}, s.names("/users/fan-0/followings", 2))
		p := s.profile("fan-0")
		require.Equal(t, profile{Username: "fan-0", DisplayName: "FAN-0", CreatedAt: p.CreatedAt, Followings: 3}, p)
		at, err := time.Parse("2006-01-02T15:04:05.000Z", p.CreatedAt)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), at, time.Minute)
		for _, path := range []string{"/users/nobody", "/users/nobody/followers", "/users/nobody/followings"} {
			require.Equal(t, 404, s.call("GET", path, "", nil).Status)
		}
		a := s.ok("GET", "/users/ann/followers?limit=2", "", nil, nil)
		require.Equal(t, 422, s.call("GET", "/users/ann/followings?cursor="+a.NextCursor, "", nil).Status, "another list's cursor")
	})
}

func TestALargeBucketIsCountedWithin5SecondsOfTheLastChange(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		s.signUp("ann")
		const large = 12_000 // more than what is counted at each change
		s.inOneBucket("ann", twtr.FollowerBucket("bob"), large)
		bob := s.signUp("bob")
		s.follow(bob, "ann")
		s.within5s("all are counted", func() bool { return s.profile("ann").Followers == large+1 })
		s.unfollow(bob, "ann")
		s.within5s("bob is not counted any more", func() bool { return s.profile("ann").Followers == large })
		s.follow(bob, "ann")
		s.within5s("bob is counted again", func() bool { return s.profile("ann").Followers == large+1 })
	})
}

// inOneBucket writes followers that are all in one bucket straight to the store.
func (s *stack) inOneBucket(followee string, bucket, n int) {
	var names []string
	for i := 0; len(names) < n; i++ {
		if name := fmt.Sprintf("s-%d", i); twtr.FollowerBucket(name) == bucket {
			names = append(names, name)
		}
	}
	s.each(names, func(name string) error {
		return s.store.PutFollow(s.t.Context(), twtr.Follow{Follower: name, Followee: followee, At: time.Now()})
	})
}

func TestNobodyFollowsMoreThan5000(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		bob := s.signUp("bob")
		names := make([]string, twtr.MaxFollowings-1)
		for i := range names {
			names[i] = fmt.Sprintf("star-%d", i)
		}
		s.each(names, func(name string) error {
			return s.store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: name, At: time.Now()})
		})
		for _, name := range []string{"a", "b", "c", "d"} {
			s.signUp(name)
		}
		// There is room for one of four at once.
		answers := make([]answer, 4)
		var all sync.WaitGroup
		for i, name := range []string{"a", "b", "c", "d"} {
			all.Go(func() { answers[i] = s.insist("POST", "/follow", bob, map[string]string{"followingUsername": name}) })
		}
		all.Wait()
		followed := 0
		for _, a := range answers {
			if a.Status == 200 {
				followed++
				continue
			}
			require.Equal(t, 422, a.Status, a.Error)
			require.Contains(t, a.Error, "5000 users")
		}
		require.LessOrEqual(t, followed, 1)
		require.Equal(t, twtr.MaxFollowings-1+followed, s.profile("bob").Followings)
		for range 2 - followed { // whoever was refused makes room
			s.insist("POST", "/follow", bob, map[string]string{"followingUsername": "a"})
		}
		require.Equal(t, twtr.MaxFollowings, s.profile("bob").Followings)
	})
}

func TestTheLastIntentionWinsUnderAnyInterleaving(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		ann := s.signUp("ann")
		posted := s.tweet(ann, "hello")
		const pairs = 6
		var all sync.WaitGroup
		tokens := make([]string, pairs)
		for i := range pairs {
			tokens[i] = s.signUp(fmt.Sprintf("u%d", i))
		}
		for i, token := range tokens {
			all.Go(func() {
				for n := range 10 + i%2 { // the even ones end with an unfollow, the odd ones with a follow
					if n%2 == 0 {
						s.insist("POST", "/follow", token, map[string]string{"followingUsername": "ann"})
					} else {
						s.insist("DELETE", "/follow/ann", token, nil)
					}
				}
			})
		}
		all.Wait()
		right := func() bool {
			for i, token := range tokens {
				feed := s.feed(token)
				if i%2 == 0 && len(feed) != 0 || i%2 == 1 && !slices.Equal([]tweet{posted}, feed) {
					return false
				}
			}
			return true
		}
		s.eventually("feeds are as last intended", right)
		require.Len(t, s.names("/users/ann/followers", 100), pairs/2)
		time.Sleep(7 * time.Second)
		require.True(t, right())
		require.Equal(t, pairs/2, s.profile("ann").Followers)
	})
}

func ids(tweets []tweet) (all []uuid.UUID) {
	for _, t := range tweets {
		all = append(all, t.ID)
	}
	return all
}
