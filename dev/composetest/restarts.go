package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// crashes are the services whose process is also killed: one of each kind.
var crashes = []string{"api", "worker-tweets", "temporal", "postgresql", "cassandra"}

// recovery bounds the time from the restart of a container until all services are healthy and all kinds of requests succeed.
const recovery = 2 * time.Minute

func (t *test) restart(ctx context.Context, service string) error {
	return t.underLoad(ctx, service, func() error {
		_, err := t.docker(ctx, "compose", "restart", service)
		return err
	})
}

// crash kills the container's process. It doesn't use `docker kill`, after which the engine restarts no container.
func (t *test) crash(ctx context.Context, service string) error {
	return t.underLoad(ctx, service, func() error {
		c, err := t.container(ctx, service)
		if err != nil {
			return err
		}
		state, err := t.docker(ctx, "inspect", "--format", "{{.State.Pid}} {{.RestartCount}}", c.ID)
		if err != nil {
			return err
		}
		pid, count, _ := strings.Cut(state, " ")
		if _, err := t.inNamespaceOf(ctx, "host", "kill -KILL "+pid); err != nil {
			return err
		}
		return traffic.Eventually(ctx, 20*time.Second, func() error {
			now, err := t.docker(ctx, "inspect", "--format", "{{.RestartCount}}", c.ID)
			if err == nil && now == count {
				err = errors.New("the engine has not restarted it")
			}
			return err
		})
	})
}

// underLoad does something to a service while clients use the API.
func (t *test) underLoad(ctx context.Context, service string, do func() error) error {
	t.loads++
	load, err := traffic.StartLoad(ctx, t.client, fmt.Sprintf("load%d", t.loads))
	if err != nil {
		return err
	}
	defer load.Stop()
	if err := load.AwaitSuccess(ctx, 30*time.Second); err != nil {
		return fmt.Errorf("before: %w", err)
	}
	if err := do(); err != nil {
		return err
	}
	began := time.Now()
	if err := traffic.Eventually(ctx, recovery, func() error { return t.healthy(ctx) }); err != nil {
		return err
	}
	if err := load.AwaitSuccess(ctx, recovery-time.Since(began)); err != nil {
		return err
	}
	t.Say("recovered after %.0f s", time.Since(began).Seconds())
	err = load.Finish(ctx, func(err error) bool { return tolerable(err, service) })
	t.Say("%s", load.Summary())
	return err
}

// tolerable tells if a client may see this while a service restarts. The only API may give no answer while it restarts; otherwise each
// request is answered, and those that fail with 503 and the time after which to try again.
func tolerable(err error, service string) bool {
	var refused *traffic.Refused
	if errors.As(err, &refused) {
		return refused.Code == http.StatusServiceUnavailable && refused.RetryAfter != ""
	}
	return service == "api" && !errors.Is(err, context.DeadlineExceeded)
}

func (t *test) downAndUp(ctx context.Context) error {
	var author, follower string
	if err := traffic.Eventually(ctx, 10*time.Second, func() (err error) {
		if author, err = t.client.SignUp(ctx, "kept_author"); err != nil {
			return err
		}
		if follower, err = t.client.SignUp(ctx, "kept_follower"); err != nil {
			return err
		}
		return t.client.Follow(ctx, follower, "kept_author")
	}); err != nil {
		return err
	}
	var posted []string
	for range 3 {
		id, err := t.client.Post(ctx, author, "before", "")
		if err != nil {
			return err
		}
		posted = slices.Insert(posted, 0, id)
	}
	feed := func() error {
		got, err := t.client.Feed(ctx, follower)
		if err == nil && !slices.Equal(got, posted) {
			err = fmt.Errorf("the feed has the tweets %v, not %v", got, posted)
		}
		return err
	}
	if err := traffic.Eventually(ctx, 10*time.Second, feed); err != nil {
		return err
	}
	before, err := t.workflows(ctx)
	if err != nil {
		return err
	}
	if _, err := t.command(ctx, "make", "--no-print-directory", "down"); err != nil {
		return err
	}
	if left, err := t.containers(ctx, true); err != nil {
		return err
	} else if len(left) > 0 {
		return fmt.Errorf("containers after make down: %v", left)
	}
	if err := t.up(ctx); err != nil {
		return err
	}
	if err := feed(); err != nil {
		return err
	}
	if follower, err = t.client.LogIn(ctx, "kept_follower"); err != nil {
		return err
	}
	if err := feed(); err != nil {
		return err
	}
	after, err := t.workflows(ctx)
	if err != nil {
		return err
	}
	for _, id := range before {
		if !slices.Contains(after, id) {
			return fmt.Errorf("the Web UI no longer lists the workflow %s", id)
		}
	}
	t.Say("%d workflows", len(after))
	return nil
}

func (t *test) removeAll(ctx context.Context) error {
	if _, err := t.docker(ctx, "compose", "down", "--volumes"); err != nil {
		return err
	}
	project, err := t.docker(ctx, "compose", "config", "--format", "json")
	if err != nil {
		return err
	}
	_, name, _ := strings.Cut(project, `"name": "`)
	name, _, _ = strings.Cut(name, `"`)
	for _, kind := range []string{"container", "volume", "network"} {
		left, err := t.docker(ctx, kind, "ls", "--quiet", "--filter", "label=com.docker.compose.project="+name)
		if err != nil {
			return err
		}
		if left != "" {
			return fmt.Errorf("%ss after docker compose down --volumes: %s", kind, left)
		}
	}
	return nil
}
