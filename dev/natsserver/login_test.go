package natsserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/dev/internal/certificates"
	"github.com/twtr-dev/twtr/internal/events"
)

func TestAServerThatWantsALoginOrTLSGetsThem(t *testing.T) {
	dir := t.TempDir()
	authority, err := certificates.New("ca")
	require.NoError(t, err)
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	own, ownKey, err := authority.Issue("nats", "127.0.0.1")
	require.NoError(t, err)
	pair, err := tls.X509KeyPair(own, ownKey)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(authority.PEM()))
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true, Username: "twtr", Password: "hush",
		TLS: true, TLSVerify: true, TLSTimeout: 5,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert},
	})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(s.Shutdown)
	require.True(t, s.ReadyForConnections(10*time.Second))

	certificate, key, err := authority.Issue("client")
	require.NoError(t, err)
	good := events.Options{
		Username: "twtr", Password: "hush", CAFile: file("ca.crt", authority.PEM()), CertFile: file("tls.crt", certificate), KeyFile: file("tls.key", key),
	}
	dial := func(change func(*events.Options)) *events.Conn {
		o := good
		change(&o)
		c, err := events.Connect("tls://"+s.Addr().String(), o)
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}
	c := dial(func(*events.Options) {})
	require.NoError(t, c.Migrate(t.Context(), config))
	refused := []*events.Conn{
		dial(func(o *events.Options) { o.Password = "other" }),
		dial(func(o *events.Options) { o.CAFile = "" }),
		dial(func(o *events.Options) { o.CertFile, o.KeyFile = "", "" }),
	}
	require.Never(t, func() bool { return refused[0].IsConnected() || refused[1].IsConnected() || refused[2].IsConnected() }, 2*time.Second, 10*time.Millisecond)
	for _, c := range refused {
		require.Error(t, c.LastError())
	}
	_, err = events.Connect("tls://"+s.Addr().String(), events.Options{CAFile: filepath.Join(dir, "none")})
	require.Error(t, err)
}
