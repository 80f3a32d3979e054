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
}
