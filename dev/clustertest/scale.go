package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/checks"
	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// scaleByCPU reads from the API until its HorizontalPodAutoscaler adds pods.
func (t *test) scaleByCPU(ctx context.Context) error {
	if _, err := t.admin.run(ctx, "get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"); err != nil {
		return checks.NotRun("the cluster has no metrics server")
	}
	if err := t.deployer.make(ctx, "helm-upgrade",
		"--set api.autoscaling.type=hpa --set api.autoscaling.minReplicas=2 --set api.autoscaling.maxReplicas=3 --set api.autoscaling.cpuPercent=50"); err != nil {
		return err
	}
	began := time.Now()
	busy, stop := context.WithCancel(ctx)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			c := t.newClient("")
			for busy.Err() == nil {
				_, _ = c.Send(busy, http.MethodGet, "/users/celebrity", traffic.Bearer(""), nil) // too many requests are requests, too
			}
		})
	}
	err := traffic.Eventually(ctx, 3*time.Minute, func() error { return t.replicas(ctx, "twtr-api", 3) })
	stop()
	clients.Wait()
	if err != nil {
		return err
	}
	t.Say("a third pod after %.0f s", time.Since(began).Seconds())
	return nil
}

// replicas checks that a Deployment has at least so many ready pods.
func (t *test) replicas(ctx context.Context, deployment string, want int) error {
	text, err := t.deployer.run(ctx, "get", "deploy", deployment, "-o", "jsonpath={.status.readyReplicas}")
	if err != nil {
		return err
	}
	if got, _ := strconv.Atoi(text); got < want {
		return fmt.Errorf("%s has %d ready pods", deployment, got)
	}
	return nil
}

// scaleByBacklog makes more work than the feeds workers can take at once, until KEDA adds pods.
func (t *test) scaleByBacklog(ctx context.Context) error {
	if _, err := t.admin.run(ctx, "get", "crd", "scaledobjects.keda.sh"); err != nil {
		return checks.NotRun("the cluster has no KEDA")
	}
	// The rights that the deployer gets on request only.
	if _, err := t.admin.command(ctx, "", "env", "WITH=keda", "scripts/setup-k8s.sh"); err != nil {
		return err
	}
	// Two activities at a time per worker, the fewest there can be, and a pod for each task that waits.
	if err := t.deployer.make(ctx, "helm-upgrade", "--set api.autoscaling.type=none "+
		"--set workers.feeds.autoscaling.type=keda --set workers.feeds.autoscaling.minReplicas=1 "+
		"--set workers.feeds.autoscaling.maxReplicas=3 --set workers.feeds.autoscaling.queueSize=1 "+
		`--set settings.worker\.max_activities=2 --set settings.feed\.rows_per_second=1000`); err != nil {
		return err
	}
	began := time.Now()
	c := t.newClient("")
	token, err := c.SignUp(ctx, "celebrity")
	if err != nil {
		return err
	}
	var ids []string
	for range 3 {
		id, err := c.Post(ctx, token, "more than one worker can take", "")
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := traffic.Eventually(ctx, 3*time.Minute, func() error { return t.replicas(ctx, "twtr-feeds", 3) }); err != nil {
		return err
	}
	t.Say("three pods after %.0f s", time.Since(began).Seconds())
	// Deleted, so that they need not be delivered to the end.
	for _, id := range ids {
		if err := c.Call(ctx, http.MethodDelete, "/tweets/"+id, token, nil, nil); err != nil {
			return err
		}
	}
	return nil // the next check installs the chart anew
}
