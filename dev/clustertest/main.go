// Command clustertest checks twtr on a real Kubernetes cluster: it installs the chart as docs/deploy.md says, uses it, breaks
// what may break, and compares what users see with what they were told. It prints a line for each check, with the time it took,
// and stops at the first that fails. `make cluster-test` runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/twtr-dev/twtr/dev/internal/checks"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "clustertest:", err)
		os.Exit(1)
	}
}

func (t *test) checks() []checks.Check {
	return []checks.Check{
		{Name: "Temporal on PostgreSQL is available", Run: t.installTemporal},
		{Name: "the deployer's account is made by setup-k8s.sh", Run: t.makeDeployer},
		{Name: "the deployer can't become more than its namespace", Run: t.attack},
		{Name: "the chart is installed by the deployer", Run: t.install},
		{Name: "helm test passes", Run: t.helmTest},
		{Name: "the README's calls work through the ingress", Run: t.readme},
		{Name: "each client's address survives the ingress", Run: t.clientAddresses},
		{Name: "events: a live feed goes through the ingress at once", Run: t.events},
		{Name: "network policies let through only what they must", Run: t.networkPolicies},
		{Name: "a delivery to 100,000 survives its worker's pod", Run: t.delivery},
		{Name: "an upgrade ramps versioned workers up under load", Run: t.upgrade},
		{Name: "a rollback under load loses nothing", Run: t.rollback},
		{Name: "a migration that fails replaces no pod", Run: t.failedMigration},
		{Name: "keys are rotated without a failed request", Run: t.rotateKeys},
		{Name: "an HPA scales the API by its CPU", Run: t.scaleByCPU},
		{Name: "KEDA scales a worker by its backlog", Run: t.scaleByBacklog},
		{Name: "a backup is restored", Run: t.restore},
		{Name: "three Cassandra nodes survive the loss of one", Run: t.cassandra},
		{Name: "uninstalling leaves the volumes only", Run: t.uninstall},
		// Which needs the Ingress' host, and room on the node.
		{Name: "Temporal and Cassandra with mutual TLS", Run: t.tls},
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("clustertest", flag.ContinueOnError)
	t := &test{}
	t.Runner = checks.Runner{Out: out, Explain: t.explain}
	flags.StringVar(&t.namespace, "namespace", "twtr-dev", "the namespace that setup-k8s.sh makes")
	flags.StringVar(&t.address, "address", "", "host or IP of the ingress controller")
	flags.StringVar(&t.v1, "image", "twtr:v1", "the image to install, which the cluster can pull or has")
	flags.StringVar(&t.v2, "upgrade", "twtr:v2", "the image to upgrade to")
	flags.StringVar(&t.temporal, "temporal", "", "manifests that install Temporal in namespace temporal; empty: it is there")
	only := flags.String("only", "", "a regular expression: only the checks whose names it matches, on what earlier runs left")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := t.init(); err != nil {
		return err
	}
	defer t.close()
	return t.Run(ctx, *only, t.checks())
}
