package main

import (
	"fmt"
	"syscall"
	"time"

	"go.temporal.io/sdk/testsuite"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/dev/bench/measure"
)

// delivery measures the activity that writes a tweet into its author's followers' feeds, compared with single INSERTs of the
// same rows.
func delivery(b *bench) error {
	feeds := activities.NewFeeds(b.store, activities.FeedsConfig{MaxItems: 1000})
	most := b.scale.deliveries[len(b.scale.deliveries)-1]
	batches, batchName := b.raw.batches()

	var names []string
	rate, cpu := map[string][]float64{}, map[string][]float64{}
	timed := func(name string, rows int, do func() error) error {
		if _, again := rate[name]; !again {
			names = append(names, name)
		}
		begin, cpuBegin := time.Now(), cpuTime()
		err := do()
		rate[name] = append(rate[name], float64(rows)/time.Since(begin).Seconds())
		cpu[name] = append(cpu[name], float64(rows)/(cpuTime()-cpuBegin).Seconds())
		return err
	}
	baseline := func(batch int) error {
		tweet, err := newTweet("star")
		if err != nil {
			return err
		}
		return b.raw.putFeedItems(b.ctx, tweet, most, batch)
	}
	for range 5 { // the JVM is slow at first
		if err := baseline(batches[len(batches)-1]); err != nil {
			return err
		}
	}
	for range b.scale.rounds {
		for _, batch := range batches {
			if err := timed(fmt.Sprintf(batchName, batch), most, func() error { return baseline(batch) }); err != nil {
				return err
			}
		}
		for _, followers := range b.scale.deliveries {
			author := fmt.Sprintf("author-%d", followers) // as sizes names them
			if err := b.seed(author, followers); err != nil {
				return err
			}
			tweets := max(1, most/followers)
			err := timed(fmt.Sprintf("%d deliveries to %d", tweets, followers), tweets*followers, func() error {
				for range tweets {
					if err := b.deliver(feeds, author, followers); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	best := names[0]
	for _, name := range names[:len(batches)] {
		if measure.Median(rate[name]) > measure.Median(rate[best]) {
			best = name
		}
	}
	for _, name := range names {
		b.add(name, "rows/s", rate[name]...)
	}
	for _, name := range names[len(batches):] {
		b.ratio(name, best)
	}
	for _, name := range names {
		b.add(name+", by this process", "rows/CPU s", cpu[name]...)
	}
	return nil
}

// deliver runs the activity, without a Temporal server, for a new tweet.
func (b *bench) deliver(feeds *activities.Feeds, author string, followers int) error {
	tweet, err := newTweet(author)
	if err != nil {
		return err
	}
	if err := b.store.PutTweet(b.ctx, tweet); err != nil {
		return err
	}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(silent{})
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	env.RegisterActivity(feeds)
	value, err := env.ExecuteActivity(feeds.Deliver, activities.DeliverInput{TweetID: tweet.ID, Author: author, From: twtr.NewProgress()})
	if err != nil {
		return err
	}
	var d activities.DeliverResult
	if err := value.Get(&d); err != nil {
		return err
	}
	if d.Done != int64(followers) {
		return fmt.Errorf("delivered to %d of %d", d.Done, followers)
	}
	return nil
}

// cpuTime is the CPU time that this process has used.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // only for a wrong argument
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
