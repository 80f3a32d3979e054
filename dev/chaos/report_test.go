//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheLongestTimeWithoutASuccessAndTheRecoveryAreOfTheFault(t *testing.T) {
	const s = time.Second
	times := []time.Duration{1 * s, 2 * s, 3 * s, 9 * s, 10 * s, 30 * s}
	for _, c := range []struct {
		began, ended, gap, recovered time.Duration
	}{
		{4 * s, 8 * s, 6 * s, 1 * s},
		{1500 * time.Millisecond, 2 * s, 1 * s, 0},
		{9500 * time.Millisecond, 11 * s, 20 * s, 19 * s},
		{31 * s, 40 * s, 10 * s, 0},
	} {
		gap, recovered := outage(times, struck{began: c.began, ended: c.ended})
		require.Equal(t, c.gap, gap, c)
		require.Equal(t, c.recovered, recovered, c)
	}
}
