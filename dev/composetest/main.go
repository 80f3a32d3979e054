// Command composetest checks twtr as containers, as docker-compose.yml describes it: it starts them with `make up`, uses the API as
// README.md does, restarts and crashes each container under load, and compares what users see with what they were told. It prints a
// line for each check, with the time it took, and stops at the first that fails. `make compose-test` runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/twtr-dev/twtr/dev/internal/checks"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	directory := flag.String("project", "", "a copy of the repository, with a .env of its own; COMPOSE_PROJECT_NAME names its project")
	only := flag.String("only", "", "a regular expression: only the checks whose names it matches")
	flag.Parse()
	t := newTest(*directory)
	if err := t.Run(ctx, *only, t.checks()); err != nil {
		fmt.Fprintln(os.Stderr, "composetest:", err)
		os.Exit(1)
	}
}

func (t *test) checks() []checks.Check {
	all := []checks.Check{
		{Name: "make up returns when all services are healthy", Run: t.up},
		{Name: "the README's calls work", Run: t.readme},
		{Name: "the Web UI lists the workflow of the tweet", Run: t.webUI},
		{Name: "ports are open on 127.0.0.1 only", Run: t.ports},
		{Name: "processes have no root, ours no capabilities and a read-only file system", Run: t.privileges},
	}
	for _, service := range services {
		all = append(all, checks.Check{Name: service + " restarts under load", Run: func(ctx context.Context) error { return t.restart(ctx, service) }})
	}
	for _, service := range crashes {
		all = append(all, checks.Check{Name: service + " crashes under load", Run: func(ctx context.Context) error { return t.crash(ctx, service) }})
	}
	return append(all,
		checks.Check{Name: "events: NATS starts, and a live feed has each tweet at once", Run: t.events},
		checks.Check{Name: "make down keeps the data, and make up finds it", Run: t.downAndUp},
		checks.Check{Name: "docker compose down --volumes leaves nothing", Run: t.removeAll},
	)
}
