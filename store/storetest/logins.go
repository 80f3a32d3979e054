package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

// noFailures is what is read for the source of f where nothing is stored.
func noFailures(f twtr.LoginFailures) twtr.LoginFailures {
	return twtr.LoginFailures{Username: f.Username, Source: f.Source}
}

// failures is a count of the account, from a source that no other has.
func failures(username string, count int) twtr.LoginFailures {
	return twtr.LoginFailures{Username: username, Source: name(), Count: count, Last: now()}
}

func requireFailures(t *testing.T, s twtr.Store, want twtr.LoginFailures) {
	t.Helper()
	got, err := s.LoginFailures(t.Context(), want.Username, want.Source)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// counted is f after one more attempt.
func counted(f twtr.LoginFailures) twtr.LoginFailures {
	f.Count, f.Last = f.Count+1, f.Last.Add(time.Millisecond)
	return f
}

var loginTests = []test{
	{"failures of log-ins are counted by account and source", func(t *testing.T, s twtr.Store) {
		upper, lower := inCases()
		mine := failures(upper, 1)
		other := mine
		other.Username, other.Count = lower, 7
		apart := failures(upper, 5)
		for _, f := range []twtr.LoginFailures{mine, other, apart} {
			requireFailures(t, s, noFailures(f))
			require.NoError(t, s.ReplaceLoginFailures(t.Context(), noFailures(f), f))
			requireFailures(t, s, f)
		}
		next := counted(mine)
		require.NoError(t, s.ReplaceLoginFailures(t.Context(), mine, next))
		for _, f := range []twtr.LoginFailures{next, other, apart} {
			requireFailures(t, s, f)
		}
	}},
	{"failures are replaced by the caller who read what is stored alone", func(t *testing.T, s twtr.Store) {
		f := failures(name(), 2)
		requireCode(t, twtr.Conflict, s.ReplaceLoginFailures(t.Context(), f, counted(f))) // nothing is stored
		requireFailures(t, s, noFailures(f))
		require.NoError(t, s.ReplaceLoginFailures(t.Context(), noFailures(f), f))
		sooner, later, fewer := f, f, f
		sooner.Last, later.Last, fewer.Count = f.Last.Add(-time.Millisecond), f.Last.Add(time.Millisecond), 1
		for _, old := range []twtr.LoginFailures{noFailures(f), counted(f), sooner, later, fewer} {
			for _, replacement := range []twtr.LoginFailures{counted(counted(f)), f, noFailures(f)} {
				requireCode(t, twtr.Conflict, s.ReplaceLoginFailures(t.Context(), old, replacement))
				requireFailures(t, s, f)
			}
		}
	}},
	{"a count of 0 removes the failures", func(t *testing.T, s twtr.Store) {
		f := failures(name(), 2)
		require.NoError(t, s.ReplaceLoginFailures(t.Context(), noFailures(f), noFailures(f)), "nothing by nothing")
		require.NoError(t, s.ReplaceLoginFailures(t.Context(), noFailures(f), f))
		require.NoError(t, s.ReplaceLoginFailures(t.Context(), f, noFailures(f)))
		requireFailures(t, s, noFailures(f))
		requireCode(t, twtr.Conflict, s.ReplaceLoginFailures(t.Context(), f, noFailures(f)))
		require.NoError(t, s.ReplaceLoginFailures(t.Context(), noFailures(f), counted(f)))
		requireFailures(t, s, counted(f))
	}},
	{"of concurrent replacements of the same failures one succeeds, though they are equal", func(t *testing.T, s twtr.Store) {
		old := noFailures(failures(name(), 0))
		for _, next := range []twtr.LoginFailures{{Count: 1, Last: now()}, {Count: 2, Last: now()}, {}} {
			next.Username, next.Source = old.Username, old.Source
			requireOneWinner(t, race(8, func(int) error { return s.ReplaceLoginFailures(t.Context(), old, next) }))
			requireFailures(t, s, next)
			old = next
		}
	}},
	{"failures are kept for a time after the last one", func(t *testing.T, s twtr.Store) {
		kept, forgotten := failures(name(), 3), failures(name(), 3)
		kept.Last = now().Add(time.Minute - twtr.LoginFailuresKept)
		forgotten.Last = now().Add(time.Second - twtr.LoginFailuresKept)
		for _, f := range []twtr.LoginFailures{kept, forgotten} {
			require.NoError(t, s.ReplaceLoginFailures(t.Context(), noFailures(f), f))
		}
		require.Eventually(t, func() bool {
			got, err := s.LoginFailures(t.Context(), forgotten.Username, forgotten.Source)
			return err == nil && got == noFailures(forgotten)
		}, 10*time.Second, 50*time.Millisecond)
		require.True(t, time.Now().After(forgotten.Last.Add(twtr.LoginFailuresKept)))
		requireFailures(t, s, kept)
		for _, old := range []twtr.LoginFailures{noFailures(forgotten), kept} {
			next := counted(old)
			next.Last = now()
			require.NoError(t, s.ReplaceLoginFailures(t.Context(), old, next))
			requireFailures(t, s, next)
		}
	}},
	{"a known source is one of its account alone", func(t *testing.T, s twtr.Store) {
		upper, lower := inCases()
		for range 2 {
			require.NoError(t, s.PutKnownSource(t.Context(), upper, "here"))
			for _, c := range []struct {
				username, source string
				want             bool
			}{{upper, "here", true}, {upper, "Here", false}, {upper, "", false}, {lower, "here", false}, {name(), "here", false}} {
				known, err := s.KnownSource(t.Context(), c.username, c.source)
				require.NoError(t, err)
				require.Equal(t, c.want, known, c)
			}
		}
	}},
}
