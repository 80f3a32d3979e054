package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

const followers = 100_000

// receipt is what GET /deliveries/{id} returns.
type receipt struct {
	State            string
	Delivered, Total int64
}

// delivery kills all pods of the feeds workers at once, while they deliver a tweet.
func (t *test) delivery(ctx context.Context) error {
	c := t.newClient("")
	token, err := c.SignUp(ctx, "celebrity")
	if err != nil {
		return err
	}
	if _, err := t.twtr(ctx, "generate", "--followers", fmt.Sprint(followers), "--of", "celebrity"); err != nil {
		return err
	}
	began := time.Now()
	id, err := c.Post(ctx, token, "to everyone", "")
	if err != nil {
		return err
	}
	var progress receipt
	ask := func() error { return c.Call(ctx, http.MethodGet, "/deliveries/"+id, token, nil, &progress) }
	if err := traffic.Eventually(ctx, time.Minute, func() error {
		if err := ask(); err != nil {
			return err
		}
		if progress.Delivered == 0 {
			return fmt.Errorf("nothing is delivered")
		}
		return nil
	}); err != nil {
		return err
	}
	if progress.State != "running" {
		return fmt.Errorf("the delivery was over before a pod could be killed: %+v", progress)
	}
	killedAt := progress.Delivered
	pods, err := t.deployer.run(ctx, "get", "pods", "-l", "app.kubernetes.io/component=feeds", "-o", "name")
	if err != nil {
		return err
	}
	if _, err := t.deployer.run(ctx, append([]string{"delete", "--force", "--grace-period=0"}, strings.Fields(pods)...)...); err != nil {
		return err
	}
	if err := traffic.Eventually(ctx, 3*time.Minute, func() error {
		if err := ask(); err != nil {
			return err
		}
		if progress.State == "running" {
			return fmt.Errorf("%d of %d are delivered", progress.Delivered, progress.Total)
		}
		return nil
	}); err != nil {
		return err
	}
	t.Say("killed at %d, delivered to %d in %.0f s", killedAt, progress.Delivered, time.Since(began).Seconds())
	return t.audit(ctx, id)
}

// audit checks a delivery: the tweet is in each feed that should have it, and in no other.
func (t *test) audit(ctx context.Context, id string) error {
	result, err := t.twtr(ctx, "audit", id, "--timeout=2m")
	if err != nil {
		return err
	}
	t.Say("audit: %s", strings.ReplaceAll(result, "\n", ", "))
	return nil
}
