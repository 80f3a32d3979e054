package storetest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func user(username string) twtr.User {
	return twtr.User{
		Username:     username,
		Email:        username + "@example.com",
		DisplayName:  "Zoë 🦜 " + username[:4],
		PasswordHash: "hash " + name(),
		CreatedAt:    now(),
	}
}

// race makes n calls concurrently and returns their errors.
func race(n int, call func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = call(i) })
	}
	wg.Wait()
	return errs
}

// requireOneWinner wants one nil among conflicts, and returns its index.
func requireOneWinner(t *testing.T, errs []error) int {
	t.Helper()
	winner, winners := -1, 0
	for i, err := range errs {
		if err == nil {
			winner, winners = i, winners+1
			continue
		}
		requireCode(t, twtr.Conflict, err)
	}
	require.Equal(t, 1, winners, "winners")
	return winner
}

var userTests = []test{
	{"a user comes back as they were created", func(t *testing.T, s twtr.Store) {
		u := user(name())
		require.NoError(t, s.CreateUser(t.Context(), u))
		got, err := s.User(t.Context(), u.Username)
		require.NoError(t, err)
		require.Equal(t, u, got)
	}},
	{"an unknown user is not found", func(t *testing.T, s twtr.Store) {
		_, err := s.User(t.Context(), name())
		requireCode(t, twtr.NotFound, err)
	}},
	{"names that differ in case are different users", func(t *testing.T, s twtr.Store) {
		upper, lower := inCases()
		for _, u := range []twtr.User{user(upper), user(lower)} {
			_, err := s.User(t.Context(), u.Username)
			requireCode(t, twtr.NotFound, err)
			require.NoError(t, s.CreateUser(t.Context(), u))
			got, err := s.User(t.Context(), u.Username)
			require.NoError(t, err)
			require.Equal(t, u, got)
		}
	}},
	{"of racing sign-ups for one name one wins, and the store has the winner", func(t *testing.T, s twtr.Store) {
		username := name()
		users := make([]twtr.User, 16)
		for i := range users {
			users[i] = user(username)
		}
		errs := race(len(users), func(i int) error { return s.CreateUser(t.Context(), users[i]) })
		winner := requireOneWinner(t, errs)
		for i, u := range users { // the same again: the caller is recognized by the password hash
			err := s.CreateUser(t.Context(), u)
			if i == winner {
				require.NoError(t, err)
			} else {
				requireCode(t, twtr.Conflict, err)
			}
		}
		got, err := s.User(t.Context(), username)
		require.NoError(t, err)
		require.Equal(t, users[winner], got)
	}},
	{"creating the same user again is no conflict, and changes nothing", func(t *testing.T, s twtr.Store) {
		u := user(name())
		for _, err := range race(4, func(int) error { return s.CreateUser(t.Context(), u) }) {
			require.NoError(t, err)
		}
		again := u
		again.Email, again.DisplayName, again.CreatedAt = "other@example.com", "other", u.CreatedAt.Add(time.Second)
		require.NoError(t, s.CreateUser(t.Context(), again))
		got, err := s.User(t.Context(), u.Username)
		require.NoError(t, err)
		require.Equal(t, u, got)
	}},
	{"a password is replaced, and nothing else, by the caller who has the old one", func(t *testing.T, s twtr.Store) {
		u := user(name())
		require.NoError(t, s.CreateUser(t.Context(), u))
		for range 2 { // the same again changes nothing
			require.NoError(t, s.SetPassword(t.Context(), u.Username, u.PasswordHash, "second"))
			requireUser(t, s, withHash(u, "second"))
		}
		requireCode(t, twtr.Conflict, s.SetPassword(t.Context(), u.Username, u.PasswordHash, "third"))
		require.NoError(t, s.SetPassword(t.Context(), u.Username, "second", "third"))
		requireCode(t, twtr.Conflict, s.SetPassword(t.Context(), u.Username, u.PasswordHash, "second")) // a retry that is too late
		requireUser(t, s, withHash(u, "third"))
	}},
	{"of racing changes of a password one wins, and the store has the winner's", func(t *testing.T, s twtr.Store) {
		u := user(name())
		require.NoError(t, s.CreateUser(t.Context(), u))
		hashes := make([]string, 10)
		for i := range hashes {
			hashes[i] = "hash " + name()
		}
		winner := requireOneWinner(t, race(len(hashes), func(i int) error {
			return s.SetPassword(t.Context(), u.Username, u.PasswordHash, hashes[i])
		}))
		requireUser(t, s, withHash(u, hashes[winner]))
	}},
	{"the password of no user, or a retired one, is not replaced", func(t *testing.T, s twtr.Store) {
		requireCode(t, twtr.NotFound, s.SetPassword(t.Context(), name(), "old", "new"))
		u := retired(t, s)
		for _, old := range []string{u.PasswordHash, ""} {
			requireCode(t, twtr.NotFound, s.SetPassword(t.Context(), u.Username, old, "new"))
		}
		requireNoUser(t, s, u.Username)
	}},
	{"a retired user is not found, and the name is taken, also for the same user again", func(t *testing.T, s twtr.Store) {
		u := retired(t, s)
		for range 2 {
			requireNoUser(t, s, u.Username)
			later := user(u.Username)
			later.CreatedAt = now().Add(100 * 365 * 24 * time.Hour)
			for _, u := range []twtr.User{u, withHash(u, ""), user(u.Username), later} {
				requireCode(t, twtr.Conflict, s.CreateUser(t.Context(), u))
			}
			require.NoError(t, s.RetireUser(t.Context(), u.Username), "again")
		}
	}},
	{"retiring no user, or releasing a name that is not retired, does nothing", func(t *testing.T, s twtr.Store) {
		u := user(name())
		require.NoError(t, s.RetireUser(t.Context(), u.Username))
		require.NoError(t, s.ReleaseUsername(t.Context(), u.Username, u.CreatedAt))
		require.NoError(t, s.CreateUser(t.Context(), u))
		requireUser(t, s, u)
		require.NoError(t, s.ReleaseUsername(t.Context(), u.Username, u.CreatedAt))
		requireCode(t, twtr.Conflict, s.CreateUser(t.Context(), user(u.Username)))
		requireUser(t, s, u)
		require.NoError(t, s.RetireUser(t.Context(), u.Username))
		requireCode(t, twtr.Conflict, s.CreateUser(t.Context(), user(u.Username)))
	}},
	{"a released name is taken by a user who is created at or after the release, and by no earlier one", func(t *testing.T, s twtr.Store) {
		for _, c := range []struct {
			after time.Duration // from the release to the creation
			code  twtr.Code
		}{
			{-time.Hour, twtr.Conflict},
			{-time.Millisecond, twtr.Conflict},
			{-time.Microsecond, twtr.Conflict},
			{0, ""},
			{time.Microsecond, ""},
			{time.Hour, ""},
		} {
			old := retired(t, s)
			next := user(old.Username)
			release := next.CreatedAt.Add(-c.after)
			require.NoError(t, s.ReleaseUsername(t.Context(), old.Username, release))
			require.NoError(t, s.RetireUser(t.Context(), old.Username), "again")
			requireCode(t, c.code, s.CreateUser(t.Context(), next))
			if c.code != "" {
				requireNoUser(t, s, old.Username)
				continue
			}
			requireUser(t, s, next)
			require.NoError(t, s.CreateUser(t.Context(), next), "the same again")
			requireCode(t, twtr.Conflict, s.CreateUser(t.Context(), old)) // a retry that is too late
			requireUser(t, s, next)
			require.NoError(t, s.SetPassword(t.Context(), next.Username, next.PasswordHash, "new"))
			requireUser(t, s, withHash(next, "new"))
			require.NoError(t, s.RetireUser(t.Context(), next.Username))
			requireCode(t, twtr.Conflict, s.CreateUser(t.Context(), user(next.Username))) // the release was the first user's
		}
	}},
	{"the earliest release of a name counts", func(t *testing.T, s twtr.Store) {
		old, at := retired(t, s), now()
		for _, from := range []time.Time{at.Add(2 * time.Second), at, at.Add(time.Second)} {
			require.NoError(t, s.ReleaseUsername(t.Context(), old.Username, from))
		}
		next := user(old.Username)
		next.CreatedAt = at.Add(-time.Millisecond)
		requireCode(t, twtr.Conflict, s.CreateUser(t.Context(), next))
		next.CreatedAt = at
		require.NoError(t, s.CreateUser(t.Context(), next))
		requireUser(t, s, next)
	}},
	{"of racing sign-ups for a released name one wins, and the store has the winner", func(t *testing.T, s twtr.Store) {
		old := retired(t, s)
		require.NoError(t, s.ReleaseUsername(t.Context(), old.Username, old.CreatedAt))
		users := make([]twtr.User, 8)
		for i := range users {
			users[i] = user(old.Username)
		}
		winner := requireOneWinner(t, race(len(users), func(i int) error { return s.CreateUser(t.Context(), users[i]) }))
		for _, err := range race(4, func(int) error { return s.CreateUser(t.Context(), users[winner]) }) {
			require.NoError(t, err, "the same again")
		}
		requireUser(t, s, users[winner])
	}},
	{"creating the same user again over a released name is no conflict", func(t *testing.T, s twtr.Store) {
		for range 10 {
			old := retired(t, s)
			require.NoError(t, s.ReleaseUsername(t.Context(), old.Username, old.CreatedAt))
			next := user(old.Username)
			for _, err := range race(8, func(int) error { return s.CreateUser(t.Context(), next) }) {
				require.NoError(t, err)
			}
			requireUser(t, s, next)
		}
	}},
}

// retired is a user who was created, and then retired.
func retired(t *testing.T, s twtr.Store) twtr.User {
	t.Helper()
	u := user(name())
	require.NoError(t, s.CreateUser(t.Context(), u))
	require.NoError(t, s.RetireUser(t.Context(), u.Username))
	return u
}

// withHash is u with that password hash.
func withHash(u twtr.User, hash string) twtr.User {
	u.PasswordHash = hash
	return u
}

func requireUser(t *testing.T, s twtr.Store, want twtr.User) {
	t.Helper()
	got, err := s.User(t.Context(), want.Username)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func requireNoUser(t *testing.T, s twtr.Store, username string) {
	t.Helper()
	_, err := s.User(t.Context(), username)
	requireCode(t, twtr.NotFound, err)
}
