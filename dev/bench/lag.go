package main

import (
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/google/uuid"
)

const (
	lagFollowers = 20
	lagPerSecond = 20
)

// lag measures the time from a POST to the last follower's feed, while so many tweets a second are posted.
func lag(b *bench) error {
	if err := b.seed("poster", lagFollowers); err != nil {
		return err
	}
	var p50, p99 []float64
	for range b.scale.rounds {
		took := make([]float64, b.scale.samples)
		ticker := time.NewTicker(time.Second / lagPerSecond)
		var g errgroup.Group
		for i := range took {
			<-ticker.C
			g.Go(func() (err error) {
				took[i], err = b.postAndSee("poster", lagFollowers)
				return err
			})
		}
		ticker.Stop()
		if err := g.Wait(); err != nil {
			return err
		}
		p50, p99 = append(p50, percentile(took, 0.5)), append(p99, percentile(took, 0.99))
	}
	b.add(fmt.Sprintf("to the last of %d feeds at %d tweets/s, p50", lagFollowers, lagPerSecond), "ms", p50...)
	b.add(fmt.Sprintf("to the last of %d feeds at %d tweets/s, p99", lagFollowers, lagPerSecond), "ms", p99...)
	return nil
}

// postAndSee posts a tweet, and returns after how many milliseconds all its author's followers have it.
func (b *bench) postAndSee(author string, followers int) (float64, error) {
	begin := time.Now()
	id, err := b.post(token(author))
	if err != nil {
		return 0, err
	}
	waiting := make([]string, followers)
	for i := range waiting {
		waiting[i] = fmt.Sprintf("r%d", i)
	}
	return b.seen(id, waiting, begin)
}

// seen waits until all readers have a tweet, looking at one of them every 5 ms: to look costs the store as much as to write.
func (b *bench) seen(id uuid.UUID, readers []string, begin time.Time) (float64, error) {
	for end := begin.Add(time.Minute); time.Now().Before(end); {
		have, err := b.store.HaveFeedItem(b.ctx, id, readers[:1])
		if err != nil {
			return 0, err
		}
		if len(have) == 0 {
			time.Sleep(5 * time.Millisecond)
		} else if readers = readers[1:]; len(readers) == 0 {
			return milliseconds(time.Since(begin)), nil
		}
	}
	return 0, fmt.Errorf("tweet %s has not come to %s and %d others", id, readers[0], len(readers)-1)
}
