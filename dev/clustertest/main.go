// Command clustertest checks twtr on a real Kubernetes cluster: it installs the chart as docs/deploy.md says, uses it, breaks
// what may break, and compares what users see with what they were told. It prints a line for each check, with the time it took,
// and stops at the first that fails. `make cluster-test` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "clustertest:", err)
		os.Exit(1)
	}
}

// check is one promise of the documents about a deployment. Checks run in order; each finds the cluster as the last one left it.
type check struct {
	name string
	run  func(*test, context.Context) error
}

func checks() []check {
	return []check{
		{"Temporal on PostgreSQL is available", (*test).installTemporal},
		{"the deployer's account is made by setup-k8s.sh", (*test).makeDeployer},
		{"the deployer can't become more than its namespace", (*test).attack},
		{"the chart is installed by the deployer", (*test).install},
		{"helm test passes", (*test).helmTest},
		{"the README's calls work through the ingress", (*test).readme},
		{"each client's address survives the ingress", (*test).clientAddresses},
		{"network policies let through only what they must", (*test).networkPolicies},
		{"a delivery to 100,000 survives its worker's pod", (*test).delivery},
		{"an upgrade ramps versioned workers up under load", (*test).upgrade},
		{"a rollback under load loses nothing", (*test).rollback},
		{"a migration that fails replaces no pod", (*test).failedMigration},
		{"keys are rotated without a failed request", (*test).rotateKeys},
		{"an HPA scales the API by its CPU", (*test).scaleByCPU},
		{"KEDA scales a worker by its backlog", (*test).scaleByBacklog},
		{"a backup is restored", (*test).restore},
		{"three Cassandra nodes survive the loss of one", (*test).cassandra},
		{"uninstalling leaves the volumes only", (*test).uninstall},
		// Which needs the Ingress' host, and room on the node.
		{"Temporal and Cassandra with mutual TLS", (*test).tls},
	}
}

// errSkipped says that a check could not run, and why.
type errSkipped struct{ reason string }

func (e errSkipped) Error() string { return e.reason }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("clustertest", flag.ContinueOnError)
	t := &test{out: out}
	flags.StringVar(&t.namespace, "namespace", "twtr-dev", "the namespace that setup-k8s.sh makes")
	flags.StringVar(&t.address, "address", "", "host or IP of the ingress controller")
	flags.StringVar(&t.v1, "image", "twtr:v1", "the image to install, which the cluster can pull or has")
	flags.StringVar(&t.v2, "upgrade", "twtr:v2", "the image to upgrade to")
	flags.StringVar(&t.temporal, "temporal", "", "manifests that install Temporal in namespace temporal; empty: it is there")
	only := flags.String("only", "", "a regular expression: only the checks whose names it matches, on what earlier runs left")
	if err := flags.Parse(args); err != nil {
		return err
	}
	which, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if err := t.init(); err != nil {
		return err
	}
	defer t.close()
	began := time.Now()
	var skipped int
	for _, c := range checks() {
		if !which.MatchString(c.name) {
			continue
		}
		started := time.Now()
		err := c.run(t, ctx)
		took := time.Since(started).Seconds()
		if skip := (errSkipped{}); errors.As(err, &skip) {
			fmt.Fprintf(out, "NOT RUN  %5.0f s  %s: %v\n", took, c.name, skip)
			skipped++
		} else if err != nil {
			fmt.Fprintf(out, "FAILED   %5.0f s  %s\n", took, c.name)
			t.explain()
			return fmt.Errorf("%s: %w", c.name, err)
		} else {
			fmt.Fprintf(out, "ok       %5.0f s  %s%s\n", took, c.name, t.takeDetail())
		}
	}
	fmt.Fprintf(out, "all passed in %.0f s, %d not run\n", time.Since(began).Seconds(), skipped)
	return nil
}
