package events

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamConfig says how much the stream keeps.
type StreamConfig struct {
	Replicas     int
	MaxAge       time.Duration // of an event
	MaxMegabytes int           // of all events; beyond it the oldest go first
}

// duplicateWindow is how long the stream recognizes an event that is published again.
const duplicateWindow = 2 * time.Minute

// migrateEvery is the time between two looks at the connection.
const migrateEvery = 50 * time.Millisecond

// Migrate creates the stream, or gives it this configuration. It may run several times at once. It waits until NATS is connected.
func (c *Conn) Migrate(ctx context.Context, s StreamConfig) error {
	for !c.IsConnected() {
		select {
		case <-time.After(migrateEvery):
		case <-ctx.Done():
			return fmt.Errorf("stream %s of events: NATS is not connected: %w", Stream, cmp.Or(c.LastError(), ctx.Err()))
		}
	}
	_, err := c.stream.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        Stream,
		Description: "Domain events of twtr, as CloudEvents",
		Subjects:    []string{AllSubjects},
		Replicas:    s.Replicas, MaxAge: s.MaxAge, MaxBytes: int64(s.MaxMegabytes) << 20,
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		Duplicates: min(duplicateWindow, s.MaxAge), // it may not be longer
	})
	if err != nil {
		return fmt.Errorf("stream %s of events: %w", Stream, err)
	}
	return nil
}
