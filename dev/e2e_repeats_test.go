package main

import (
	"encoding/json"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"github.com/twtr-dev/twtr/dev/internal/netfault"
)

// farAPI is another API process, and the proxy between it and Temporal.
func (s *stack) farAPI() (*stack, *netfault.Proxy) {
	proxy, err := netfault.Start("127.0.0.1:0", s.temporal)
	require.NoError(s.t, err)
	s.t.Cleanup(proxy.Stop)
	c, err := client.Dial(client.Options{HostPort: proxy.Addr(), Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	require.NoError(s.t, err)
	s.t.Cleanup(c.Close)
	return s.apiWith(c, s.store, time.Now), proxy
}

// Temporal's client sends a request again whose answer is lost. Temporal recognizes it only in the newest run of the workflow.
func TestARequestThatTemporalsClientSendsAgainTakesEffectOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		s.signUp("ann")
		bob := s.signUp("bob")
		follow := func(s *stack) answer {
			return s.call("POST", "/follow", bob, map[string]string{"followingUsername": "ann"})
		}
		follows := func() bool { return slices.Equal(s.names("/users/bob/followings", 10), []string{"ann"}) }
		far, proxy := s.farAPI()
		require.NoError(t, proxy.Mute())
		answered := make(chan answer)
		go func() { answered <- follow(far) }()
		s.eventually("it has taken effect, its run has ended, and nobody was told", func() bool {
			return follows() && s.completed("follow/bob/ann")
		})
		s.unfollow(bob, "ann")
		require.False(t, follows())
		proxy.Cut()
		require.NoError(t, proxy.Heal(t.Context()))
		require.Contains(t, []int{200, 503}, (<-answered).Status)
		s.eventually("all runs have ended", func() bool { return s.completed("follow/bob/ann") })
		require.False(t, follows(), "the older request was applied again")
		require.Equal(t, 200, follow(s).Status)
		require.True(t, follows(), "this is another request")
	})
}

func TestOtherRequestsThatTemporalsClientSendsAgainAreAnsweredByTheRunThatHasEnded(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		s.signUp("eve") // the workers have begun
		far, proxy := s.farAPI()
		again := func(method, path, token string, body any, done func() bool) {
			t.Helper()
			require.NoError(t, proxy.Mute())
			answered := make(chan answer)
			go func() { answered <- far.call(method, path, token, body) }()
			s.eventually("it is done", done)
			proxy.Cut()
			require.NoError(t, proxy.Heal(t.Context()))
			require.Contains(t, []int{200, 503}, (<-answered).Status)
		}
		logIn := func(password string) answer {
			return s.call("POST", "/users/authorize", "", map[string]string{"username": "ann", "password": password})
		}
		again("POST", "/users", "", signUpBody("ann"), func() bool { return logIn("correct horse").Status == 200 })
		var ann struct{ AccessToken string }
		require.NoError(t, json.Unmarshal(logIn("correct horse").Data, &ann))
		change := map[string]string{"oldPassword": "correct horse", "newPassword": "battery staple"}
		again("PUT", "/users/me/password", ann.AccessToken, change, func() bool { return logIn("battery staple").Status == 200 })
		s.eventually("each request has one run", func() bool {
			listed, err := s.client.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
				Query: "WorkflowType IN ('CreateUser', 'ChangePassword')"})
			require.NoError(t, err)
			return len(listed.Executions) == 3
		})
	})
}
