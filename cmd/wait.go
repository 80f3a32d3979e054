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

// waitEvery is how long wait rests between two looks.
const waitEvery = time.Second

func waitCommand(s *Settings) *cobra.Command {
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "wait",
		Short: "Wait until the store answers, its schema is what this program needs, and Temporal answers",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			e, err := s.engine()
			if err != nil {
				return err
			}
			options, err := temporalclient.Options("", slog.New(slog.DiscardHandler), nil)
			if err != nil {
				return usageError{err}
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			look := func() lack { return missing(ctx, e, s, options) }
			err = wait(ctx, look, func(l lack) { fmt.Fprintf(c.OutOrStdout(), "waiting for %s: %v\n", l.what, l.err) })
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "the store, its schema and Temporal are there")
			return nil
		},
	}
	command.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "after what time to give up")
	return command
}

// lack is what is missing, and how that shows; what is "" if all is there.
type lack struct {
	what string
	err  error
}

// missing looks for all that a process needs to start, in the order in which it becomes ready.
func missing(ctx context.Context, e engine, s *Settings, options client.Options) lack {
	store, err := e.open(ctx, s)
	if _, ok := errors.AsType[migrations.SchemaError](err); ok {
		return lack{"the schema", err}
	}
	if err != nil {
		return lack{"the store", err}
	}
	store.Close()
	if err := temporalclient.Reach(ctx, options); err != nil {
		return lack{"Temporal", err}
	}
	return lack{}
}

// wait looks until nothing is missing, or ctx ends, and says whenever it is something else that is.
func wait(ctx context.Context, look func() lack, say func(lack)) error {
	var last lack
	for {
		// Beside, because the driver's attempt to connect heeds no context.
		found := make(chan lack, 1)
		go func() { found <- look() }()
		select {
		case l := <-found:
			if l.what == "" {
				return nil
			}
			if ctx.Err() == nil { // else it only says that the time is over
				if l.what != last.what {
					say(l)
				}
				last = l
			}
		case <-ctx.Done():
		}
		select {
		case <-time.After(waitEvery):
		case <-ctx.Done():
			if last.what == "" {
				return fmt.Errorf("waited for the store in vain: %w", ctx.Err())
			}
			return fmt.Errorf("waited for %s in vain: %w", last.what, last.err)
		}
	}
}
