package main

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGuessesAtTwoProcessesAtOnceDoNotPassTogether(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		s.signUp("ann")
		other := s.apiWithClock(20 * time.Second)
		const guesses = 40
		answers := make([]answer, guesses)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				guess := map[string]string{"username": "ann", "password": fmt.Sprintf("guess %d", i)}
				answers[i] = []*stack{s, other}[i%2].insist("POST", "/users/authorize", "", guess)
			})
		}
		all.Wait()
		count := map[int]int{}
		for _, a := range answers {
			count[a.Status]++
		}
		require.Equal(t, guesses, count[422]+count[429], count)
		require.GreaterOrEqual(t, count[422], 1)
		require.LessOrEqual(t, count[422], 10, "five, and one after each delay that is over by then")
	})
}

func TestANewPasswordEndsTheOtherSessionsAtAllProcesses(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		type tokens struct{ AccessToken, RefreshToken string }
		here := s.signUp("ann")
		logIn := func(password string) answer {
			return s.insist("POST", "/users/authorize", "", map[string]string{"username": "ann", "password": password})
		}
		there, err := unmarshal[tokens](logIn("correct horse"))
		require.NoError(t, err)
		other := s.apiWithClock(-20 * time.Second)
		works := func(p *stack, token string) bool { return p.call("GET", "/users/me", token, nil).Status == 200 }
		require.True(t, works(other, there.AccessToken))

		change := map[string]string{"oldPassword": "correct horse", "newPassword": "battery staple"}
		for _, what := range []string{"the first time", "again, as after a response that was lost"} {
			a := s.insist("PUT", "/users/me/password", here, change)
			require.Equal(t, 200, a.Status, "%s: %s", what, a.Error)
		}
		s.eventually("the other session's token is refused everywhere", func() bool {
			return !works(s, there.AccessToken) && !works(other, there.AccessToken)
		})
		require.True(t, works(s, here))
		require.True(t, works(other, here))
		require.Equal(t, 401, s.call("POST", "/users/refresh", "", map[string]string{"refreshToken": there.RefreshToken}).Status)
		require.Equal(t, 422, logIn("correct horse").Status)
		require.Equal(t, 200, logIn("battery staple").Status)
	})
}
