package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr/dev/bench/measure"
)

// fairness measures the time from POST to the last feed of the tweets of authors with few followers, on an idle system and while a
// tweet is delivered to very many.
func fairness(b *bench) error {
	n := b.scale.celebrity
	celebrity := fmt.Sprintf("author-%d", n) // as sizes names them
	if err := b.seed(celebrity, n); err != nil {
		return err
	}
	const small = 5
	for i := range 10 {
		if err := b.seed(fmt.Sprintf("small-%d", i), small); err != nil {
			return err
		}
	}
	sample := func() (took []float64, err error) {
		for i := range b.scale.samples {
			ms, err := b.postAndSee(fmt.Sprintf("small-%d", i%10), small)
			if err != nil {
				return nil, err
			}
			took = append(took, ms)
		}
		return took, nil
	}
	figures := map[string][]float64{}
	for range b.scale.rounds {
		idle, err := sample()
		if err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() { _, err := b.tweetAndWait(celebrity, n); done <- err }()
		var busy []float64
		for running := true; running; {
			select {
			case err := <-done:
				if err != nil {
					return err
				}
				running = false
			default:
				ms, err := b.postAndSee(fmt.Sprintf("small-%d", len(busy)%10), small)
				if err != nil {
					return errors.Join(err, <-done)
				}
				busy = append(busy, ms)
			}
		}
		for p, name := range map[float64]string{0.5: "p50", 0.99: "p99"} {
			figures["idle, "+name] = append(figures["idle, "+name], measure.Percentile(idle, p))
			figures["busy, "+name] = append(figures["busy, "+name], measure.Percentile(busy, p))
		}
		figures["samples"] = append(figures["samples"], float64(len(busy)))
	}
	for _, name := range []string{"p50", "p99"} {
		b.add("idle, "+name, "ms", figures["idle, "+name]...)
		b.add(fmt.Sprintf("while %d feeds are written, %s", n, name), "ms", figures["busy, "+name]...)
		b.ratio(fmt.Sprintf("while %d feeds are written, %s", n, name), "idle, "+name)
	}
	b.add("samples while busy", "", figures["samples"]...)
	return nil
}

// postAndSee posts a tweet, and returns the milliseconds until all its author's followers have it.
func (b *bench) postAndSee(author string, followers int) (float64, error) {
	begin := time.Now()
	id, err := b.post(author)
	if err != nil {
		return 0, err
	}
	readers := make([]string, followers)
	for i := range readers {
		readers[i] = reader(i)
	}
	err = b.awaitFeeds(id, readers)
	return measure.Milliseconds(time.Since(begin)), err
}

// awaitFeeds waits until all readers have a tweet. It looks at one reader every 5 ms, because a read costs the store as much as a
// write.
func (b *bench) awaitFeeds(id uuid.UUID, readers []string) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		have, err := b.store.ReadersHavingFeedItem(b.ctx, id, readers[:1])
		if err != nil {
			return err
		}
		if len(have) == 0 {
			time.Sleep(5 * time.Millisecond)
		} else if readers = readers[1:]; len(readers) == 0 {
			return nil
		}
	}
	return fmt.Errorf("tweet %s has not reached %s and %d others", id, readers[0], len(readers)-1)
}
