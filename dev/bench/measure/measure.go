// Package measure has what the benchmarks share: concurrent clients, a client of the API, and the median of rounds.
package measure

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Each calls do n times, with up to concurrency calls in flight, and stops at the first error.
func Each(concurrency, n int, do func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Bool
	var g errgroup.Group
	for range concurrency {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n && !failed.Load(); i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					failed.Store(true)
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// ErrFailed is the error of a call that [Load] does not count.
var ErrFailed = errors.New("the call failed")

// Load lets each client call do again and again until the duration is over, with a rest after each call. It returns the
// milliseconds that each call took, and the calls a second, without those that returned [ErrFailed]. Other errors end it.
func Load(clients int, duration, rest time.Duration, do func(client int) error) (took []float64, perSecond float64, err error) {
	begin := time.Now()
	var mu sync.Mutex
	var g errgroup.Group
	for client := range clients {
		g.Go(func() error {
			for time.Since(begin) < duration {
				start := time.Now()
				err := do(client)
				if errors.Is(err, ErrFailed) {
					time.Sleep(10 * time.Millisecond)
					continue
				}
				if err != nil {
					return err
				}
				ms := Milliseconds(time.Since(start))
				mu.Lock()
				took = append(took, ms)
				mu.Unlock()
				time.Sleep(rest)
			}
			return nil
		})
	}
	err = g.Wait()
	return took, float64(len(took)) / time.Since(begin).Seconds(), err
}

// Milliseconds is a duration in milliseconds.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Median is the lower of two if the number of values is even, and 0 without values.
func Median(values []float64) float64 { return Percentile(values, 0.5) }

// Percentile is the smallest value that at least a part p of all values does not exceed, and 0 without values.
func Percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}

// Ratios divides values by others that were measured in the same rounds.
func Ratios(values, to []float64) []float64 {
	ratios := make([]float64, len(values))
	for i := range ratios {
		ratios[i] = values[i] / to[i]
	}
	return ratios
}

// Short formats a number with three digits.
func Short(n float64) string {
	if n == 0 {
		return "0"
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(n)))))
	return fmt.Sprintf("%.*f", digits, n)
}
