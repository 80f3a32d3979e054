package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr/internal/temporalclient"
	"github.com/twtr-dev/twtr/migrations"
)

// waitEvery is the pause between two probes.
const waitEvery = time.Second

func waitCommand(s *Settings) *cobra.Command {
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "wait",
		Short: "Wait until the store, its schema and Temporal are available",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := s.Parse()
			if err != nil {
				return err
			}
			options, err := temporalclient.Options("", slog.New(slog.DiscardHandler), nil)
			if err != nil {
				return usageError{err}
			}
			err = wait(c, timeout, func(ctx context.Context) *notReady { return probe(ctx, config.Store, options) })
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "the store, its schema and Temporal are available")
			return nil
		},
	}
	command.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "when to give up")
	return command
}

// notReady is a dependency that a process can't start without, and why it is not ready.
type notReady struct {
	what string
	err  error
}

// probe returns the first dependency that is not ready, in the order in which they become so; nil if all are.
func probe(ctx context.Context, c StoreConfig, options client.Options) *notReady {
	store, err := c.open(ctx)
	if _, ok := errors.AsType[migrations.SchemaError](err); ok {
		return &notReady{"the schema", err}
	}
	if err != nil {
		return &notReady{"the store", err}
	}
	store.Close()
	if err := temporalclient.Reach(ctx, options); err != nil {
		return &notReady{"Temporal", err}
	}
	return nil
}

// wait probes until everything is ready, the timeout passes or the command is interrupted. It prints what it waits for
// whenever that changes.
func wait(c *cobra.Command, timeout time.Duration, probe func(context.Context) *notReady) error {
	ctx, cancel := context.WithTimeout(c.Context(), timeout)
	defer cancel()
	var last *notReady
	for {
		// In a goroutine, because the driver's attempt to connect ignores the context.
		result := make(chan *notReady, 1)
		go func() { result <- probe(ctx) }()
		select {
		case now := <-result:
			if now == nil {
				return nil
			}
			if ctx.Err() == nil { // otherwise it fails only because time is up
				if last == nil || now.what != last.what {
					fmt.Fprintf(c.OutOrStdout(), "waiting for %s: %s\n", now.what, oneLine(now.err))
				}
				last = now
			}
		case <-ctx.Done():
		}
		select {
		case <-time.After(waitEvery):
		case <-ctx.Done():
			return gaveUp(c.Context(), timeout, last)
		}
	}
}

func gaveUp(command context.Context, timeout time.Duration, last *notReady) error {
	why := fmt.Sprintf("gave up after %s", timeout)
	if command.Err() != nil {
		why = "interrupted"
	}
	if last == nil {
		return fmt.Errorf("%s: no response yet", why)
	}
	return fmt.Errorf("%s: %w", why, last.err)
}
