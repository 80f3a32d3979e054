package api

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func TestAPasswordMatchesItsHashAlone(t *testing.T) {
	h := newHasher(time.Now)
	hash, err := h.hash(t.Context(), "here", "correct horse")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$"))
	again, err := h.hash(t.Context(), "here", "correct horse")
	require.NoError(t, err)
	require.NotEqual(t, hash, again)
	for password, want := range map[string]bool{"correct horse": true, "Correct horse": false, "": false} {
		ok, err := h.matches(t.Context(), "here", password, hash)
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	for _, broken := range []string{"", "plain", "$argon2id$v=19$m=x$a$b", "$argon2id$v=19$m=8,t=1,p=1$!$b"} {
		_, err := h.matches(t.Context(), "here", "correct horse", broken)
		require.Error(t, err)
	}
	require.Empty(t, h.waiting)
	require.Empty(t, h.queued)
}

func TestACommonPasswordOrANameOfTheUserIsRefused(t *testing.T) {
	names := []string{"ann-marie", "ann@example.com", "Ann Marie"}
	for _, password := range []string{"password", "12345678", "password1", "PassWord1", "password123", "qwertyuiop", "iloveyou1"} {
		require.EqualError(t, validateNewPassword("password", password, names...), "password must not be one of the most common passwords")
	}
	for _, password := range []string{"ann-marie", "Ann@example.com", "ann marie"} {
		require.EqualError(t, validateNewPassword("newPassword", password, names...),
			"newPassword must not be your username, e-mail address or display name")
	}
	for _, password := range []string{"correct horse", "battery staple", "ann-marie2"} {
		require.NoError(t, validateNewPassword("password", password, names...))
	}
	require.Greater(t, len(commonPasswords), 10_000)
}

// busyHasher has one slot, which is taken.
func busyHasher(t *testing.T, now func() time.Time) *hasher {
	h := newHasher(now)
	h.free = 1
	require.NoError(t, h.acquire(t.Context(), "busy"))
	return h
}

// served are the networks of the turns, in the order in which they get the slot.
func served(t *testing.T, h *hasher, turns []*hashTurn) (order []string) {
	waiting := len(turns)
	for range turns {
		h.release()
		waiting--
		for i, turn := range turns {
			if turn == nil {
				continue
			}
			select {
			case <-turn.ready:
				order = append(order, turn.network)
				turns[i] = nil
			default:
			}
		}
		require.Len(t, h.waiting, waiting, "one slot serves one turn")
	}
	return order
}

func TestAPasswordOfANetworkThatHashedLittleIsHashedBeforeThoseOfOthers(t *testing.T) {
	h := busyHasher(t, time.Now)
	var turns []*hashTurn
	for _, network := range []string{"busy", "many", "many", "many", "one", "two", "two"} {
		turns = append(turns, h.enqueue(network))
	}
	require.Equal(t, []string{"many", "one", "two", "busy", "many", "two", "many"}, served(t, h, turns))
	turns = []*hashTurn{h.enqueue("many"), h.enqueue("two"), h.enqueue("one"), h.enqueue("new")}
	require.Equal(t, []string{"new", "one", "two", "many"}, served(t, h, turns), "those that had their turn count")
}

func TestHashedPasswordsAreForgotten(t *testing.T) {
	now := time.Now()
	h := busyHasher(t, func() time.Time { return now })
	h.enqueue("gone")
	h.release()
	for range 3 { // each enqueue may begin a period
		now = now.Add(hashPeriod + time.Second)
		h.enqueue("other")
		h.release()
	}
	require.NotContains(t, h.hashed, "gone")
	require.NotContains(t, h.before, "gone")
	now = now.Add(3 * hashPeriod)
	h.enqueue("new")
	require.NotContains(t, h.before, "other")
}

func TestAPasswordWaitsForItsTurnAsLongAsItsRequest(t *testing.T) {
	h := busyHasher(t, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.acquire(ctx, "gone") }()
	require.Eventually(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.waiting) == 1 }, time.Minute, time.Millisecond)
	next := h.enqueue("next")
	cancel()
	err := <-done
	require.Equal(t, twtr.Unavailable, twtr.ErrorCode(err))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []string{"next"}, served(t, h, []*hashTurn{next}), "a turn that was given up takes no slot")
	require.Empty(t, h.queued)
}

func TestASlotThatAnEndedRequestGotIsGivenBack(t *testing.T) {
	h := busyHasher(t, time.Now)
	gone, next := h.enqueue("gone"), h.enqueue("next")
	h.release()
	<-gone.ready
	h.cancel(gone) // its request ended at the same time
	<-next.ready
	require.Zero(t, h.free)
}
