package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

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
		s.eventually("every second sweep is over", func() bool { return s.completed("follow/bob/ann") && s.completed("follow/bob/eve") })
		require.Len(t, s.feed(bob), 5)
	})
}

func TestANewFollowerFindsTheNewest100(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		s.signUp("ann")
		bob := s.signUp("bob")
		for i := range 105 {
			id, err := twtr.NewTweetID(time.Now())
			require.NoError(t, err)
			require.NoError(t, s.store.PutTweet(t.Context(), stored(t, tweet{ID: id, Username: "ann", Content: fmt.Sprint(i)})))
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
	promptlyOnEachEngine(t, func(t *testing.T, s *stack) {
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
				for range 2 { // the last request is to follow
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
		s.signUp("zoe")
		s.follow(tokens["fan-0"], "bob")
		s.follow(tokens["fan-0"], "zoe")
		require.Equal(t, 3, s.profile("fan-0").Followings)
		require.Equal(t, []string{"ann", "bob", "zoe"}, s.names("/users/fan-0/followings", 2))
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
	promptlyOnEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		s.signUp("ann")
		const large = 600 // more than what is counted at each change
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
		s.signUp("a")
		s.signUp("b")
		s.follow(bob, "a")
		require.Equal(t, twtr.MaxFollowings, s.profile("bob").Followings)
		refused := s.call("POST", "/follow", bob, map[string]string{"followingUsername": "b"})
		require.Equal(t, 422, refused.Status)
		require.Contains(t, refused.Error, "5000 users")
		s.follow(bob, "a") // whom bob follows already
		s.unfollow(bob, "a")
		s.follow(bob, "b")
		require.Equal(t, twtr.MaxFollowings, s.profile("bob").Followings)
	})
}

func TestTheLastRequestWinsUnderAnyInterleaving(t *testing.T) {
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
		s.eventually("feeds are as last requested", right)
		require.Len(t, s.names("/users/ann/followers", 100), pairs/2)
		for i := range pairs {
			s.eventually("every second sweep is over", func() bool { return s.completed(fmt.Sprintf("follow/u%d/ann", i)) })
		}
		require.True(t, right())
		require.Equal(t, pairs/2, s.profile("ann").Followers)
	})
}

func TestTheOrderOfRequestsDecidesAndNotTheClocksOfTheAPIs(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		type clock struct {
			*stack
			skew time.Duration
		}
		ahead, behind, farAhead := clock{skew: 10 * time.Second}, clock{skew: -10 * time.Second}, clock{skew: 65 * time.Minute}
		for _, c := range []*clock{&ahead, &behind, &farAhead} {
			c.stack = s.apiWithClock(c.skew)
		}
		token := func(name string, c clock) string { // as the other API process, whose clock it is, issues them
			token, err := accessTokenAt(name, time.Now().Add(c.skew))
			require.NoError(t, err)
			return token
		}
		play := func(first, second clock, name, author string) { // the follower and the author are this order's own
			bob := s.signUp(name)
			s.signUp(author)
			follow := func(c clock) { c.follow(token(name, c), author) }
			unfollow := func(c clock) { c.unfollow(token(name, c), author) }
			reads := func(what string, want ...tweet) {
				sortNewestFirst(want)
				s.eventually(fmt.Sprintf("%v before %v: %s", first.skew, second.skew, what), func() bool {
					return s.completed("follow/"+name+"/"+author) && slices.Equal(want, s.feed(bob))
				})
			}
			follow(first)
			unfollow(second)
			reads("nothing")
			follow(first)
			early := first.tweet(token(author, first), "early")
			reads("a tweet of another clock", early)
			unfollow(second)
			reads("nothing after the unfollow")
			follow(second)
			late := second.tweet(token(author, second), "late")
			reads("both after the follow", early, late)
			second.deleteTweet(token(author, second), early.ID)
			reads("what is not deleted", late)
			unfollow(first)
			follow(second)
			first.deleteTweet(token(author, first), late.ID)
			reads("nothing that is deleted")
			s.eventually("the follower is counted", func() bool { return s.profile(author).Followers == 1 })
			unfollow(first)
			s.eventually("nobody is counted", func() bool { return s.profile(author).Followers == 0 })
		}
		var all sync.WaitGroup
		for i, order := range [][2]clock{{ahead, behind}, {behind, ahead}, {farAhead, behind}} {
			all.Go(func() { play(order[0], order[1], fmt.Sprintf("bob-%d", i), fmt.Sprintf("ann-%d", i)) })
		}
		all.Wait()
	})
}

func TestAPairTakesMoreRequestsThanOneRunMay(t *testing.T) {
	t.Parallel()
	s := newStackWith(t, "sqlite", map[string]any{"history.maxTotalUpdates": 20})
	s.work()
	s.signUp("ann")
	bob := s.signUp("bob")
	for range 25 {
		s.insist("POST", "/follow", bob, map[string]string{"followingUsername": "ann"})
		s.insist("DELETE", "/follow/ann", bob, nil)
	}
	for range 5 {
		a := s.call("POST", "/follow", bob, map[string]string{"followingUsername": "ann"})
		require.Contains(t, []int{200, 503}, a.Status, a.Error)
	}
	require.Equal(t, 200, s.insist("POST", "/follow", bob, map[string]string{"followingUsername": "ann"}).Status)
	require.Equal(t, []string{"ann"}, s.names("/users/bob/followings", 10))
}
