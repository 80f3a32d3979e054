package cassandra

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/stretchr/testify/require"
)

// authority is a CA whose files are in dir.
type authority struct {
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

func newAuthority(t *testing.T) authority {
	a := authority{dir: t.TempDir()}
	a.certificate, a.key, a.file, _ = a.issue(t, "ca", nil)
	return a
}

// issue makes a certificate for that host, signed by the authority or, if that is new, by itself.
func (a authority) issue(t *testing.T, name string, ips []net.IP) (c *x509.Certificate, key *ecdsa.PrivateKey, certFile, keyFile string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: ips,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(t, err)
	c, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return c, key, certFile, keyFile
}

// tlsProxy accepts TLS connections of clients with a certificate of the authority, and passes them on to Cassandra.
func tlsProxy(t *testing.T, a authority, certFile, keyFile, cassandra string) (addr string) {
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	clients := x509.NewCertPool()
	clients.AddCert(a.certificate)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	})
	require.NoError(t, err)
	var wg sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer client.Close()
				server, err := net.Dial("tcp", cassandra)
				if err != nil {
					return
				}
				wg.Go(func() {
					_, _ = io.Copy(client, server)
					client.Close()
				})
				_, _ = io.Copy(server, client) // either end may close it
				server.Close()
			})
		}
	})
	return listener.Addr().String()
}

func TestTLSWantsACertificateOfItsCAAndForTheHostAndSendsItsOwn(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	cassandra := c.Hosts[0]
	if !strings.Contains(cassandra, ":") {
		cassandra += ":9042"
	}
	ours, theirs := newAuthority(t), newAuthority(t)
	_, _, clientCert, clientKey := ours.issue(t, "client", nil)
	_, _, theirCert, theirKey := theirs.issue(t, "client", nil)
	_, _, forAddress, forAddressKey := ours.issue(t, "address", []net.IP{net.IPv4(127, 0, 0, 1)})
	_, _, forName, forNameKey := ours.issue(t, "cassandra.example", nil)
	right := tlsProxy(t, ours, forAddress, forAddressKey, cassandra)
	other := tlsProxy(t, ours, forName, forNameKey, cassandra)
	good := TLSConfig{Enabled: true, CAFile: ours.file, CertFile: clientCert, KeyFile: clientKey, VerifyHost: true}
	for name, test := range map[string]struct {
		proxy  string
		change func(*TLSConfig)
		want   string
	}{
		"all right":                           {right, func(*TLSConfig) {}, ""},
		"another CA":                          {right, func(c *TLSConfig) { c.CAFile = theirs.file }, "certificate signed by unknown authority"},
		"another CA, any host":                {right, func(c *TLSConfig) { c.CAFile, c.VerifyHost = theirs.file, false }, "certificate signed by unknown authority"},
		"the system's CAs":                    {right, func(c *TLSConfig) { c.CAFile = "" }, "certificate signed by unknown authority"},
		"another host's certificate":          {other, func(*TLSConfig) {}, "x509: cannot validate certificate for 127.0.0.1"},
		"another host's certificate, allowed": {other, func(c *TLSConfig) { c.VerifyHost = false }, ""},
		"no certificate of the client":        {right, func(c *TLSConfig) { c.CertFile, c.KeyFile = "", "" }, "tls: certificate required"},
		"another CA's client":                 {right, func(c *TLSConfig) { c.CertFile, c.KeyFile = theirCert, theirKey }, "tls: "},
		"no file":                             {right, func(c *TLSConfig) { c.CAFile = "/no/file" }, "TLS to cassandra: read the CA's certificates: open /no/file: "},
		"no certificate in the file":          {right, func(c *TLSConfig) { c.CAFile = clientKey }, "TLS to cassandra: there is no certificate in " + clientKey},
		"a certificate without its key":       {right, func(c *TLSConfig) { c.KeyFile = "" }, "TLS to cassandra: read the client's certificate and key: "},
		"no TLS":                              {right, func(c *TLSConfig) { c.Enabled = false }, "cassandra does not answer at"},
	} {
		t.Run(name, func(t *testing.T) {
			c := c
			c.Hosts, c.TLS = []string{test.proxy}, good
			test.change(&c.TLS)
			// The driver asks Cassandra for the addresses of its nodes, which are not the proxy's.
			c.adjust = func(cluster *gocql.ClusterConfig) {
				cluster.DisableInitialHostLookup = true
				cluster.ConnectTimeout = time.Second
			}
			s, err := Open(t.Context(), c)
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				require.NotContains(t, err.Error(), "\n")
				return
			}
			require.NoError(t, err)
			defer s.Close()
			require.NoError(t, s.Ping(t.Context()))
		})
	}
}
