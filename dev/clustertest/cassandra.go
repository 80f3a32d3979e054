package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

func (t *test) nodetool(ctx context.Context, node int, args ...string) (string, error) {
	return t.deployer.run(ctx, append([]string{"exec", fmt.Sprintf("twtr-cassandra-%d", node), "-c", "cassandra", "--", "nodetool"}, args...)...)
}

func (t *test) cqlsh(ctx context.Context, statement string) (string, error) {
	return t.deployer.run(ctx, "exec", "twtr-cassandra-0", "-c", "cassandra", "--", "cqlsh", "-e", statement)
}

// cassandra adds two nodes as docs/deploy.md says, and then deletes one of them under load.
func (t *test) cassandra(ctx context.Context) error {
	if err := t.deployer.make(ctx, "helm-upgrade", "--set cassandra.bundled.nodes=3"); err != nil {
		return err
	}
	if _, err := t.deployer.run(ctx, "rollout", "status", "statefulset/twtr-cassandra", "--timeout=10m"); err != nil {
		return err
	}
	if _, err := t.cqlsh(ctx, "ALTER KEYSPACE twtr WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}"); err != nil {
		return err
	}
	if err := t.repair(ctx); err != nil {
		return err
	}
	load, err := t.startLoad(ctx, "nodes")
	if err != nil {
		return err
	}
	_, err = t.deployer.run(ctx, "delete", "pod", "twtr-cassandra-1", "--force", "--grace-period=0")
	if err == nil {
		err = traffic.Wait(ctx, 10*time.Second)
	}
	if err := errors.Join(err, load.Finish(ctx, nil)); err != nil {
		return err
	}
	t.Say("a node down: %s", load.Summary())
	if err := traffic.Eventually(ctx, 3*time.Minute, func() error {
		status, err := t.nodetool(ctx, 0, "status")
		if err == nil && strings.Count(status, "\nUN ") != 3 {
			err = fmt.Errorf("not three nodes are up: %s", status)
		}
		return err
	}); err != nil {
		return err
	}
	return t.repair(ctx)
}

func (t *test) repair(ctx context.Context) error {
	for node := range 3 {
		if _, err := t.nodetool(ctx, node, "repair", "-full", "twtr"); err != nil {
			return err
		}
	}
	return nil
}
