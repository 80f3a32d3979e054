package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func sessionOf(username string) twtr.Session {
	return twtr.Session{Family: uuid.New(), Username: username, TokenHash: []byte(name()), ExpiresAt: now().Add(time.Hour)}
}

// rotated is s with another token.
func rotated(s twtr.Session) twtr.Session {
	s.TokenHash, s.ExpiresAt = []byte(name()), s.ExpiresAt.Add(time.Minute)
	return s
}

func requireSession(t *testing.T, s twtr.Store, want twtr.Session) {
	t.Helper()
	got, err := s.Session(t.Context(), want.Family)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

var sessionTests = []test{
	{"a session comes back as it was created", func(t *testing.T, s twtr.Store) {
		session := sessionOf(name())
		require.NoError(t, s.CreateSession(t.Context(), session))
		requireSession(t, s, session)
	}},
	{"an unknown and an expired session are not found, nor rotated", func(t *testing.T, s twtr.Store) {
		unknown, expired := sessionOf(name()), sessionOf(name())
		expired.ExpiresAt = now().Add(-time.Second)
		require.NoError(t, s.CreateSession(t.Context(), expired))
		for _, session := range []twtr.Session{unknown, expired} {
			_, err := s.Session(t.Context(), session.Family)
			requireCode(t, twtr.NotFound, err)
			requireCode(t, twtr.NotFound, s.RotateSession(t.Context(), session.TokenHash, rotated(sessionOf(name()))))
			next := rotated(session)
			next.ExpiresAt = now().Add(time.Hour)
			requireCode(t, twtr.NotFound, s.RotateSession(t.Context(), session.TokenHash, next))
		}
	}},
	{"a session expires", func(t *testing.T, s twtr.Store) {
		session := sessionOf(name())
		session.ExpiresAt = now().Add(1500 * time.Millisecond)
		require.NoError(t, s.CreateSession(t.Context(), session))
		require.Eventually(t, func() bool {
			_, err := s.Session(t.Context(), session.Family)
			return twtr.ErrorCode(err) == twtr.NotFound && time.Now().After(session.ExpiresAt)
		}, 10*time.Second, 50*time.Millisecond)
	}},
	{"a rotated session has the new token alone", func(t *testing.T, s twtr.Store) {
		first := sessionOf(name())
		second := rotated(first)
		require.NoError(t, s.CreateSession(t.Context(), first))
		require.NoError(t, s.RotateSession(t.Context(), first.TokenHash, second))
		requireSession(t, s, second)
		require.NoError(t, s.RotateSession(t.Context(), first.TokenHash, second), "the same again")
		requireCode(t, twtr.Conflict, s.RotateSession(t.Context(), first.TokenHash, rotated(first)))
		require.NoError(t, s.CreateSession(t.Context(), first), "a late retry")
		requireSession(t, s, second)
		third := rotated(second)
		require.NoError(t, s.RotateSession(t.Context(), second.TokenHash, third))
		requireCode(t, twtr.Conflict, s.RotateSession(t.Context(), first.TokenHash, second)) // a retry that is too late
		requireSession(t, s, third)
	}},
	{"a rotation replaces token and expiry, and nothing else", func(t *testing.T, s twtr.Store) {
		first := sessionOf(name())
		next := rotated(first)
		next.Username = name()
		require.NoError(t, s.CreateSession(t.Context(), first))
		require.NoError(t, s.RotateSession(t.Context(), first.TokenHash, next))
		next.Username = first.Username
		requireSession(t, s, next)
	}},
	{"a rotated session outlives the expiry it was created with", func(t *testing.T, s twtr.Store) {
		first := sessionOf(name())
		first.ExpiresAt = now().Add(4 * time.Second)
		second := rotated(first)
		require.NoError(t, s.CreateSession(t.Context(), first))
		require.NoError(t, s.RotateSession(t.Context(), first.TokenHash, second))
		time.Sleep(time.Until(first.ExpiresAt.Add(1500 * time.Millisecond))) // an engine may round up to a second
		requireSession(t, s, second)
	}},
	{"of concurrent rotations of one token one succeeds", func(t *testing.T, s twtr.Store) {
		first := sessionOf(name())
		require.NoError(t, s.CreateSession(t.Context(), first))
		next := make([]twtr.Session, 10)
		for i := range next {
			next[i] = rotated(first)
		}
		errs := race(len(next), func(i int) error { return s.RotateSession(t.Context(), first.TokenHash, next[i]) })
		requireSession(t, s, next[requireOneWinner(t, errs)])
	}},
	{"a deleted session is not found, and may be deleted again", func(t *testing.T, s twtr.Store) {
		session := sessionOf(name())
		require.NoError(t, s.CreateSession(t.Context(), session))
		require.NoError(t, s.DeleteSession(t.Context(), session.Family))
		require.NoError(t, s.DeleteSession(t.Context(), session.Family))
		_, err := s.Session(t.Context(), session.Family)
		requireCode(t, twtr.NotFound, err)
		requireCode(t, twtr.NotFound, s.RotateSession(t.Context(), session.TokenHash, rotated(session)))
	}},
	{"a late retry does not bring back a deleted session", func(t *testing.T, s twtr.Store) {
		first := sessionOf(name())
		second := rotated(first)
		require.NoError(t, s.CreateSession(t.Context(), first))
		require.NoError(t, s.RotateSession(t.Context(), first.TokenHash, second))
		require.NoError(t, s.DeleteSession(t.Context(), first.Family))
		require.NoError(t, s.CreateSession(t.Context(), first))
		requireCode(t, twtr.NotFound, s.RotateSession(t.Context(), first.TokenHash, second))
		_, err := s.Session(t.Context(), first.Family)
		requireCode(t, twtr.NotFound, err)
	}},
	{"deleting a session that was never there is nil, and leaves the others", func(t *testing.T, s twtr.Store) {
		other := sessionOf(name())
		require.NoError(t, s.CreateSession(t.Context(), other))
		require.NoError(t, s.DeleteSession(t.Context(), uuid.New()))
		requireSession(t, s, other)
	}},
}
