package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr/dev/bench/measure"
)

// scale is how much is measured.
type scale struct {
	warmUp, rested, burst, load time.Duration
	middle, large               int // followers of two authors
	middleTweets, deliveries    int // tweets in a row to the middle ones; how often deliveries are measured
}

var (
	full = scale{
		warmUp: 3 * time.Second, rested: 6 * time.Second, burst: 10 * time.Second, load: 5 * time.Second,
		middle: 1_500, middleTweets: 20, large: 20_000, deliveries: 4,
	}
	small = scale{
		warmUp: time.Second, rested: time.Second, burst: time.Second, load: time.Second,
		middle: 150, middleTweets: 3, large: 1_000, deliveries: 1,
	}
)

// reporter receives the figures as they are measured.
type reporter func(name, unit string, value float64)

const (
	burstClients  = 16
	burstReaders  = 32 // followers of each author of the burst
	feedItems     = 50 // a page of a feed
	feedClients   = 32
	sampleReaders = 16 // whose feeds are read to see that a delivery is complete
)

// measureAll reports all figures. Follows come last, because their workflows run on for some time to reconcile feeds again.
func measureAll(s *system, c scale, chosen *regexp.Regexp, report reporter) error {
	if err := warmUp(s, c, report); err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		measure func(*system, scale, reporter) error
	}{{"rested", rested}, {"burst", burst}, {"feeds", feeds}, {"deliveries", deliveries}, {"follows", follows}} {
		if !chosen.MatchString(f.name) {
			continue
		}
		if err := f.measure(s, c, report); err != nil {
			return err
		}
	}
	if n := s.failed.Load(); n > 0 {
		fmt.Fprintf(os.Stderr, "  %d requests failed\n", n)
	}
	return nil
}

func author(client int) string { return fmt.Sprintf("author%d", client) }

// warmUp creates the users and calls everything for a while.
func warmUp(s *system, c scale, _ reporter) error {
	const idols = 3
	err := errors.Join(
		s.signUp(max(c.large, c.middle), reader),
		s.signUp(burstClients, author),
		s.signUp(idols, func(i int) string { return fmt.Sprintf("idol%d", i) }),
	)
	if err != nil {
		return err
	}
	for i := range burstClients {
		if err := s.follow(burstReaders, author(i)); err != nil {
			return err
		}
	}
	var n atomic.Int64
	_, _, err = measure.Load(2, c.warmUp, 0, func(client int) error {
		if err := s.followOnce("r", &n, "idol0"); err != nil {
			return err
		}
		if err := s.api.Call(s.ctx, http.MethodGet, "/feeds/me", measure.Token(reader(client)), "", nil); err != nil {
			return err
		}
		_, err := s.post(author(client))
		return err
	})
	if err != nil {
		return err
	}
	return s.drain()
}

func (s *system) post(author string) (uuid.UUID, error) {
	id, err := s.api.Post(s.ctx, measure.Token(author))
	if err == nil {
		s.posted.Add(1)
	}
	return id, err
}

// rested measures the answer to a POST on an idle system.
func rested(s *system, c scale, report reporter) error {
	took, _, err := measure.Load(1, c.rested, 100*time.Millisecond, func(int) error {
		_, err := s.post(author(0))
		return err
	})
	if err != nil {
		return err
	}
	report("POST p50, 1 client, 100 ms rests", "ms", measure.Median(took))
	return s.drain()
}

// burst measures how many tweets a second are accepted, and how many are accepted and delivered.
func burst(s *system, c scale, report reporter) error {
	begin, cpu := time.Now(), s.cpuTime()
	took, perSecond, err := measure.Load(burstClients, c.burst, 0, func(client int) error {
		_, err := s.post(author(client))
		return s.tolerate(err)
	})
	if err != nil {
		return err
	}
	report("burst, 16 clients: accepted", "posts/s", perSecond)
	if err := s.drain(); err != nil {
		return err
	}
	posts := float64(len(took))
	report("burst, 16 clients: delivered to 32 feeds each", "posts/s", posts/time.Since(begin).Seconds())
	report("burst, 16 clients: CPU", "ms/post", measure.Milliseconds(s.cpuTime()-cpu)/posts)
	report("burst, 16 clients: POST p50", "ms", measure.Median(took))
	return nil
}

// feeds measures how many feeds a second are read; the burst has filled them.
func feeds(s *system, c scale, report reporter) error {
	tokens := make([]string, feedClients)
	for i := range tokens {
		tokens[i] = measure.Token(reader(i % burstReaders))
	}
	for _, token := range tokens {
		tweets, err := s.feed(token)
		if err != nil {
			return err
		}
		if len(tweets) != feedItems {
			return fmt.Errorf("a page of a feed has %d items instead of %d", len(tweets), feedItems)
		}
	}
	cpu := s.cpuTime()
	took, perSecond, err := measure.Load(feedClients, c.load, 0, func(client int) error {
		return s.api.Call(s.ctx, http.MethodGet, "/feeds/me", tokens[client], "", nil)
	})
	if err != nil {
		return err
	}
	report("feed reads, 50 items, 32 clients", "/s", perSecond)
	report("feed reads, 50 items, 32 clients: CPU", "ms/read", measure.Milliseconds(s.cpuTime()-cpu)/float64(len(took)))
	report("feed reads, 50 items, 32 clients: p50", "ms", measure.Median(took))
	return nil
}

func (s *system) feed(token string) (tweets []struct{ ID uuid.UUID }, err error) {
	err = s.api.Call(s.ctx, http.MethodGet, "/feeds/me", token, "", &tweets)
	return tweets, err
}

// deliveries measures the time from the first POST until the last feed has the last tweet.
func deliveries(s *system, c scale, report reporter) error {
	for _, d := range []struct {
		author                  string
		followers, tweets, runs int
	}{{"idol1", c.middle, c.middleTweets, c.deliveries}, {"idol2", c.large, 1, c.deliveries}} {
		if err := s.follow(d.followers, d.author); err != nil {
			return err
		}
		var rates, took []float64
		cpu := s.cpuTime()
		for range d.runs {
			begin := time.Now()
			last, posts, err := s.deliver(d.author, d.tweets)
			if err != nil {
				return err
			}
			rates = append(rates, float64(d.followers*d.tweets)/time.Since(begin).Seconds())
			took = append(took, posts...)
			if err := s.verify(last, d.author, d.followers); err != nil {
				return err
			}
		}
		cpu = s.cpuTime() - cpu
		name := fmt.Sprintf("%d tweets in a row to %d followers", d.tweets, d.followers)
		if d.tweets == 1 {
			name = fmt.Sprintf("one tweet to %d followers", d.followers)
		}
		report(name, "deliveries/s", measure.Median(rates))
		report(name+": CPU", "ms/1000 deliveries", 1000*measure.Milliseconds(cpu)/float64(d.followers*d.tweets*d.runs))
		report(name+": POST p50", "ms", measure.Median(took))
	}
	return nil
}

// deliver posts tweets one after another and waits until all are delivered. It returns the last one, and the milliseconds that
// each POST took.
func (s *system) deliver(author string, tweets int) (last uuid.UUID, took []float64, err error) {
	for range tweets {
		start := time.Now()
		if last, err = s.post(author); err != nil {
			return last, nil, err
		}
		took = append(took, measure.Milliseconds(time.Since(start)))
	}
	return last, took, s.drain()
}

// verify returns an error unless a tweet was delivered to that many followers and is the first in the feeds of a sample of them.
func (s *system) verify(tweet uuid.UUID, author string, followers int) error {
	var receipt struct{ Delivered int }
	if err := s.api.Call(s.ctx, http.MethodGet, "/deliveries/"+tweet.String(), measure.Token(author), "", &receipt); err != nil {
		return err
	}
	if receipt.Delivered != followers {
		return fmt.Errorf("tweet %s was delivered to %d of %d followers", tweet, receipt.Delivered, followers)
	}
	for i := range sampleReaders {
		feed, err := s.feed(measure.Token(reader(followers - 1 - i*followers/sampleReaders)))
		if err != nil {
			return err
		}
		if len(feed) == 0 || feed[0].ID != tweet {
			return fmt.Errorf("tweet %s was delivered, but a follower's feed does not begin with it", tweet)
		}
	}
	return nil
}

// follows measures new followers of a user who had none.
func follows(s *system, c scale, report reporter) error {
	for i, clients := range []int{16, 64} {
		followee := fmt.Sprintf("followee%d", i)
		follower := fmt.Sprintf("fan%d-", i)
		if err := s.signUp(1, func(int) string { return followee }); err != nil {
			return err
		}
		// Beforehand: only the follow itself is measured.
		if err := s.signUp(int(c.load.Seconds())*2_000, func(i int) string { return fmt.Sprintf("%s%d", follower, i+1) }); err != nil {
			return err
		}
		cpu := s.cpuTime()
		var n atomic.Int64
		took, perSecond, err := measure.Load(clients, c.load, 0, func(int) error { return s.tolerate(s.followOnce(follower, &n, followee)) })
		if err != nil {
			return err
		}
		report(fmt.Sprintf("follows, %d clients", clients), "/s", perSecond)
		report(fmt.Sprintf("follows, %d clients: CPU", clients), "ms/follow", measure.Milliseconds(s.cpuTime()-cpu)/float64(len(took)))
		report(fmt.Sprintf("follows, %d clients: p50", clients), "ms", measure.Median(took))
	}
	return nil
}

// followOnce lets the next of the users with that prefix follow another one.
func (s *system) followOnce(prefix string, n *atomic.Int64, followee string) error {
	follower := fmt.Sprintf("%s%d", prefix, n.Add(1))
	return s.api.Call(s.ctx, http.MethodPost, "/follow", measure.Token(follower), fmt.Sprintf(`{"followingUsername":%q}`, followee), nil)
}
