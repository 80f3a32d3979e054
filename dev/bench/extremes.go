package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/bench/measure"
	"github.com/twtr-dev/twtr/workflows"
)

// deletions measures what reads cost when very many tweets were deleted: in the feed of a reader, and in the list of an author.
func deletions(b *bench) error {
	if err := b.retractions(); err != nil {
		return err
	}
	return b.deletedTweets()
}

// retractions measures GET /feeds/me before and after very many retractions in the reader's feed, and what comes after.
func (b *bench) retractions() error {
	const reader, author = "retracted", "retractor"
	if err := b.users(reader, author); err != nil {
		return err
	}
	if err := b.follow(reader, author); err != nil {
		return err
	}
	for range 100 {
		if _, err := b.tweetAndWait(author, 1); err != nil {
			return err
		}
	}
	read := func(name string) error {
		took, _, err := b.load(1, 0, func(int) error {
			return b.api.Call(b.ctx, http.MethodGet, "/feeds/me", measure.Token(reader), "", nil)
		})
		b.add("GET /feeds/me, "+name+", p50", "ms", measure.Percentile(took, 0.5))
		return err
	}
	if err := read("100 items"); err != nil {
		return err
	}
	// As an author's deletions do it: tweets of the past, between those that are there, and a trim now and then.
	newest := time.Now()
	for i := range b.scale.deletions {
		id, err := twtr.NewTweetID(newest.Add(-time.Duration(i) * time.Second))
		if err != nil {
			return err
		}
		if err := b.store.RetractFeedItem(b.ctx, id, []string{reader}, time.Now().Add(time.Minute)); err != nil {
			return err
		}
		if i%512 == 511 {
			if err := b.store.TrimFeed(b.ctx, reader, 1000); err != nil {
				return err
			}
		}
	}
	if err := read("and retractions"); err != nil {
		return err
	}
	b.ratio("GET /feeds/me, and retractions, p50", "GET /feeds/me, 100 items, p50")
	begin := time.Now()
	if _, err := b.tweetAndWait(author, 1); err != nil {
		return err
	}
	b.add("the next delivery", "ms", measure.Milliseconds(time.Since(begin)))
	begin = time.Now()
	if err := b.api.Call(b.ctx, http.MethodDelete, "/follow/"+author, measure.Token(reader), "", nil); err != nil {
		return err
	}
	id := workflows.FollowInput{Follower: reader, Followee: author}.StartOptions().ID
	if err := b.temporal.GetWorkflow(b.ctx, id, "").Get(b.ctx, nil); err != nil {
		return err
	}
	b.add("the unfollow, with its second sweep after 5 s", "ms", measure.Milliseconds(time.Since(begin)))
	return nil
}

// deletedTweets measures what an author's list costs whose newest tweets, very many, are deleted.
func (b *bench) deletedTweets() error {
	const author, fan = "regretful", "regretful-fan"
	if err := b.users(author, fan); err != nil {
		return err
	}
	at := time.Now()
	for i := range b.scale.deletions*6/10 + 50 {
		id, err := twtr.NewTweetID(at.Add(-24*time.Hour + time.Duration(i)*time.Second/4))
		if err != nil {
			return err
		}
		tweet, err := twtr.NewTweet(id, author, twtr.Post{Content: measure.Content})
		if err != nil {
			return err
		}
		if err := b.store.PutTweet(b.ctx, tweet); err != nil {
			return err
		}
		if i < 50 {
			continue
		}
		if err := b.store.DeleteTweet(b.ctx, tweet); err != nil {
			return err
		}
	}
	for name, call := range map[string]func() error{
		"GET /tweets of an author of deleted tweets, p50": func() error {
			return b.api.Call(b.ctx, http.MethodGet, "/tweets/"+author, "", "", nil)
		},
		"GET /users of an author of deleted tweets, p50": func() error {
			return b.api.Call(b.ctx, http.MethodGet, "/users/"+author, "", "", nil)
		},
	} {
		took, _, err := b.load(1, 0, func(int) error { return call() })
		if err != nil {
			return err
		}
		b.add(name, "ms", measure.Percentile(took, 0.5))
	}
	begin := time.Now()
	if err := b.follow(fan, author); err != nil {
		return err
	}
	b.add("a follow of the author, with its backfill", "ms", measure.Milliseconds(time.Since(begin)))
	items, err := b.store.Feed(b.ctx, fan, twtr.Window{}, 100)
	if err != nil || len(items) != 50 {
		return fmt.Errorf("the backfill brought %d tweets: %w", len(items), err)
	}
	took, err := b.tweetAndWait(author, 1)
	b.add("the author's next delivery", "ms", measure.Milliseconds(took))
	return err
}

// storm measures follows per second of 64 clients that follow one user, with very many followers and with none.
func storm(b *bench) error {
	fans := int(b.scale.storm.Seconds() * 2000)              // in a round: more than can follow
	celebrity := fmt.Sprintf("author-%d", b.scale.celebrity) // as sizes names them
	if err := b.seed(celebrity, b.scale.celebrity); err != nil {
		return err
	}
	for bucket := range twtr.FollowerBuckets { // as if they had followed through the API
		n, err := b.store.CountFollowers(b.ctx, celebrity, bucket)
		if err != nil {
			return err
		}
		c := twtr.FollowerCount{Username: celebrity, Bucket: bucket, Count: n, Version: 1}
		if err := b.store.PutFollowerCount(b.ctx, c); twtr.ErrorCode(err) != twtr.Conflict && err != nil {
			return err
		}
	}
	if err := b.users(celebrity, "newcomer"); err != nil {
		return err
	}
	rate := map[string][]float64{}
	followers := map[string]int64{celebrity: int64(b.scale.celebrity)}
	for round := range b.scale.rounds {
		fan := func(i int) string { return fmt.Sprintf("f%d-%d", round, i) }
		if err := measure.Each(128, fans, func(i int) error { return b.users(fan(i)) }); err != nil {
			return err
		}
		for _, followee := range []string{"newcomer", celebrity} {
			var next atomic.Int64
			_, perSecond, err := measure.Load(64, b.scale.storm, 0, func(int) error {
				body := fmt.Sprintf(`{"followingUsername":%q}`, followee)
				err := b.api.Call(b.ctx, http.MethodPost, "/follow", measure.Token(fan(int(next.Add(1))-1)), body, nil)
				if err != nil && strings.Contains(err.Error(), "503") {
					return measure.ErrFailed // it may have been accepted
				}
				return err
			})
			if err != nil {
				return err
			}
			rate[followee] = append(rate[followee], perSecond)
			time.Sleep(5 * time.Second)
			if followers[followee], err = b.checkCount(followee, followers[followee]); err != nil {
				return err
			}
		}
	}
	b.add("follows of a user without followers, 64 clients", "/s", rate["newcomer"]...)
	b.add("follows of a user with very many, 64 clients", "/s", rate[celebrity]...)
	b.ratio("follows of a user with very many, 64 clients", "follows of a user without followers, 64 clients")
	return nil
}

// checkCount fails unless the profile's count of followers is what the store has, and more than before.
func (b *bench) checkCount(username string, before int64) (int64, error) {
	var profile struct{ Followers int64 }
	if err := b.api.Call(b.ctx, http.MethodGet, "/users/"+username, "", "", &profile); err != nil {
		return 0, err
	}
	var n int64
	for bucket := range twtr.FollowerBuckets {
		in, err := b.store.CountFollowers(b.ctx, username, bucket)
		if err != nil {
			return 0, err
		}
		n += int64(in)
	}
	if profile.Followers != n || n <= before {
		return 0, fmt.Errorf("5 s after the last follow the profile of %s has %d followers, the store %d, before the storm it had %d",
			username, profile.Followers, n, before)
	}
	return n, nil
}

// users signs users up, straight in the store.
func (b *bench) users(names ...string) error {
	for _, name := range names {
		user := twtr.User{Username: name, Email: name + "@example.com", DisplayName: name, PasswordHash: name, CreatedAt: time.Now()}
		if err := b.store.CreateUser(b.ctx, user); err != nil {
			return err
		}
	}
	return nil
}

// follow follows a user and waits until that is done with all that follows from it.
func (b *bench) follow(follower, followee string) error {
	body := fmt.Sprintf(`{"followingUsername":%q}`, followee)
	if err := b.api.Call(b.ctx, http.MethodPost, "/follow", measure.Token(follower), body, nil); err != nil {
		return err
	}
	id := workflows.FollowInput{Follower: follower, Followee: followee}.StartOptions().ID
	return b.temporal.GetWorkflow(b.ctx, id, "").Get(b.ctx, nil)
}
