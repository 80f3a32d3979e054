//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// cassandraNodes is how many nodes run: the fewest of which one can fail.
const cassandraNodes = 3

// nodeNetwork is the first three numbers of the nodes' addresses, so that others on this machine do not matter.
const nodeNetwork = "127.0.3"

// nodeAddr is where a node, which counts from 1, listens for clients.
func nodeAddr(node int) string { return fmt.Sprintf("%s.%d:9042", nodeNetwork, node) }

// nodes are the Cassandra nodes of scripts/cassandra.sh.
type nodes struct {
	script string
	dir    string
}

// start starts those nodes that do not run, and returns when they are ready.
func (n *nodes) start(ctx context.Context) error {
	return n.run(ctx, "start", strconv.Itoa(cassandraNodes))
}

func (n *nodes) stop(ctx context.Context) error { return n.run(ctx, "stop") }

func (n *nodes) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, n.script, args...)
	// The nodes tell clients to connect to the proxies.
	cmd.Env = append(os.Environ(), "TWTR_CASSANDRA_DIR="+n.dir, "TWTR_CASSANDRA_NETWORK="+nodeNetwork, "TWTR_CASSANDRA_CLIENTS="+proxyNetwork)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", n.script, strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return nil
}

// signal sends a signal to a node, which counts from 1.
func (n *nodes) signal(node int, s syscall.Signal) error {
	text, err := os.ReadFile(filepath.Join(n.dir, fmt.Sprintf("node%d", node), "pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	return syscall.Kill(pid, s)
}
