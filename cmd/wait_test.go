package cmd_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWaitSaysInOneLineWhatItWaitsForAndWhyItGaveUp(t *testing.T) {
	t.Chdir(t.TempDir())
	args := []string{"wait", "--timeout", "1500ms", "--cassandra-hosts", "127.0.0.1:1"}
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	requireWait := func(what, why, engine string) {
		t.Helper()
		code, stdout, stderr := twtr(t, append(args, "--store", engine)...)
		require.Equal(t, 1, code)
		requireLine(t, stdout, "waiting for "+what+": ")
		requireLine(t, stderr, "twtr: gave up after 1.5s: ")
		require.Contains(t, stdout, why)
		require.Contains(t, stderr, why)
	}
	requireWait("the store", "127.0.0.1:1", "cassandra")
	requireWait("the schema", ".twtr/twtr.db: run `twtr migrate`\n", "sqlite")
	code, _, stderr := twtr(t, "migrate")
	require.Equal(t, 0, code, stderr)
	requireWait("Temporal", "no response from Temporal at 127.0.0.1:1 (TEMPORAL_ADDRESS) without TLS: ", "sqlite")
	code, stdout, stderr := twtr(t, "wait", "--for", "store")
	require.Equal(t, 0, code, stderr)
	require.Equal(t, "the store and its schema are available\n", stdout, "whether Temporal is there or not")
}

// requireLine wants one line, which begins so.
func requireLine(t *testing.T, text, begin string) {
	t.Helper()
	require.True(t, strings.HasPrefix(text, begin), text)
	require.Equal(t, strings.Index(text, "\n"), len(text)-1, text)
}

func TestWaitRefusesAWrongSettingAtOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TEMPORAL_PROFILE", "none")
	for want, args := range map[string][]string{
		"twtr: store must be sqlite or cassandra, not \"mysql\"\n": {"wait", "--store", "mysql"},
		"twtr: invalid argument \"soon\" for \"--timeout\" flag: ": {"wait", "--timeout", "soon"},
		"twtr: --for must be all or store, not \"temporal\"\n":     {"wait", "--for", "temporal"},
		"twtr: the TEMPORAL_* settings: ":                          {"wait", "--for", "store"},
	} {
		code, _, stderr := twtr(t, args...)
		requireLine(t, stderr, want)
		require.Equal(t, 2, code)
	}
}

// nameServer is the address of the name server to ask in place of the system's, unless it is nil.
var nameServer atomic.Pointer[string]

// Before any test: a look-up that a test has left behind may still read the resolver.
func init() {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if other := nameServer.Load(); other != nil {
			network, address = "udp", *other
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
}

// neverAnswers makes every name look-up wait for a name server that does not respond, and returns the address of a listener that
// accepts connections and says nothing.
func neverAnswers(t *testing.T) (addr string) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	silent := server.LocalAddr().String()
	nameServer.Store(&silent)
	t.Cleanup(func() {
		nameServer.Store(nil)
		require.NoError(t, errors.Join(server.Close(), listener.Close()))
	})
	return listener.Addr().String()
}

func TestWaitAndMigrateSayWhatTheyWaitForWhileAnAttemptHangs(t *testing.T) {
	t.Chdir(t.TempDir())
	silent := neverAnswers(t)
	for _, host := range []string{"cassandra.example.com", silent} {
		for _, command := range []string{"wait", "migrate"} {
			code, stdout, stderr := twtr(t, command, "--timeout", "2500ms", "--store", "cassandra", "--cassandra-hosts", host)
			require.Equal(t, 1, code)
			require.Equal(t, "waiting for the store: no response from Cassandra at "+host+" within 1s\n", stdout)
			require.Equal(t, "twtr: gave up after 2.5s: no response from Cassandra at "+host+" within 1s\n", stderr)
		}
	}
	code, stdout, stderr := twtr(t, "migrate", "--store", "cassandra", "--cassandra-hosts", silent)
	require.Equal(t, 1, code)
	require.Equal(t, "waiting for the store: no response from Cassandra at "+silent+" within 1s\n", stdout, "also without a timeout")
	require.Contains(t, stderr, "cassandra does not answer at "+silent)

	code, _, stderr = twtr(t, "migrate")
	require.Equal(t, 0, code, stderr)
	t.Setenv("TEMPORAL_ADDRESS", "temporal.example.com:7233")
	_, stdout, _ = twtr(t, "wait", "--timeout", "2500ms")
	require.Equal(t, "waiting for Temporal: no response from Temporal at temporal.example.com:7233 within 1s\n", stdout)
}
