package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// natsNamespace is not the one of a NATS that an existing cluster may have.
const natsNamespace = "twtr-nats"

// withEvents are the arguments for helm with which the release publishes to that NATS.
const withEvents = " -f dev/clustertest/events.yaml"

// events installs NATS, turns events on by an upgrade, and reads a live feed through the ingress.
func (t *test) events(ctx context.Context) error {
	nats, password := t.admin.in(natsNamespace), secret()
	for _, command := range []struct {
		k    kubectl
		args []string
	}{
		{t.admin, []string{"create", "namespace", natsNamespace}},
		{nats, []string{"create", "secret", "generic", "twtr-nats", "--from-literal", "password=" + password}},
		{t.deployer, []string{"create", "secret", "generic", "twtr-nats", "--from-literal", "username=twtr", "--from-literal", "password=" + password}},
		{nats, []string{"apply", "-f", "dev/cluster/nats.yaml"}},
	} {
		if _, err := command.k.run(ctx, command.args...); err != nil {
			return err
		}
	}
	// The migration waits for NATS, and the pods for the schema alone.
	if err := t.deployer.make(ctx, "helm-upgrade", withEvents); err != nil {
		return err
	}
	if _, err := nats.run(ctx, "rollout", "status", "statefulset/nats", "--timeout=3m"); err != nil {
		return err
	}
	if err := traffic.Eventually(ctx, 30*time.Second, func() error { return t.published(ctx, 0) }); err != nil {
		return fmt.Errorf("the migration: %w", err)
	}
	longest, err := traffic.LiveFeed(ctx, t.newClient(""), "live")
	if err != nil {
		return err
	}
	t.Say("from POST to event at most %d ms", longest.Milliseconds())
	// Of each tweet two: it is posted, and its delivery is over.
	return traffic.Eventually(ctx, 10*time.Second, func() error { return t.published(ctx, 2*traffic.LiveTweets) })
}

// published checks that the stream of events is on three servers and has at least so many.
func (t *test) published(ctx context.Context, want int) error {
	out, err := t.admin.in(natsNamespace).run(ctx, "exec", "nats-0", "-c", "nats", "--",
		"wget", "-q", "-O", "-", "http://127.0.0.1:8222/jsz?streams=true&config=true")
	if err != nil {
		return err
	}
	var server struct {
		Accounts []struct {
			Streams []struct {
				Name   string
				Config struct {
					Replicas int `json:"num_replicas"`
				}
				State struct{ Messages int }
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	if err := json.Unmarshal([]byte(out), &server); err != nil {
		return err
	}
	for _, account := range server.Accounts {
		for _, stream := range account.Streams {
			if stream.Name != "twtr" {
				continue
			}
			if stream.Config.Replicas != 3 || stream.State.Messages < want {
				return fmt.Errorf("the stream is on %d servers and has %d events; want at least %d", stream.Config.Replicas, stream.State.Messages, want)
			}
			return nil
		}
	}
	return errors.New("NATS has no stream twtr")
}
