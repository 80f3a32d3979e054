package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// secret makes one as docs/deploy.md does with openssl.
func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (t *test) installTemporal(ctx context.Context) error {
	k := t.admin.in("temporal")
	if t.temporal != "" {
		if _, err := t.admin.run(ctx, "create", "namespace", "temporal"); err != nil {
			return err
		}
		if _, err := k.run(ctx, "create", "secret", "generic", "temporal-postgresql", "--from-literal", "password="+secret()); err != nil {
			return err
		}
		for _, manifests := range []string{"helm/values/temporal-postgresql.yaml", "helm/values/temporal-networkpolicies.yaml", t.temporal} {
			if _, err := k.run(ctx, "apply", "-f", manifests); err != nil {
				return err
			}
		}
	}
	if _, err := k.run(ctx, "rollout", "status", "statefulset/temporal-postgresql", "--timeout=3m"); err != nil {
		return err
	}
	if _, err := k.run(ctx, "rollout", "status", "deployment/temporal-frontend", "--timeout=3m"); err != nil {
		return err
	}
	return traffic.Eventually(ctx, time.Minute, func() error {
		_, err := t.temporalCLI(ctx, "operator", "namespace", "describe", "default")
		return err
	})
}

// temporalCLI runs the Temporal CLI in the cluster.
func (t *test) temporalCLI(ctx context.Context, args ...string) (string, error) {
	return t.admin.in("temporal").run(ctx, append([]string{"exec", "deploy/temporal-admintools", "--", "temporal"}, args...)...)
}

func (t *test) makeDeployer(ctx context.Context) (err error) {
	t.deployer, err = t.account(ctx, t.namespace, "")
	return err
}

// values are the arguments for helm that fit the chart to one node with 2 CPUs, which also runs Temporal and the load.
func (t *test) values(image string) string {
	repository, tag, _ := strings.Cut(image, ":")
	return fmt.Sprintf("-f dev/clustertest/values.yaml --set image.repository=%s --set image.tag=%s", repository, tag)
}

func (t *test) install(ctx context.Context) error {
	if _, err := t.deployer.run(ctx, "create", "secret", "generic", "twtr",
		"--from-literal", "auth-keys=k1:"+secret(), "--from-literal", "seal-key="+secret()); err != nil {
		return err
	}
	if err := t.deployer.make(ctx, "helm-install", t.values(t.v1)); err != nil {
		return err
	}
	return t.served(ctx)
}

// served checks that the API is reached through the ingress.
func (t *test) served(ctx context.Context) error {
	return traffic.Eventually(ctx, 20*time.Second, func() error { return t.get(ctx, "/healthz", "ok") })
}

// get checks that a path answers 200, with that text.
func (t *test) get(ctx context.Context, path, want string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+path, nil)
	if err != nil {
		return err
	}
	response, err := t.newClient("").HTTP.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || strings.TrimSpace(body.String()) != want {
		return fmt.Errorf("GET %s: %s: %.200s", path, response.Status, body.String())
	}
	return nil
}

func (t *test) helmTest(ctx context.Context) error {
	_, err := t.deployer.command(ctx, "", "helm", "test", "twtr", "-n", t.namespace)
	return err
}

// readme runs the README's examples.
func (t *test) readme(ctx context.Context) error {
	calls, err := traffic.Readme(ctx, filepath.Join(t.root, "README.md"), strings.NewReplacer(
		"curl ", fmt.Sprintf("curl --fail-with-body --resolve %s:80:%s ", host, t.address), "localhost:3002", host))
	t.Say("%d calls", calls)
	return err
}
