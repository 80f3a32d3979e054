package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// events turns events on as docs/events.md says, and reads a live feed. They stay on.
func (t *test) events(ctx context.Context) error {
	file := filepath.Join(t.directory, ".env")
	env, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(env, "COMPOSE_PROFILES=events\nTWTR_EVENTS_URL=nats://nats:4222\n"...), 0o600); err != nil {
		return err
	}
	t.services = append(slices.Clone(services), "nats")
	if _, err := t.command(ctx, "make", "--no-print-directory", "up"); err != nil {
		return err
	}
	// The command does not wait for NATS' health check.
	if err := traffic.Eventually(ctx, recovery, func() error { return t.healthy(ctx) }); err != nil {
		return err
	}
	longest, err := traffic.LiveFeed(ctx, t.client, "live")
	t.Say("from POST to event at most %d ms", longest.Milliseconds())
	return err
}
