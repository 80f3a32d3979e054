package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/dev/internal/netfault"
)

// tooLong is how long no answer may take: the API's own limit of 5 s, and as much again for a machine that is busy. A call that
// hangs takes longer.
const tooLong = 10 * time.Second

// through starts an API and the workers, as processes that reach their dependencies through proxies; cassandra may be nil.
func (s *stack) through(temporal, cassandra *netfault.Proxy) *stack {
	s.t.Helper()
	addr := freeAddr(s.t)
	args := append(slices.Clone(s.args), "--http-addr", addr)
	if cassandra != nil {
		args[slices.Index(args, "--cassandra-hosts")+1] = cassandra.Addr()
	}
	env := append([]string{"TEMPORAL_ADDRESS=" + temporal.Addr()}, secretsEnv...)
	ops := freeAddr(s.t)
	start(s.t, s.t.TempDir(), "twtr", append(slices.Clone(env), "TWTR_OPS_ADDR="+ops), append([]string{"api"}, args...)...)
	start(s.t, s.t.TempDir(), "twtr", env, append([]string{"worker", "all"}, args...)...)
	other := &stack{t: s.t, engine: s.engine, url: "http://" + addr, ops: "http://" + ops}
	requireHealthy(s.t, other.url)
	s.t.Cleanup(func() { s.secrets = append(s.secrets, other.secrets...) }) // before checkSecrets looks for them
	return other
}

// proxies are in front of Temporal and, if it is the store, Cassandra.
func (s *stack) proxies() (temporal, cassandra *netfault.Proxy) {
	if hosts := s.config.Store.Cassandra.Hosts; s.engine == "cassandra" {
		host := hosts[0]
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, "9042")
		}
		cassandra = s.proxyTo(host)
	}
	return s.proxyTo(s.temporal), cassandra
}

func (s *stack) proxyTo(server string) *netfault.Proxy {
	p, err := netfault.Start("127.0.0.1:0", server)
	require.NoError(s.t, err)
	s.t.Cleanup(p.Stop)
	return p
}

// everyCall makes a call of each kind, those that would disturb the others by users of their own.
type everyCall struct {
	*stack
	token, refresh    string
	id                string // of a tweet of theirs
	renamed, departed string // the tokens of one who changes their password, and of one who leaves

	mu      sync.Mutex
	longest map[string]time.Duration
	faulty  []string
}

func newEveryCall(s *stack) *everyCall {
	e := &everyCall{stack: s, longest: map[string]time.Duration{}}
	s.eventually("a worker is there", func() bool { return s.call("POST", "/users", "", signUpBody("ann")).Status == 200 })
	s.signUp("bob")
	var pair struct{ AccessToken, RefreshToken string }
	s.ok("POST", "/users/authorize", "", map[string]string{"username": "ann", "password": "correct horse"}, &pair)
	e.token, e.refresh = pair.AccessToken, pair.RefreshToken
	return e
}

// prepare makes what the calls change.
func (e *everyCall) prepare() {
	posted := e.tweet(e.token, "hello")
	e.id = posted.ID.String()
	e.eventually("it is delivered", func() bool { return e.delivery(e.token, posted.ID).State == "complete" })
	e.renamed, e.departed = e.signUp(aName()), e.signUp(aName())
}

func aName() string { return "u" + uuid.NewString()[:8] }

// The calls that need no Temporal.
var readCalls = map[string]func(*everyCall) answer{
	"GET /users/:username":            func(e *everyCall) answer { return e.call("GET", "/users/ann", "", nil) },
	"GET /users/me":                   func(e *everyCall) answer { return e.call("GET", "/users/me", e.token, nil) },
	"GET /users/me/sessions":          func(e *everyCall) answer { return e.call("GET", "/users/me/sessions", e.token, nil) },
	"GET /tweets/:username":           func(e *everyCall) answer { return e.call("GET", "/tweets/ann", "", nil) },
	"GET /tweets/:id":                 func(e *everyCall) answer { return e.call("GET", "/tweets/"+e.id, "", nil) },
	"GET /users/:username/followers":  func(e *everyCall) answer { return e.call("GET", "/users/ann/followers", "", nil) },
	"GET /users/:username/followings": func(e *everyCall) answer { return e.call("GET", "/users/ann/followings", "", nil) },
	"GET /feeds/me":                   func(e *everyCall) answer { return e.call("GET", "/feeds/me", e.token, nil) },
	"GET /deliveries/:id":             func(e *everyCall) answer { return e.call("GET", "/deliveries/"+e.id, e.token, nil) },
	"POST /users/authorize": func(e *everyCall) answer {
		return e.call("POST", "/users/authorize", "", map[string]string{"username": "ann", "password": "correct horse"})
	},
	"POST /users/refresh": func(e *everyCall) answer {
		return e.call("POST", "/users/refresh", "", map[string]string{"refreshToken": e.refresh})
	},
}

// The calls that need Temporal, or the store.
var writeCalls = map[string]func(*everyCall) answer{
	"POST /users": func(e *everyCall) answer { return e.call("POST", "/users", "", signUpBody(aName())) },
	"PUT /users/me/password": func(e *everyCall) answer {
		return e.call("PUT", "/users/me/password", e.renamed, map[string]string{"oldPassword": "correct horse", "newPassword": "a correct battery"})
	},
	"DELETE /users/me": func(e *everyCall) answer { return e.call("DELETE", "/users/me", e.departed, nil) },
	"POST /tweets": func(e *everyCall) answer {
		return e.call("POST", "/tweets", e.token, map[string]string{"content": "x"})
	},
	"POST /tweets with a key": func(e *everyCall) answer {
		return e.callWith("POST", "/tweets", e.token, map[string]string{"content": "x"}, map[string]string{"Idempotency-Key": uuid.NewString()})
	},
	"DELETE /tweets/:id": func(e *everyCall) answer { return e.call("DELETE", "/tweets/"+e.id, e.token, nil) },
	"POST /follow": func(e *everyCall) answer {
		return e.call("POST", "/follow", e.token, map[string]string{"followingUsername": "bob"})
	},
	"DELETE /follow/:username": func(e *everyCall) answer { return e.call("DELETE", "/follow/bob", e.token, nil) },
}

// all makes all of the calls concurrently. Each must be answered in time, by the status or one of them.
func (e *everyCall) all(calls map[string]func(*everyCall) answer, statuses ...int) {
	var wg sync.WaitGroup
	for name, call := range calls {
		wg.Go(func() {
			begin := time.Now()
			a := call(e)
			took := time.Since(begin)
			e.mu.Lock()
			defer e.mu.Unlock()
			e.longest[name] = max(e.longest[name], took)
			noHint := a.Status == 503 && a.header.Get("Retry-After") == "" && name != "POST /tweets"
			if !slices.Contains(statuses, a.Status) || took > tooLong || noHint {
				e.faulty = append(e.faulty, fmt.Sprintf("%s: %d after %s: %s %v", name, a.Status, took, a.Error, a.header))
			}
		})
	}
	wg.Wait()
}

// report fails the test if a call was answered wrongly, and logs the longest times.
func (e *everyCall) report(fault string) {
	e.t.Helper()
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(e.longest)) {
		fmt.Fprintf(&lines, "\n%-32s %.2f s", name, e.longest[name].Seconds())
	}
	e.t.Logf("%s: longest times%s", fault, lines.String())
	require.Empty(e.t, e.faulty, fault)
	clear(e.longest)
}

// fault is what a proxy does, and what it may let pass.
type fault struct {
	name   string
	begin  func() error
	passes []int // statuses
}

func faultsOf(p *netfault.Proxy) []fault {
	return []fault{
		{name: "hangs", begin: p.Hang},
		{name: "is cut off", begin: func() error { p.Cut(); return nil }},
		{name: "resets connections", begin: func() error { return p.Reset(10 * time.Millisecond) }},
		// Also what is no longer there, because an earlier call was accepted.
		{name: "answers 2 s later", begin: func() error { return p.Delay(2 * time.Second) }, passes: []int{200, 401, 404, 422}},
	}
}

func TestWithoutTemporalReadsLoginsAndRefreshesGoOnAndAllElseIs503InTime(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		temporal, cassandra := s.proxies()
		e := newEveryCall(s.through(temporal, cassandra))
		for _, f := range faultsOf(temporal) {
			e.prepare()
			require.NoError(t, f.begin())
			for range 2 {
				e.all(readCalls, append(f.passes, 200)...)
				var pair struct{ RefreshToken string }
				e.ok("POST", "/users/refresh", "", map[string]string{"refreshToken": e.refresh}, &pair)
				e.refresh = pair.RefreshToken
				e.all(writeCalls, append(f.passes, 503)...)
			}
			requireReady(t, e.ops) // it can serve reads
			e.report("Temporal " + f.name)
			require.NoError(t, temporal.Heal(context.WithoutCancel(t.Context())))
			e.comesBack()
		}
	})
}

func TestWithoutTheStoreAllIs503InTime(t *testing.T) {
	t.Parallel()
	s := newStack(t, "cassandra")
	temporal, cassandra := s.proxies()
	e := newEveryCall(s.through(temporal, cassandra))
	for _, f := range faultsOf(cassandra) {
		e.prepare()
		require.NoError(t, f.begin())
		for range 2 {
			e.all(readCalls, append(f.passes, 503)...)
			e.all(writeCalls, append(f.passes, 503)...)
		}
		e.report("Cassandra " + f.name)
		require.NoError(t, cassandra.Heal(context.WithoutCancel(t.Context())))
		e.comesBack()
	}
}

// comesBack waits until everything works again.
func (e *everyCall) comesBack() {
	e.t.Helper()
	for _, calls := range []map[string]func(*everyCall) answer{readCalls, {
		"POST /tweets": writeCalls["POST /tweets"], "POST /follow": writeCalls["POST /follow"], "POST /users": writeCalls["POST /users"],
	}} {
		for name, call := range calls {
			if name != "GET /tweets/:id" && name != "GET /deliveries/:id" { // it may be deleted
				e.eventually(name+" works again", func() bool { return call(e).Status == 200 })
			}
		}
	}
}

// A client repeats what is answered 503. However often that is, the run holds few requests, and the server refuses the others.
func TestRequestsDuringAnOutageDoNotMakeAHistoryLong(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	s.work()
	s.signUp("ann")
	bob := s.signUp("bob")
	_, outage := s.outage()
	end := outage()
	for range 3 {
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				var a answer
				if i%2 == 0 {
					a = s.call("POST", "/follow", bob, map[string]string{"followingUsername": "ann"})
				} else {
					a = s.call("DELETE", "/follow/ann", bob, nil)
				}
				if a.Status != 503 {
					t.Errorf("%d: %s", a.Status, a.Error)
				}
			})
		}
		wg.Wait()
	}
	end()
	const id = "follow/bob/ann"
	s.eventually("it ends", func() bool { return s.completed(id) })
	d, err := s.client.DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err)
	length := d.GetWorkflowExecutionInfo().GetHistoryLength()
	t.Logf("%d events", length)
	require.Less(t, length, int64(200))
}
