//go:build linux

package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachSafeguardThatARunCanTakeAwayIsInTheSource(t *testing.T) {
	for name := range breaks {
		require.NoError(t, (&overlay{dir: t.TempDir(), sources: map[string]string{}}).breakIt("../..", name), name)
	}
}

func TestTheClockOfABinaryCanBeMoved(t *testing.T) {
	require.NoError(t, (&overlay{dir: t.TempDir(), sources: map[string]string{}}).skewClock(t.Context()))
}

func TestDeliveriesOfABinaryCanBeLate(t *testing.T) {
	require.NoError(t, (&overlay{dir: t.TempDir(), sources: map[string]string{}}).deliverLate("../.."))
}
