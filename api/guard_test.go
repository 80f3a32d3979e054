package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

// countHashes counts the passwords that reach the hash function.
func countHashes(processes ...*process) *atomic.Int64 {
	var n atomic.Int64
	for _, p := range processes {
		p.hasher.derive = func(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte {
			n.Add(1)
			return cheap(password, salt, passes, memory, lanes, length)
		}
	}
	return &n
}

func TestOf10000GuessesInAnHourFewerThan200AreTriedAndTheOwnerLogsInAllTheTime(t *testing.T) {
	s := newSystem(t)
	processes := []*process{s.process(), s.process()}
	old := processes[0].signUp("ann", from("203.0.113.7")).AccessToken
	hashes := countHashes(processes...)
	byOwner := int64(0)
	const guesses = 10_000
	for i := range guesses {
		s.sleep(time.Hour / guesses)
		p := processes[i%2]
		r := p.logIn("ann", fmt.Sprintf("guess %d", i), from(fmt.Sprintf("198.51.%d.%d", i%1000/250, i%250)))
		require.Contains(t, []int{422, 429}, r.status)
		if i%(guesses/60) == 0 {
			before := hashes.Load()
			require.Equal(t, 200, p.logIn("ann", "correct horse", from("203.0.113.7")).status, "from where they logged in before")
			moving := fmt.Sprintf("203.0.114.%d", i%250)
			require.Equal(t, 200, p.logIn("ann", "correct horse", token(old), from(moving)).status, "with an old token")
			byOwner += hashes.Load() - before
		}
	}
	require.Less(t, hashes.Load()-byOwner, int64(200))
	require.Greater(t, hashes.Load()-byOwner, int64(50), "the delay has a limit")
}

func TestGuessesAtOnceDoNotPassTogether(t *testing.T) {
	s := newSystem(t)
	processes := []*process{s.process(), s.process(), s.process()}
	processes[0].signUp("ann", from("203.0.113.7"))
	hashes := countHashes(processes...)
	done := make(chan int)
	for i := range 60 {
		go func() {
			done <- processes[i%3].logIn("ann", "guess", from(fmt.Sprintf("198.51.100.%d", i))).status
		}()
	}
	count := map[int]int{}
	for range 60 {
		count[<-done]++
	}
	require.LessOrEqual(t, hashes.Load(), int64(freeGuesses+1))
	require.EqualValues(t, hashes.Load(), count[422])
	require.Equal(t, 60, count[422]+count[429])
}

func TestOneWhoMistypesWaitsALittleLongerEachTime(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	p.signUp("ann")
	for range freeGuesses {
		require.Equal(t, 422, p.logIn("ann", "wrong").status)
	}
	for _, seconds := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
		r := p.logIn("ann", "correct horse")
		require.Equal(t, 429, r.status)
		require.Equal(t, fmt.Sprint(seconds), r.header.Get("Retry-After"))
		require.Equal(t, fmt.Sprintf("too many wrong passwords for this account: try again in %d s. Log-ins from networks and devices "+
			"that you have used before are counted on their own", seconds), r.err)
		s.sleep(time.Duration(seconds) * time.Second)
		require.Equal(t, 422, p.logIn("ann", "wrong").status)
	}
	s.sleep(time.Minute)
	require.Equal(t, 200, p.logIn("ann", "correct horse").status)
	require.Equal(t, 422, p.logIn("ann", "wrong").status, "a success resets the count of a known source")
	require.Equal(t, 200, p.logIn("ann", "correct horse").status)
}

func TestASuccessFromAnUnknownNetworkMakesNoRoomForGuesses(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	p.signUp("ann", from("203.0.113.7"))
	unknown := func(i int) with { return from(fmt.Sprintf("198.51.100.%d", i)) }
	for i := range freeGuesses - 1 {
		require.Equal(t, 422, p.logIn("ann", "wrong", unknown(i)).status)
	}
	require.Equal(t, 200, p.logIn("ann", "correct horse", unknown(100)).status)
	require.Equal(t, 422, p.logIn("ann", "wrong", unknown(5)).status)
	require.Equal(t, 429, p.logIn("ann", "wrong", unknown(6)).status)
	require.Equal(t, 200, p.logIn("ann", "correct horse", unknown(100)).status, "that network is known now")
}

func TestATokenOfAnotherAccountOrOneThatIsMadeUpIsNoSource(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	p.signUp("ann", from("203.0.113.7"))
	bob := p.signUp("bob", from("203.0.113.8")).AccessToken
	hashes := countHashes(p)
	forged, err := newTokens([]Key{key(t, "x")}, s.time).issue(identity{"ann", newRefreshToken([16]byte{1}).family})
	require.NoError(t, err)
	for i := range 20 {
		p.logIn("ann", "wrong", token(bob), from("198.51.100.1"))
		p.logIn("ann", "wrong", token(forged), from(fmt.Sprintf("198.51.100.%d", i)))
	}
	require.EqualValues(t, freeGuesses, hashes.Load())
}

func TestATokenOfAnEarlierUserOfTheNameIsNoSource(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	var old []string
	for range 20 { // as of an account that was deleted
		session, err := twtr.NewTweetID(s.time())
		require.NoError(t, err)
		token, err := p.tokens.issue(identity{"ann", session})
		require.NoError(t, err)
		old = append(old, token)
	}
	s.sleep(time.Hour)
	p.signUp("ann", from("203.0.113.7"))
	hashes := countHashes(p)
	for _, text := range old {
		p.logIn("ann", "wrong", token(text), from("198.51.100.1"))
	}
	require.EqualValues(t, freeGuesses, hashes.Load())
}

func TestATokenIsASourceFor90Days(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	pair := p.signUp("ann", from("203.0.113.7"))
	for range freeGuesses {
		p.logIn("ann", "wrong", from("198.51.100.1"))
	}
	p.call("POST", "/users/logout", object{"refreshToken": pair.RefreshToken})
	far := []with{token(pair.AccessToken), from("198.51.100.2")}
	require.Equal(t, 200, p.logIn("ann", "correct horse", far...).status, "of a session that has ended")
	who, ok := p.tokens.once(pair.AccessToken)
	require.True(t, ok)
	require.Equal(t, "ann", who.username)
	s.sleep(twtr.KnownSourceKept)
	_, ok = p.tokens.once(pair.AccessToken)
	require.True(t, ok)
	s.sleep(accessTokenLife + time.Second)
	_, ok = p.tokens.once(pair.AccessToken)
	require.False(t, ok)
}

func TestClocksThatDifferLetNoMoreGuessesThrough(t *testing.T) {
	s := newSystem(t)
	ahead, behind := s.process(), s.process()
	ahead.clock = clockLeeway
	ahead.signUp("ann", from("203.0.113.7"))
	hashes := countHashes(ahead, behind)
	for i := range 3600 {
		s.sleep(time.Second)
		p := ahead
		if i%2 == 0 {
			p = behind
		}
		p.logIn("ann", "guess", from("198.51.100.1"))
	}
	require.Less(t, hashes.Load(), int64(80))
	s.sleep(clockLeeway + maxGuessDelay)
	require.Equal(t, 200, behind.logIn("ann", "correct horse", from("198.51.100.1")).status)
}

func TestASignUpIsNoWayToGuess(t *testing.T) {
	p := newSystem(t).process()
	p.signUp("ann", from("203.0.113.7"))
	hashes := countHashes(p)
	for i := range 20 {
		password := fmt.Sprintf("guess number %d", i)
		body := signUpBody("ann").but("password", password).but("passwordConfirmation", password)
		for _, email := range []string{"ann@example.com", "x@example.com"} {
			before := hashes.Load()
			r := p.call("POST", "/users", body.but("email", email), from("198.51.100.1"))
			require.Equal(t, 409, r.status)
			require.Equal(t, "username ann is taken", r.err)
			require.EqualValues(t, 1, hashes.Load()-before, "whatever the e-mail address is, it takes as long")
		}
	}
	require.Equal(t, 409, p.call("POST", "/users", signUpBody("ann"), from("198.51.100.1")).status, "the right password after too many")
	require.Equal(t, 422, p.logIn("ann", "wrong", from("198.51.100.1")).status, "which slow down no log-in")
	require.Equal(t, 200, p.logIn("ann", "correct horse", from("203.0.113.7")).status, "from where they signed up")
}

func TestRightPasswordsThatComeAtOnceAreNotTakenForGuesses(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	p.guard.pause = func(_ context.Context, d time.Duration) error {
		time.Sleep(200 * time.Millisecond) // long enough for those before
		s.sleep(d)
		return nil
	}
	p.signUp("ann")
	// As long as a hash takes, so that all are in flight together.
	p.hasher.derive = func(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte {
		time.Sleep(20 * time.Millisecond)
		return cheap(password, salt, passes, memory, lanes, length)
	}
	statuses := make(chan int)
	for i := range 12 {
		go func() {
			if i%2 == 0 {
				statuses <- p.logIn("ann", "correct horse").status
			} else {
				statuses <- p.call("POST", "/users", signUpBody("ann")).status
			}
		}()
	}
	for range 12 {
		require.Equal(t, 200, <-statuses)
	}
}

func TestAChangeOfPasswordIsNoWayToGuess(t *testing.T) {
	p := newSystem(t).process()
	pair := p.signUp("ann")
	count := map[int]int{}
	for range 10 {
		count[p.call("PUT", "/users/me/password", object{"oldPassword": "wrong", "newPassword": "battery staple"}, token(pair.AccessToken)).status]++
	}
	require.Equal(t, map[int]int{422: freeGuesses, 429: 10 - freeGuesses}, count)
	require.Equal(t, 200, p.logIn("ann", "correct horse").status, "another client of the owner does not wait for it")
}

func TestAFailedLogInIsLoggedAndCounted(t *testing.T) {
	p := newSystem(t).process()
	p.signUp("ann", from("203.0.113.7"))
	for range freeGuesses + 1 {
		p.logIn("ann", "SECRET", from("198.51.100.1"))
	}
	p.logIn("nobody", "SECRET", from("198.51.100.1"))
	p.logIn("SECRET", "SECRET", from("198.51.100.1"))
	p.logIn("ann", "correct horse", from("203.0.113.7"))
	var logs strings.Builder
	logs.WriteString(p.logs.b.String())
	lines := logLines(t, &logs, "login failed")
	require.Len(t, lines, freeGuesses+3)
	for i, line := range lines {
		require.NotEmpty(t, line["request_id"])
		delete(line, "time")
		delete(line, "request_id")
		want := map[string]any{"msg": "login failed", "level": "INFO", "client": "198.51.100.1", "username": "ann", "reason": "wrong-password"}
		if i == freeGuesses {
			want["reason"] = "refused"
		}
		if i > freeGuesses {
			want["reason"] = "no-such-user"
			delete(want, "username")
		}
		require.Equal(t, want, line)
	}
	require.NotContains(t, strings.ToUpper(logs.String()), "SECRET")
	metrics := scrape(p.metrics)
	for outcome, n := range map[string]int{"ok": 1, "wrong-password": freeGuesses, "no-such-user": 2, "refused": 1} {
		require.Contains(t, metrics, fmt.Sprintf("twtr_logins_total{outcome=%q} %d\n", outcome, n))
	}
}

// unavailableLogins fails to count.
type unavailableLogins struct{ twtr.Store }

func (unavailableLogins) ReplaceLoginFailures(context.Context, twtr.LoginFailures, twtr.LoginFailures) error {
	return twtr.Errorf(twtr.Unavailable, "the store does not answer")
}

func TestNoPasswordIsTriedThatCannotBeCounted(t *testing.T) {
	s := newSystem(t)
	s.process().signUp("ann")
	p := s.process(func(c *Config) { c.Store = unavailableLogins{s.store} })
	hashes := countHashes(p)
	require.Equal(t, 503, p.logIn("ann", "correct horse").status)
	require.Zero(t, hashes.Load())
}

func TestAnAttemptThatWasNotTriedDoesNotCount(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	p.signUp("ann", from("203.0.113.7"))
	for p.hasher.free > 0 {
		require.NoError(t, p.hasher.acquire(t.Context(), "busy"))
	}
	ended := func(r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		go func() {
			defer cancel()
			for waiting := 0; waiting == 0; time.Sleep(time.Millisecond) {
				p.hasher.mu.Lock()
				waiting = len(p.hasher.waiting)
				p.hasher.mu.Unlock()
			}
		}()
		*r = *r.WithContext(ctx)
	}
	for range freeGuesses + 1 {
		p.ServeHTTP(httptest.NewRecorder(), p.request("POST", "/users/authorize", object{"username": "ann", "password": "wrong"}, ended))
	}
	stored, err := s.store.LoginFailures(t.Context(), "ann", "")
	require.NoError(t, err)
	require.Zero(t, stored.Count)
}
