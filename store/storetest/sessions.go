package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func sessionOf(username string) twtr.Session {
	return twtr.Session{
		Family:      uuid.Must(uuid.NewV7()),
		Username:    username,
		Client:      "Zoë's 🦜/1.0 " + name(),
		TokenHash:   []byte(name()),
		CreatedAt:   now(),
		RefreshedAt: now().Add(time.Second),
		ExpiresAt:   now().Add(time.Hour),
	}
}

// rotated is s with another token.
func rotated(s twtr.Session) twtr.Session {
	s.TokenHash, s.RefreshedAt, s.ExpiresAt = []byte(name()), s.RefreshedAt.Add(time.Second), s.ExpiresAt.Add(time.Minute)
	return s
}

func endedSince(t *testing.T, s twtr.Store, since time.Time) []uuid.UUID {
	t.Helper()
	families, err := s.EndedSessions(t.Context(), since)
	require.NoError(t, err)
	return families
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
	{"no session has ended after a time that is far ahead", func(t *testing.T, s twtr.Store) {
		session := sessionOf(name())
		require.NoError(t, s.EndSession(t.Context(), session.Family, now()))
		require.Empty(t, endedSince(t, s, now().Add(time.Hour)))
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
	{"a rotation replaces the token and its times, and nothing else", func(t *testing.T, s twtr.Store) {
		first := sessionOf(name())
		next := rotated(first)
		other := next
		other.Username, other.Client, other.CreatedAt = name(), "other", next.CreatedAt.Add(time.Hour)
		require.NoError(t, s.CreateSession(t.Context(), first))
		require.NoError(t, s.RotateSession(t.Context(), first.TokenHash, other))
		requireSession(t, s, next)
	}},
	{"rotating to the stored token again changes nothing", func(t *testing.T, s twtr.Store) {
		first := sessionOf(name())
		next := rotated(first)
		again := next
		again.RefreshedAt, again.ExpiresAt = next.RefreshedAt.Add(time.Hour), next.ExpiresAt.Add(time.Hour)
		require.NoError(t, s.CreateSession(t.Context(), first))
		require.NoError(t, s.RotateSession(t.Context(), first.TokenHash, next))
		for _, spent := range [][]byte{first.TokenHash, next.TokenHash, []byte("another one")} {
			require.NoError(t, s.RotateSession(t.Context(), spent, again))
			requireSession(t, s, next)
		}
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
	{"an ended session is not found, and may be ended again", func(t *testing.T, s twtr.Store) {
		session := sessionOf(name())
		require.NoError(t, s.CreateSession(t.Context(), session))
		for range 2 {
			require.NoError(t, s.EndSession(t.Context(), session.Family, now()))
			_, err := s.Session(t.Context(), session.Family)
			requireCode(t, twtr.NotFound, err)
			requireCode(t, twtr.NotFound, s.RotateSession(t.Context(), session.TokenHash, rotated(session)))
			requireCode(t, twtr.NotFound, s.RotateSession(t.Context(), nil, rotated(session)))
		}
	}},
	{"a late retry does not bring back an ended session", func(t *testing.T, s twtr.Store) {
		first := sessionOf(name())
		second := rotated(first)
		require.NoError(t, s.CreateSession(t.Context(), first))
		require.NoError(t, s.RotateSession(t.Context(), first.TokenHash, second))
		require.NoError(t, s.EndSession(t.Context(), first.Family, now()))
		require.NoError(t, s.CreateSession(t.Context(), first))
		requireCode(t, twtr.NotFound, s.RotateSession(t.Context(), first.TokenHash, second))
		_, err := s.Session(t.Context(), first.Family)
		requireCode(t, twtr.NotFound, err)
		sessions, err := s.SessionsByUser(t.Context(), first.Username, uuid.Nil, 10)
		require.NoError(t, err)
		require.Empty(t, sessions)
	}},
	{"a session that ends before it is there never is, and the others stay", func(t *testing.T, s twtr.Store) {
		ended := sessionOf(name())
		other := sessionOf(ended.Username)
		require.NoError(t, s.CreateSession(t.Context(), other))
		require.NoError(t, s.EndSession(t.Context(), ended.Family, now()))
		require.NoError(t, s.CreateSession(t.Context(), ended))
		_, err := s.Session(t.Context(), ended.Family)
		requireCode(t, twtr.NotFound, err)
		require.Contains(t, endedSince(t, s, now().Add(-time.Minute)), ended.Family)
		requireSession(t, s, other)
		sessions, err := s.SessionsByUser(t.Context(), ended.Username, uuid.Nil, 10)
		require.NoError(t, err)
		require.Equal(t, []twtr.Session{other}, sessions)
	}},
	{"a session that ends while it is created and rotated is ended", func(t *testing.T, s twtr.Store) {
		for range 10 {
			session := sessionOf(name())
			errs := race(3, func(i int) error {
				switch i {
				case 0:
					return s.CreateSession(t.Context(), session)
				case 1:
					return ignore(twtr.NotFound, s.RotateSession(t.Context(), session.TokenHash, rotated(session)))
				}
				return s.EndSession(t.Context(), session.Family, now())
			})
			require.Equal(t, make([]error, 3), errs)
			_, err := s.Session(t.Context(), session.Family)
			requireCode(t, twtr.NotFound, err)
		}
	}},
	{"ends of sessions are remembered by their times", func(t *testing.T, s twtr.Store) {
		at := now()
		ended := map[time.Duration]uuid.UUID{}
		// Clocks differ: some end in the future.
		for _, after := range []time.Duration{-19 * time.Minute, -time.Minute, -time.Microsecond, 0, 30 * time.Second, 110 * time.Second} {
			ended[after] = uuid.Must(uuid.NewV7())
			require.NoError(t, s.EndSession(t.Context(), ended[after], at.Add(after)))
			require.NoError(t, s.EndSession(t.Context(), ended[after], at.Add(after)), "the same again")
		}
		never := sessionOf(name())
		require.NoError(t, s.CreateSession(t.Context(), never))
		for _, since := range []time.Time{{}, at.Add(-twtr.MaxSessionLife), at.Add(-20 * time.Minute), at.Add(-time.Minute), at, at.Add(time.Minute)} {
			got := endedSince(t, s, since)
			for after, family := range ended {
				if !at.Add(after).Before(since) {
					require.Contains(t, got, family, "ended %v after, since %v", after, since.Sub(at))
				}
			}
			require.NotContains(t, got, never.Family)
			once := map[uuid.UUID]bool{}
			for _, family := range got {
				require.False(t, once[family], "each once")
				once[family] = true
			}
		}
		require.NotContains(t, endedSince(t, s, at), ended[-19*time.Minute], "a poll reads what is new")
	}},
	{"a session that ends twice is remembered since the later time", func(t *testing.T, s twtr.Store) {
		family, at := uuid.Must(uuid.NewV7()), now()
		for _, end := range []time.Time{at.Add(-5 * time.Minute), at, at.Add(-3 * time.Minute)} {
			require.NoError(t, s.EndSession(t.Context(), family, end))
		}
		for _, since := range []time.Time{at.Add(-4 * time.Minute), at} {
			require.Contains(t, endedSince(t, s, since), family)
		}
	}},
	{"a user's sessions are listed newest first, each once over all pages, without those that ended or expired", func(t *testing.T, s twtr.Store) {
		username, at := name(), now()
		none, err := s.SessionsByUser(t.Context(), username, uuid.Nil, 10)
		require.NoError(t, err)
		require.Empty(t, none)
		const n = 300
		sessions := make([]twtr.Session, n)
		for i := range sessions { // newest first; some are of one millisecond
			sessions[i] = sessionOf(username)
			sessions[i].Family = idAt(at.Add(-time.Duration(i/2)*time.Millisecond), uint32(n-i))
			if expires(i) {
				sessions[i].ExpiresAt = at.Add(-time.Second)
			}
		}
		requireAll(t, 8, n, func(i int) error {
			if err := s.CreateSession(t.Context(), sessions[i]); err != nil || keepsSession(i) || expires(i) {
				return err
			}
			return s.EndSession(t.Context(), sessions[i].Family, at)
		})
		var want []twtr.Session
		for i, session := range sessions {
			if keepsSession(i) {
				want = append(want, session)
			}
		}
		require.NoError(t, s.CreateSession(t.Context(), sessionOf(name())), "another user's")
		for _, limit := range []int{1, 3, len(want), len(want) + 1, 1000} {
			var got []twtr.Session
			for before := uuid.Nil; ; before = got[len(got)-1].Family {
				page, err := s.SessionsByUser(t.Context(), username, before, limit)
				require.NoError(t, err)
				got = append(got, page...)
				if len(page) < limit { // so each other page is full
					break
				}
			}
			require.Equal(t, want, got, "pages of %d", limit)
		}
		second := rotated(want[0])
		require.NoError(t, s.RotateSession(t.Context(), want[0].TokenHash, second))
		got, err := s.SessionsByUser(t.Context(), username, uuid.Nil, 1)
		require.NoError(t, err)
		require.Equal(t, []twtr.Session{second}, got)
	}},
	{"sessions of names that differ in case are apart", func(t *testing.T, s twtr.Store) {
		upper, lower := inCases()
		for _, username := range []string{upper, lower} {
			session := sessionOf(username)
			require.NoError(t, s.CreateSession(t.Context(), session))
			sessions, err := s.SessionsByUser(t.Context(), username, uuid.Nil, 10)
			require.NoError(t, err)
			require.Equal(t, []twtr.Session{session}, sessions)
		}
	}},
}

// keepsSession picks 9 sessions of 300: among them the newest and the oldest, and some alone among those that ended or expired.
func keepsSession(i int) bool { return i == 0 || i >= 50 && i < 55 || i == 210 || i > 297 }

func expires(i int) bool { return !keepsSession(i) && i%3 == 0 }
