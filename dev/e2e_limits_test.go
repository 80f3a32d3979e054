package main

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestSignUpsAndLoginsAreLimitedByAddressAndWritesByUser(t *testing.T) {
	s := newStack(t, "sqlite", "--ratelimit-signups", "3", "--ratelimit-logins", "2", "--ratelimit-tweets", "2", "--ratelimit-follows", "2",
		"--http-trusted-proxies", "127.0.0.1")
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
	for range 10 { // reads are not limited
		s.feed(tokens[0])
	}
}

func TestAClientDoesNotChooseTheAddressItIsLimitedBy(t *testing.T) {
	s := newStack(t, "sqlite", "--ratelimit-logins", "1")
	login := map[string]string{"username": "nobody", "password": "wrong"}
	from := func(ip string) int {
		return s.callWith("POST", "/users/authorize", "", login, map[string]string{"X-Forwarded-For": ip, "X-Real-Ip": ip}).Status
	}
	require.Equal(t, 404, from("192.0.2.1"))
	require.Equal(t, 429, from("192.0.2.2"))
}

func TestMoreLoginsThanCanBeHashedAreAnswered503InTime(t *testing.T) {
	s := newStack(t, "sqlite")
	stop := s.work()
	s.signUp("ann")
	stop()
	const logins = 400 // in a second some 50 can be hashed on a processor
	var mu sync.Mutex
	count := map[int]int{}
	var all sync.WaitGroup
	for range logins {
		all.Go(func() {
			a := s.call("POST", "/users/authorize", "", map[string]string{"username": "ann", "password": "correct horse"})
			if a.Status == 503 && (a.header.Get("Retry-After") == "" || !strings.Contains(a.Error, "logging in")) {
				t.Error(a.header, a.Error)
			}
			mu.Lock()
			defer mu.Unlock()
			count[a.Status]++
		})
	}
	all.Wait()
	t.Logf("answers by status: %v", count)
	require.Positive(t, count[200])
	require.Positive(t, count[503])
	require.Equal(t, logins, count[200]+count[503])
}
