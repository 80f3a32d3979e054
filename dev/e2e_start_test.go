package main

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/dev/temporalserver"
)

func TestAnAPIThatStartsWithoutTemporalServesWhatItCanAndConnectsByItself(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		before := newEveryCall(s)
		before.prepare()
		temporal := s.proxyTo(s.temporal)
		for _, f := range faultsOf(temporal)[:3] {
			require.NoError(t, f.begin())
			e := s.anotherAPI(temporal.Addr())
			e.token, e.refresh, e.id, e.renamed, e.departed = before.token, before.refresh, before.id, before.renamed, before.departed
			var pair struct{ RefreshToken string }
			e.ok("POST", "/users/refresh", "", map[string]string{"refreshToken": e.refresh}, &pair)
			before.refresh, e.refresh = pair.RefreshToken, pair.RefreshToken
			e.all(readCalls, 200)
			e.all(writeCalls, 503)
			requireReady(t, e.ops)
			e.report("Temporal " + f.name + " at the start")
			require.NoError(t, temporal.Heal(context.WithoutCancel(t.Context())))
			e.comesBack()
		}
	})
}

// anotherAPI starts an API process of the same stack, which reaches Temporal at that address.
func (s *stack) anotherAPI(temporal string) *everyCall {
	s.t.Helper()
	addr := freeAddr(s.t)
	ops := freeAddr(s.t)
	env := append([]string{"TEMPORAL_ADDRESS=" + temporal, "TWTR_OPS_ADDR=" + ops}, secretsEnv...)
	start(s.t, s.t.TempDir(), "twtr", env, append([]string{"api"}, append(slices.Clone(s.args), "--http-addr", addr)...)...)
	other := &stack{t: s.t, engine: s.engine, url: "http://" + addr, ops: "http://" + ops}
	requireHealthy(s.t, other.url)
	s.t.Cleanup(func() { s.secrets = append(s.secrets, other.secrets...) }) // before checkSecrets looks for them
	return &everyCall{stack: other, longest: map[string]time.Duration{}}
}

// A new installation may start in any order.
func TestAnAPIThatStartedBeforeTemporalAndItsNamespaceRegistersTheSearchAttributes(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	token := s.signUpAtWork("ann")
	addr := freeAddr(t)
	e := s.anotherAPI(addr)
	post := func() answer { return e.call("POST", "/tweets", token, map[string]string{"content": "hello"}) }
	require.Equal(t, 503, post().Status)
	server, err := temporalserver.Start(t.Context(), temporalserver.Options{Addr: addr, File: t.TempDir() + "/temporal.db"})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	e.eventually("the tweet is accepted", func() bool {
		a := post()
		require.Contains(t, []int{200, 503}, a.Status, a.Error)
		return a.Status == 200
	})
}

// signUpAtWork signs a user up while workers run.
func (s *stack) signUpAtWork(username string) string {
	s.t.Helper()
	defer s.work()()
	return s.signUp(username)
}

func TestAWorkerThatStartsWithoutTemporalSaysSoAndEnds(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	temporal := s.proxyTo(s.temporal)
	env := append([]string{"TEMPORAL_ADDRESS=" + temporal.Addr()}, secretsEnv...)
	for _, f := range faultsOf(temporal)[:2] {
		require.NoError(t, f.begin())
		s.ends(env, "no response from Temporal at "+temporal.Addr(), append([]string{"worker", "all"}, s.args...)...)
		require.NoError(t, temporal.Heal(context.WithoutCancel(t.Context())))
	}
}

func TestAProcessThatStartsWithoutItsStoreSaysSoAndEnds(t *testing.T) {
	t.Parallel()
	s := newStack(t, "cassandra")
	_, cassandra := s.proxies()
	args := append(slices.Clone(s.args), "--http-addr", freeAddr(t))
	args[slices.Index(args, "--cassandra-hosts")+1] = cassandra.Addr()
	env := append([]string{"TEMPORAL_ADDRESS=" + s.temporal}, secretsEnv...)
	for _, f := range faultsOf(cassandra)[:2] {
		require.NoError(t, f.begin())
		s.ends(env, "cassandra does not answer at "+cassandra.Addr(), append([]string{"api"}, args...)...)
		require.NoError(t, cassandra.Heal(context.WithoutCancel(t.Context())))
	}
}

func TestAnAPIWithAWrongSettingOfTemporalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	args := append([]string{"api"}, s.args...)
	for setting, want := range map[string]string{
		"TEMPORAL_ADDRESS=temporal":                         `the address of Temporal (TEMPORAL_ADDRESS) must be host:port, not "temporal"`,
		"TEMPORAL_TLS_SERVER_CA_CERT_PATH=/nowhere/ca.pem":  "the TEMPORAL_* settings: ",
		"TEMPORAL_TLS_CLIENT_CERT_PATH=/nowhere/client.pem": "the TEMPORAL_* settings: ",
	} {
		s.ends(append([]string{"TEMPORAL_ADDRESS=127.0.0.1:1", setting}, secretsEnv...), want, args...)
	}
}

// ends starts a process, and wants it to end by itself, with a message that says that.
func (s *stack) ends(env []string, want string, args ...string) {
	s.t.Helper()
	p := start(s.t, s.t.TempDir(), "twtr", env, args...)
	watchdog := time.AfterFunc(time.Minute, func() { _ = p.Process.Kill() })
	defer watchdog.Stop()
	require.Error(s.t, p.Wait())
	require.Contains(s.t, p.stderr.String(), want)
}
