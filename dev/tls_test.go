package main

import (
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/dev/internal/certificates"
	"github.com/twtr-dev/twtr/dev/internal/netfault"
	"github.com/twtr-dev/twtr/dev/temporalserver"
)

// tlsNetwork is the first three numbers of the addresses of a Cassandra of the test's own.
const tlsNetwork = "127.0.7"

// secured is a Cassandra and a Temporal that want TLS, and a certificate of their clients.
type secured struct {
	t   *testing.T
	dir string

	cassandra, temporal string // addresses
}

// file writes one of the test's files.
func (s *secured) file(name string, content []byte) string {
	path := filepath.Join(s.dir, name)
	require.NoError(s.t, os.WriteFile(path, content, 0o600))
	return path
}

// issue writes name.crt and name.key.
func (s *secured) issue(a certificates.Authority, name string, hosts ...string) (certificate, key string) {
	c, k, err := a.Issue(name, hosts...)
	require.NoError(s.t, err)
	return s.file(name+".crt", c), s.file(name+".key", k)
}

func (s *secured) startCassandra(a certificates.Authority) {
	s.cassandra = tlsNetwork + ".1:9042"
	certificate, key, err := a.Issue("cassandra", tlsNetwork+".1")
	require.NoError(s.t, err)
	s.file("keystore.pem", slices.Concat(key, certificate))
	script := func(command string) (string, error) {
		c := exec.Command("../scripts/cassandra.sh", command)
		c.Env = append(os.Environ(), "TWTR_CASSANDRA_DIR="+filepath.Join(s.dir, "cassandra"), "TWTR_CASSANDRA_NETWORK="+tlsNetwork, "TWTR_CASSANDRA_TLS="+s.dir)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	// It runs in a session of its own, so that nothing but stop ends it.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	s.t.Cleanup(func() {
		signal.Stop(interrupted)
		close(interrupted)
	})
	go func() {
		if _, ok := <-interrupted; ok {
			_, _ = script("stop")
			os.Exit(1)
		}
	}()
	out, err := script("start")
	if err != nil && os.Getenv("REQUIRE_CASSANDRA") == "" {
		s.t.Skipf("no Cassandra with TLS: %s", out)
	}
	require.NoError(s.t, err, out)
	s.t.Cleanup(func() {
		out, err := script("stop")
		require.NoError(s.t, err, out)
	})
}

// relay passes connections to another address of this machine on, for which the server has no certificate.
func (s *secured) relay(server string) (addr string) {
	proxy, err := netfault.Start("127.0.8.1:0", server)
	require.NoError(s.t, err)
	s.t.Cleanup(proxy.Stop)
	return proxy.Addr()
}

// TestTLSToCassandraAndTemporal runs twtr with each of the two as an operator does, with the right settings and with wrong ones.
func TestTLSToCassandraAndTemporal(t *testing.T) {
	if os.Getenv("REQUIRE_CASSANDRA") == "" && os.Getenv("TWTR_TEST_CASSANDRA") == "" {
		t.Skip("no Cassandra: run make test")
	}
	t.Parallel() // Cassandra takes a while to start
	s := &secured{t: t, dir: t.TempDir()}
	ours, err := certificates.New("ours")
	require.NoError(t, err)
	theirs, err := certificates.New("theirs")
	require.NoError(t, err)
	ca, otherCA := s.file("ca.crt", ours.PEM()), s.file("other-ca.crt", theirs.PEM())
	clientCert, clientKey := s.issue(ours, "client")
	otherCert, otherKey := s.issue(theirs, "other")
	serverCert, serverKey := s.issue(ours, "temporal", "127.0.0.1")
	s.startCassandra(ours)
	server, err := temporalserver.Start(t.Context(), temporalserver.Options{
		Addr: "127.0.0.1:0", TLS: &temporalserver.TLS{CAFile: ca, CertFile: serverCert, KeyFile: serverKey},
	})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	s.temporal = server.Addr()

	const (
		cassandraHosts, cassandraTLS, cassandraCA, cassandraCert, cassandraKey, verifyHost = "TWTR_CASSANDRA_HOSTS", "TWTR_CASSANDRA_TLS",
			"TWTR_CASSANDRA_TLS_CA", "TWTR_CASSANDRA_TLS_CERT", "TWTR_CASSANDRA_TLS_KEY", "TWTR_CASSANDRA_TLS_VERIFY_HOST"
		temporalAddr, temporalTLS, temporalCA, temporalCert, temporalKey = "TEMPORAL_ADDRESS", "TEMPORAL_TLS",
			"TEMPORAL_TLS_SERVER_CA_CERT_PATH", "TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_KEY_PATH"
	)
	api := freeAddr(t)
	env := func(change map[string]string) (env []string) {
		settings := map[string]string{
			"TWTR_STORE": "cassandra", "TWTR_HTTP_ADDR": api, "TWTR_CASSANDRA_REPLICATION": "{'class': 'SimpleStrategy', 'replication_factor': 1}",
			cassandraHosts: s.cassandra, cassandraTLS: "true", cassandraCA: ca, cassandraCert: clientCert, cassandraKey: clientKey,
			temporalAddr: s.temporal, temporalTLS: "true", temporalCA: ca, temporalCert: clientCert, temporalKey: clientKey,
		}
		for name, value := range change {
			settings[name] = value
		}
		for name, value := range settings {
			env = append(env, name+"="+value)
		}
		return append(env, secretsEnv...)
	}
	twtr := func(change map[string]string, args ...string) (stderr string, err error) {
		p := start(t, s.dir, "twtr", env(change), args...)
		_, _ = io.Copy(io.Discard, p.stdout)
		err = p.Wait()
		return p.stderr.String(), err
	}
	stderr, err := twtr(nil, "migrate")
	require.NoError(t, err, stderr)

	for _, c := range []struct {
		name   string
		change map[string]string
		// What the error says; empty: connected. With TLS 1.3 a client whose certificate is refused may learn no more than that the
		// connection is closed.
		want string
	}{
		{"all right", nil, ""},
		{"Cassandra's certificate is of another CA", map[string]string{cassandraCA: otherCA}, "x509: certificate signed by unknown authority"},
		{"Cassandra's certificate is of none of the system's CAs", map[string]string{cassandraCA: ""}, "x509: certificate signed by unknown authority"},
		{"Cassandra's certificate is for another host", map[string]string{cassandraHosts: s.relay(s.cassandra)},
			"x509: certificate is valid for " + tlsNetwork + ".1, not 127.0.8.1"},
		{"a client without a certificate, to Cassandra", map[string]string{cassandraCert: "", cassandraKey: ""}, "with TLS, without a client certificate: "},
		{"a client with a certificate of another CA, to Cassandra", map[string]string{cassandraCert: otherCert, cassandraKey: otherKey}, "with TLS and a client certificate: "},
		{"a client without TLS, to Cassandra", map[string]string{cassandraTLS: "false", cassandraCA: "", cassandraCert: "", cassandraKey: ""},
			"(cassandra.hosts) without TLS: "},
		{"Temporal's certificate is of another CA", map[string]string{temporalCA: otherCA}, "x509: certificate signed by unknown authority"},
		{"Temporal's certificate is of none of the system's CAs", map[string]string{temporalCA: ""}, "x509: certificate signed by unknown authority"},
		{"Temporal's certificate is for another host", map[string]string{temporalAddr: s.relay(s.temporal)},
			"x509: certificate is valid for 127.0.0.1, not 127.0.8.1"},
		{"a client without a certificate, to Temporal", map[string]string{temporalCert: "", temporalKey: ""}, "with TLS, without a client certificate: "},
		{"a client with a certificate of another CA, to Temporal", map[string]string{temporalCert: otherCert, temporalKey: otherKey}, "with TLS and a client certificate: "},
		{"a client without TLS, to Temporal", map[string]string{temporalTLS: "false", temporalCA: "", temporalCert: "", temporalKey: ""},
			"(TEMPORAL_ADDRESS) without TLS: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			stderr, err := twtr(c.change, "wait", "--timeout", "0")
			if c.want == "" {
				require.NoError(t, err, stderr)
				return
			}
			require.Error(t, err)
			require.Contains(t, stderr, c.want)
			require.Equal(t, 1, strings.Count(stderr, "\n"), "one line")
		})
	}

	start(t, s.dir, "twtr", env(nil), "api")
	start(t, s.dir, "twtr", env(nil), "worker", "all")
	requireHealthy(t, "http://"+api)
	stack := &stack{t: t, url: "http://" + api}
	ann, bob := stack.signUp("ann"), stack.signUp("bob")
	stack.follow(bob, "ann")
	posted := stack.post(ann, 1, 1)
	stack.eventually("it arrives", func() bool { return len(stack.feed(bob)) == 1 })
	require.Equal(t, posted, stack.feed(bob))
}
