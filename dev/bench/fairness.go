package main

import (
	"errors"
	"fmt"
)

// fairness measures the time from POST to feed of small authors' tweets, while nothing else is done and while the tweet of
// a celebrity is being delivered.
func fairness(b *bench) error {
	n := b.scale.celebrity
	celebrity := fmt.Sprintf("author-%d", n) // as sizes calls them
	if err := b.seed(celebrity, n); err != nil {
		return err
	}
	const small = 5
	for i := range 10 {
		if err := b.seed(fmt.Sprintf("small-%d", i), small); err != nil {
			return err
		}
	}
	measure := func() (took []float64, err error) {
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
		idle, err := measure()
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
			figures["idle, "+name] = append(figures["idle, "+name], percentile(idle, p))
			figures["busy, "+name] = append(figures["busy, "+name], percentile(busy, p))
		}
		figures["samples"] = append(figures["samples"], float64(len(busy)))
	}
	for _, name := range []string{"p50", "p99"} {
		b.add("idle, "+name, "ms", figures["idle, "+name]...)
		b.add(fmt.Sprintf("while %d are delivered, %s", n, name), "ms", figures["busy, "+name]...)
		b.ratio(fmt.Sprintf("while %d are delivered, %s", n, name), "idle, "+name)
	}
	b.add("samples while busy", "", figures["samples"]...)
	return nil
}
