package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// failedMigration upgrades a second release, on the first one's Cassandra as on nodes of its own, with a migration that fails.
func (t *test) failedMigration(ctx context.Context) error {
	k := t.deployer
	const release = "RELEASE=hooked"
	// As the owner of the nodes allows it.
	if _, err := k.apply(ctx, `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: hooked-cassandra}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/instance: twtr, app.kubernetes.io/component: cassandra}}
  policyTypes: [Ingress]
  ingress:
    - ports: [{port: 9042}]
      from: [{podSelector: {matchLabels: {app.kubernetes.io/instance: hooked}}}]
`, "apply", "-f", "-"); err != nil {
		return err
	}
	file := filepath.Join(t.dir, "hooked.yaml")
	if err := os.WriteFile(file, []byte(`
cassandra:
  bundled: {enabled: false}
  hosts: [twtr-cassandra]
  keyspace: hooked
  replication: "{'class': 'SimpleStrategy', 'replication_factor': 1}"
ingress: {enabled: false}
pods: {replicas: 1}
workers: {users: null, tweets: null, followers: null}
`), 0o600); err != nil {
		return err
	}
	values := t.values(t.v1) + " -f " + file
	if _, err := k.command(ctx, "", "make", release, "helm-install", "ARGS="+values); err != nil {
		return err
	}
	pods := func() (string, error) {
		return k.run(ctx, "get", "pods", "-l", "app.kubernetes.io/instance=hooked,twtr-dev.com/role!=migrate", "-o", "name")
	}
	before, err := pods()
	if err != nil {
		return err
	}
	// Cassandra lets no one change its own keyspace.
	if _, err := k.command(ctx, "", "make", release, "helm-upgrade",
		"ARGS=--set cassandra.keyspace=system --set image.tag="+tag(t.v2)); err == nil {
		return fmt.Errorf("the upgrade passed although its migration must fail")
	}
	after, err := pods()
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("the pods were\n%s\nand are now\n%s", before, after)
	}
	if _, err := k.command(ctx, "", "make", release, "helm-purge"); err != nil {
		return err
	}
	if _, err := k.run(ctx, "delete", "networkpolicy", "hooked-cassandra"); err != nil {
		return err
	}
	return t.leaves(ctx, "hooked", "")
}
