package activities

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPagesThatWaitForTheRateGoOnOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, begin, waited := NewRate(1000), time.Now(), make(chan time.Duration)
		for range 5 {
			go func() {
				if err := r.wait(t.Context(), 500); err != nil {
					t.Error(err)
				}
				waited <- time.Since(begin).Round(time.Millisecond)
			}()
		}
		for page := range 5 {
			require.Equal(t, time.Duration(page)*500*time.Millisecond, <-waited)
		}
	})
}
