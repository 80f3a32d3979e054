package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/checks"
)

// test is one run against one cluster.
type test struct {
	checks.Runner
	root      string // of the repository
	dir       string // temporary
	namespace string
	address   string // of the ingress controller
	v1, v2    string // images
	temporal  string // manifests

	admin    kubectl // with the current kubeconfig
	deployer kubectl // with the account of setup-k8s.sh
}

// host is the name in the chart's Ingress.
const host = "twtr-dev.com"

func (t *test) init() (err error) {
	if t.root, err = filepath.Abs(".."); err != nil { // go -C dev run
		return err
	}
	if t.dir, err = os.MkdirTemp("", "clustertest"); err != nil {
		return err
	}
	t.admin = kubectl{config: os.Getenv("KUBECONFIG"), root: t.root}
	return nil
}

func (t *test) close() { _ = os.RemoveAll(t.dir) }

// explain prints the pods.
func (t *test) explain() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if pods, err := t.admin.run(ctx, "get", "pods", "-A", "-o", "wide"); err == nil {
		fmt.Fprintln(t.Out, pods)
	}
}

// kubectl runs kubectl, and other commands that use its configuration, as one account.
type kubectl struct {
	config    string // a kubeconfig
	root      string // where commands run
	namespace string // "": the kubeconfig's
}

// in is the same account in another namespace.
func (k kubectl) in(namespace string) kubectl {
	k.namespace = namespace
	return k
}

// run returns what kubectl printed. The error has the last lines of its standard error.
func (k kubectl) run(ctx context.Context, args ...string) (string, error) {
	return k.apply(ctx, "", args...)
}

// apply is run with standard input.
func (k kubectl) apply(ctx context.Context, stdin string, args ...string) (string, error) {
	if k.namespace != "" {
		args = append([]string{"-n", k.namespace}, args...)
	}
	return k.command(ctx, stdin, "kubectl", args...)
}

// command runs another command with the account's kubeconfig.
func (k kubectl) command(ctx context.Context, stdin, name string, args ...string) (string, error) {
	command := checks.Command(ctx, name, args...)
	command.Dir, command.Stdin = k.root, strings.NewReader(stdin)
	command.Env = append(os.Environ(), "KUBECONFIG="+k.config)
	return checks.Output(command)
}

// make runs a target of the Makefile.
func (k kubectl) make(ctx context.Context, target, args string) error {
	_, err := k.command(ctx, "", "make", "--no-print-directory", target, "ARGS="+args)
	return err
}

// twtr runs the binary in a pod of the API.
func (t *test) twtr(ctx context.Context, args ...string) (string, error) {
	return t.deployer.run(ctx, append([]string{"exec", "deploy/twtr-api", "-c", "twtr", "--", "/usr/local/bin/twtr"}, args...)...)
}
