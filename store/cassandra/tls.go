package cassandra

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLSConfig says how to speak TLS with Cassandra.
type TLSConfig struct {
	Enabled bool
	// CAFile has the certificates (PEM) that a node's certificate must be signed by; empty: those of the system.
	CAFile string
	// CertFile and KeyFile (PEM) are the client's own certificate, for a Cassandra that requires one; empty: none.
	CertFile string
	KeyFile  string
	// VerifyHost wants a node's certificate to be for the host name or address that it was found by. Without it any
	// certificate of that CA will do.
	VerifyHost bool
}

func (c TLSConfig) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA's certificates: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("there is no certificate in %s", c.CAFile)
		}
	}
	if c.CertFile != "" || c.KeyFile != "" {
		certificate, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the client's certificate and key: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	if !c.VerifyHost {
		// This turns off crypto/tls's own check, of the name and of the CA. We do the second one.
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(config.RootCAs, state.PeerCertificates) }
	}
	return config, nil
}

// describe says how the driver connects: a node that wants TLS, or another client certificate, may close the connection without a
// reason.
func (c TLSConfig) describe() string {
	switch {
	case !c.Enabled:
		return "without TLS"
	case c.CertFile == "":
		return "with TLS, without a client certificate"
	default:
		return "with TLS and a client certificate"
	}
}

func verifyChain(roots *x509.CertPool, certificates []*x509.Certificate) error {
	if len(certificates) == 0 {
		return errors.New("the server sent no certificate")
	}
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range certificates[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := certificates[0].Verify(options)
	return err
}
