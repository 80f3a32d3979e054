package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func claimOf(username, key string) twtr.IdempotencyClaim {
	id := uuid.Must(uuid.NewV7())
	return twtr.IdempotencyClaim{Username: username, Key: key, TweetID: id, RequestHash: id[:], ExpiresAt: now().Add(time.Hour)}
}

var idempotencyTests = []test{
	{"the first claim of a key holds", func(t *testing.T, s twtr.Store) {
		username := name()
		first := claimOf(username, "k")
		for _, c := range []twtr.IdempotencyClaim{first, first, claimOf(username, "k")} {
			got, err := s.ClaimIdempotencyKey(t.Context(), c)
			require.NoError(t, err)
			require.Equal(t, first, got)
		}
		for _, other := range []twtr.IdempotencyClaim{claimOf(username, "K"), claimOf(name(), "k")} {
			got, err := s.ClaimIdempotencyKey(t.Context(), other)
			require.NoError(t, err)
			require.Equal(t, other, got, "another key, or another user's")
		}
	}},
	{"of 10 concurrent claims one holds, for all of them", func(t *testing.T, s twtr.Store) {
		username, got := name(), make([]twtr.IdempotencyClaim, 10)
		for _, err := range race(10, func(i int) (err error) {
			got[i], err = s.ClaimIdempotencyKey(t.Context(), claimOf(username, "k"))
			return err
		}) {
			require.NoError(t, err)
		}
		for _, c := range got {
			require.Equal(t, got[0], c)
		}
	}},
	{"an expired claim is replaced", func(t *testing.T, s twtr.Store) {
		username := name()
		first, second := claimOf(username, "k"), claimOf(username, "k")
		first.ExpiresAt = now().Add(time.Second)
		_, err := s.ClaimIdempotencyKey(t.Context(), first)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			got, err := s.ClaimIdempotencyKey(t.Context(), second)
			return err == nil && got.TweetID == second.TweetID
		}, 10*time.Second, 100*time.Millisecond)
		require.True(t, time.Now().After(first.ExpiresAt))
		got, err := s.ClaimIdempotencyKey(t.Context(), first)
		require.NoError(t, err)
		require.Equal(t, second, got)
	}},
}
