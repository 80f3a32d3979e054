// Command composetest checks twtr as containers, as docker-compose.yml describes it: it starts them with `make up`, uses the API as
// README.md does, restarts and crashes each container under load, and compares what users see with what they were told. It prints a
// line for each check, with the time it took, and stops at the first that fails. `make compose-test` runs it.
package main

import (
	"context"
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
	directory := flag.String("project", "", "a copy of the repository, with a .env of its own; COMPOSE_PROJECT_NAME names its project")
	only := flag.String("only", "", "a regular expression: only the checks whose names it matches")
	flag.Parse()
	if err := run(ctx, *directory, *only, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "composetest:", err)
		os.Exit(1)
	}
}

// check is one promise of the documents. Checks run in order; each finds the containers as the last one left them.
type check struct {
	name string
	run  func(*test, context.Context) error
}

func checks() []check {
	all := []check{
		{"make up returns when all services are healthy", (*test).up},
		{"the README's calls work", (*test).readme},
		{"the Web UI lists the workflow of the tweet", (*test).webUI},
		{"ports are open on 127.0.0.1 only", (*test).ports},
		{"processes have no root, ours no capabilities and a read-only file system", (*test).privileges},
	}
	for _, service := range services {
		all = append(all, check{service + " restarts under load", func(t *test, ctx context.Context) error { return t.restart(ctx, service) }})
	}
	for _, service := range crashes {
		all = append(all, check{service + " crashes under load", func(t *test, ctx context.Context) error { return t.crash(ctx, service) }})
	}
	return append(all,
		check{"make down keeps the data, and make up finds it", (*test).downAndUp},
		check{"docker compose down --volumes leaves nothing", (*test).removeAll},
	)
}

func run(ctx context.Context, directory, only string, out io.Writer) error {
	t := newTest(directory)
	which, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	began := time.Now()
	for _, c := range checks() {
		if !which.MatchString(c.name) {
			continue
		}
		started := time.Now()
		err := c.run(t, ctx)
		took := time.Since(started).Seconds()
		if err != nil {
			fmt.Fprintf(out, "FAILED   %5.1f s  %s\n", took, c.name)
			t.explain(out)
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(out, "ok       %5.1f s  %s%s\n", took, c.name, t.takeDetail())
	}
	fmt.Fprintf(out, "all passed in %.0f s\n", time.Since(began).Seconds())
	return nil
}
