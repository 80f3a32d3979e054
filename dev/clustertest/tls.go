package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/certificates"
	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// tlsSecret creates a Secret with the authority's certificate, and a key and a certificate for the names and addresses given.
func (t *test) tlsSecret(ctx context.Context, ca certificates.Authority, k kubectl, name, address string, hosts ...string) error {
	if address != "" {
		hosts = append(hosts, address)
	}
	certificate, key, err := ca.Issue(name, hosts...)
	if err != nil {
		return err
	}
	args := []string{"create", "secret", "generic", name, "--from-literal", "address=" + address}
	for file, content := range map[string][]byte{
		"ca.crt": ca.PEM(), "tls.crt": certificate, "tls.key": key, "keystore.pem": slices.Concat(key, certificate),
	} {
		path := filepath.Join(t.dir, name+"-"+file)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
		args = append(args, "--from-file", file+"="+path)
	}
	_, err = k.run(ctx, args...)
	return err
}

// The namespaces of the check: the names are in helm/testdata/mtls.yaml.
const tlsNamespace, tlsBackends = "twtr-tls", "twtr-tls-backends"

// tls installs the chart with a Temporal and a Cassandra that want clients' certificates, uses it, and connects without.
func (t *test) tls(ctx context.Context) (err error) {
	defer func() {
		_, failed := t.admin.run(context.WithoutCancel(ctx), "delete", "--ignore-not-found", "--wait=false", "namespace/"+tlsNamespace, "namespace/"+tlsBackends)
		err = errors.Join(err, failed)
	}()
	// An earlier run's may still be there.
	if _, err := t.admin.run(ctx, "delete", "--ignore-not-found", "namespace/"+tlsNamespace, "namespace/"+tlsBackends); err != nil {
		return err
	}
	backends := t.admin.in(tlsBackends)
	deployer, err := t.account(ctx, tlsNamespace, "")
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"create", "namespace", tlsBackends},
		{"create", "service", "clusterip", "cassandra", "--tcp", "9042"},
		{"create", "secret", "generic", "temporal-postgresql", "--from-literal", "password=" + secret()},
		{"apply", "-f", "helm/values/temporal-postgresql.yaml"},
	} {
		if _, err := backends.run(ctx, args...); err != nil {
			return err
		}
	}
	address, err := backends.run(ctx, "get", "service", "cassandra", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return err
	}
	ca, err := certificates.New("clustertest")
	if err != nil {
		return err
	}
	service := func(name string) string { return name + "." + tlsBackends + ".svc" }
	for _, err := range []error{
		t.tlsSecret(ctx, ca, backends, "temporal-tls", "", "temporal.internal", "temporal-frontend", service("temporal-frontend")),
		t.tlsSecret(ctx, ca, backends, "cassandra-tls", address, service("cassandra")),
		t.tlsSecret(ctx, ca, deployer, "temporal-client", "", "twtr"),
		t.tlsSecret(ctx, ca, deployer, "cassandra-client", "", "twtr"),
	} {
		if err != nil {
			return err
		}
	}
	manifests, err := t.admin.run(ctx, "kustomize", "--load-restrictor", "LoadRestrictionsNone", "dev/cluster/tls")
	if err != nil {
		return err
	}
	if _, err := backends.apply(ctx, manifests, "apply", "-f", "-"); err != nil {
		return err
	}
	if _, err := deployer.run(ctx, "create", "secret", "generic", "twtr", "--from-literal", "auth-keys=k1:"+secret(), "--from-literal", "seal-key="+secret()); err != nil {
		return err
	}
	if err := traffic.Eventually(ctx, 3*time.Minute, func() error {
		_, err := backends.run(ctx, "exec", "deploy/temporal-admintools", "--", "temporal", "operator", "namespace", "describe", "default")
		return err
	}); err != nil {
		return err
	}
	for _, what := range []string{"statefulset/cassandra", "deployment/temporal-frontend"} {
		if _, err := backends.run(ctx, "rollout", "status", what, "--timeout=3m"); err != nil {
			return err
		}
	}
	if _, err := deployer.command(ctx, "", "env", "NAMESPACE="+tlsNamespace, "make", "--no-print-directory", "helm-install",
		"ARGS="+t.values(t.v1)+" -f helm/testdata/mtls.yaml --set pods.replicas=1"); err != nil {
		return err
	}
	if err := t.tlsWorks(ctx); err != nil {
		return err
	}
	return t.tlsIsRequired(ctx, backends, deployer)
}

// tlsWorks signs two users up, and has a tweet of one delivered to the other, which takes every process.
func (t *test) tlsWorks(ctx context.Context) error {
	if err := t.served(ctx); err != nil {
		return err
	}
	c := t.newClient("")
	author, err := c.SignUp(ctx, "tls_author")
	if err != nil {
		return err
	}
	follower, err := c.SignUp(ctx, "tls_follower")
	if err != nil {
		return err
	}
	if err := c.Follow(ctx, follower, "tls_author"); err != nil {
		return err
	}
	id, err := c.Post(ctx, author, "encrypted on its way", "")
	if err != nil {
		return err
	}
	return traffic.Eventually(ctx, 10*time.Second, func() error {
		ids, err := c.Feed(ctx, follower)
		if err == nil && (len(ids) != 1 || ids[0] != id) {
			err = fmt.Errorf("the feed has %v, and not %s", ids, id)
		}
		return err
	})
}

// tlsIsRequired connects without what the servers ask for.
func (t *test) tlsIsRequired(ctx context.Context, backends, deployer kubectl) error {
	temporal := func(without ...string) error {
		args := []string{"exec", "deploy/temporal-admintools", "--", "env"}
		for _, variable := range without {
			args = append(args, "-u", "TEMPORAL_TLS_"+variable)
		}
		_, err := backends.run(ctx, append(args, "temporal", "operator", "namespace", "describe", "-n", "default", "--command-timeout", "5s")...)
		return err
	}
	cassandra := func(flags ...string) error {
		_, err := deployer.run(ctx, append([]string{"exec", "deploy/twtr-api", "-c", "twtr", "--", "/usr/local/bin/twtr", "wait", "--timeout", "8s"}, flags...)...)
		return err
	}
	for _, connection := range []struct {
		name    string
		err     error
		refusal string // "": it is accepted
	}{
		{"Temporal with a certificate", temporal(), ""},
		// With TLS 1.3 the client may learn the reason, or only that the connection is closed.
		{"Temporal without a certificate", temporal("CLIENT_CERT_PATH", "CLIENT_KEY_PATH"), "failed reaching server"},
		{"Temporal without TLS", temporal("CLIENT_CERT_PATH", "CLIENT_KEY_PATH", "SERVER_CA_CERT_PATH"), "failed reaching server"},
		{"Cassandra with a certificate", cassandra(), ""},
		{"Cassandra without a certificate", cassandra("--cassandra-tls-cert=", "--cassandra-tls-key="), "gave up after"},
		{"Cassandra without TLS", cassandra("--cassandra-tls=false", "--cassandra-tls-ca=", "--cassandra-tls-cert=", "--cassandra-tls-key="), "gave up after"},
	} {
		switch {
		case connection.refusal == "" && connection.err != nil:
			return fmt.Errorf("%s: %w", connection.name, connection.err)
		case connection.refusal != "" && connection.err == nil:
			return fmt.Errorf("%s: it is accepted", connection.name)
		case connection.refusal != "" && !strings.Contains(connection.err.Error(), connection.refusal):
			return fmt.Errorf("%s: not refused for the expected reason: %w", connection.name, connection.err)
		}
	}
	return nil
}
