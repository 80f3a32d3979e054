package main

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestSignUpsAndLoginsAreLimitedByAddressAndWritesByUser(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite", "--ratelimit-signups", "3", "--ratelimit-logins", "2", "--ratelimit-tweets", "2",
		"--ratelimit-follows", "2", "--ratelimit-reads", "10", "--http-trusted-proxies", "127.0.0.1")
	s.work()
	from := func(ip, path string, body any) answer {
		return s.callWith("POST", path, "", body, map[string]string{"X-Forwarded-For": "6.6.6.6, " + ip}) // the last one is what our proxy saw
	}
	var tokens [3]string
	for i, name := range []string{"ann", "bob", "eve"} {
		a := from("192.0.2.1", "/users", signUpBody(name))
		require.Equal(t, 200, a.Status, a.Error)
		user, err := unmarshal[struct{ AccessToken string }](a)
		require.NoError(t, err)
		tokens[i] = user.AccessToken
	}
	refused := from("192.0.2.1", "/users", signUpBody("joe"))
	require.Equal(t, 429, refused.Status)
	seconds, err := strconv.Atoi(refused.header.Get("Retry-After"))
	require.NoError(t, err)
	require.True(t, 1 <= seconds && seconds <= 20, seconds)
	require.Equal(t, "rate limit exceeded (3 per minute); retry in "+(time.Duration(seconds)*time.Second).String(), refused.Error)
	require.Equal(t, 404, s.call("GET", "/users/joe", "", nil).Status)
	require.Equal(t, 200, from("192.0.2.2", "/users", signUpBody("joe")).Status, "another address")

	login := map[string]string{"username": "ann", "password": "wrong"}
	for range 2 {
		require.Equal(t, 422, from("2001:db8::1", "/users/authorize", login).Status)
	}
	require.Equal(t, 429, from("2001:db8::2", "/users/authorize", login).Status, "of the same network")
	require.Equal(t, 422, from("2001:db8:0:1::1", "/users/authorize", login).Status)

	for range 2 {
		s.tweet(tokens[0], "hello")
		s.follow(tokens[0], "bob")
	}
	require.Equal(t, 429, s.call("POST", "/tweets", tokens[0], map[string]string{"content": "hello"}).Status)
	require.Equal(t, 429, s.call("DELETE", "/tweets/"+uuid.Must(uuid.NewV7()).String(), tokens[0], nil).Status)
	require.Equal(t, 429, s.call("POST", "/follow", tokens[0], map[string]string{"followingUsername": "eve"}).Status)
	require.Equal(t, 429, s.call("DELETE", "/follow/bob", tokens[0], nil).Status)
	s.tweet(tokens[1], "another user")
	for range 10 {
		s.feed(tokens[0])
	}
	require.Equal(t, 429, s.call("GET", "/feeds/me", tokens[0], nil).Status)
	s.feed(tokens[1])
}

func TestAClientDoesNotChooseTheAddressItIsLimitedBy(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite", "--ratelimit-logins", "1")
	login := map[string]string{"username": "nobody", "password": "wrong"}
	from := func(ip string) int {
		return s.callWith("POST", "/users/authorize", "", login, map[string]string{"X-Forwarded-For": ip, "X-Real-Ip": ip}).Status
	}
	require.Equal(t, 404, from("192.0.2.1"))
	require.Equal(t, 429, from("192.0.2.2"))
}

func TestMoreLoginsThanCanBeHashedAreAnswered503InTime(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	stop := s.work()
	s.signUp("ann")
	stop()
	ann, err := s.store.User(t.Context(), "ann")
	require.NoError(t, err)
	// In a request's 5 seconds a processor hashes some 250 passwords. Each is of another user: those of one would be refused.
	logins := 500 * max(1, runtime.GOMAXPROCS(0)-1)
	name := func(i int) string { return fmt.Sprintf("u%d", i) }
	for i := range logins {
		user := ann
		user.Username = name(i)
		require.NoError(t, s.store.CreateUser(t.Context(), user))
	}
	var mu sync.Mutex
	count, tooMany := map[int]int{}, false
	var all sync.WaitGroup
	for i := range logins {
		all.Go(func() {
			a := s.call("POST", "/users/authorize", "", map[string]string{"username": name(i), "password": "correct horse"})
			if a.Status == 503 && a.header.Get("Retry-After") == "" {
				t.Error(a.header, a.Error)
			}
			mu.Lock()
			defer mu.Unlock()
			count[a.Status]++
			tooMany = tooMany || strings.Contains(a.Error, "too many are signing up or logging in")
		})
	}
	all.Wait()
	t.Logf("answers by status: %v", count)
	require.Positive(t, count[200])
	require.Positive(t, count[503])
	require.True(t, tooMany, "they are told why")
	require.Equal(t, logins, count[200]+count[503])
}
