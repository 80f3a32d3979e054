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

const (
	// waitEvery is the pause between two probes.
	waitEvery = time.Second
	// slowAfter is how long a probe may take before wait says what it is waiting for. A name server that does not respond, or an
	// address that drops packets, takes a minute to fail.
	slowAfter = time.Second
)

func waitCommand(s *Settings) *cobra.Command {
	var (
		timeout time.Duration
		scope   string
	)
	command := &cobra.Command{
		Use:   "wait",
		Short: "Wait until the store, its schema and Temporal are available, or what --for names",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := s.Parse()
			if err != nil {
				return err
			}
			if scope != "all" && scope != "store" {
				return usageError{fmt.Errorf("--for must be all or store, not %q", scope)}
			}
			options, err := temporalclient.Options("", slog.New(slog.DiscardHandler), nil)
			if err != nil { // also if nothing waits for it: the process that starts next would fail with it
				return usageError{err}
			}
			probes, available := []prober{storeProbe(config.Store)}, "the store and its schema are available"
			if scope == "all" {
				probes, available = append(probes, temporalProbe(options)), "the store, its schema and Temporal are available"
			}
			err = wait(c, timeout, func(ctx context.Context, trying func(string, string)) *notReady {
				for _, probe := range probes {
					if missing := probe(ctx, trying); missing != nil {
						return missing
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), available)
			return nil
		},
	}
	command.Flags().StringVar(&scope, "for", "all", "what to wait for: all, as a worker needs, or store, as the API needs: the store and its schema")
	command.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "when to give up")
	return reads(command, storeSettings...)
}

// notReady is a dependency that a process can't start without, and why it is not ready.
type notReady struct {
	what string
	err  error
	slow bool // the attempt has not ended yet
}

// prober returns a dependency that is not ready; nil if it is. Before the attempt it calls trying with the dependency and its
// address.
type prober func(ctx context.Context, trying func(what, where string)) *notReady

func storeProbe(c StoreConfig) prober {
	return func(ctx context.Context, trying func(what, where string)) *notReady {
		trying("the store", c.where())
		store, err := c.open(ctx)
		if _, ok := errors.AsType[migrations.SchemaError](err); ok {
			return &notReady{what: "the schema", err: err}
		}
		if err != nil {
			return &notReady{what: "the store", err: err}
		}
		store.Close()
		return nil
	}
}

func temporalProbe(options client.Options) prober {
	return func(ctx context.Context, trying func(what, where string)) *notReady {
		trying("Temporal", "Temporal at "+temporalclient.Address(options))
		if err := temporalclient.Reach(ctx, options); err != nil {
			return &notReady{what: "Temporal", err: err}
		}
		return nil
	}
}

// wait probes until everything is ready, the timeout passes or the command is interrupted; once if timeout is 0. It prints what it waits for
// whenever that changes, and also while an attempt still runs.
func wait(c *cobra.Command, timeout time.Duration, probe func(ctx context.Context, trying func(what, where string)) *notReady) error {
	ctx := c.Context()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	var last *notReady
	waitFor := func(now notReady) {
		if last == nil || now.what != last.what || last.slow {
			fmt.Fprintf(c.OutOrStdout(), "waiting for %s: %s\n", now.what, oneLine(now.err))
		}
		last = &now
	}
	for {
		// In a goroutine, because the driver's attempt to connect ignores the context.
		result, tries := make(chan *notReady, 1), make(chan notReady, 2)
		go func() {
			result <- probe(ctx, func(what, where string) {
				tries <- notReady{what: what, err: fmt.Errorf("no response from %s within %s", where, slowAfter), slow: true}
			})
		}()
		now, done := await(ctx, result, tries, func(now notReady) {
			if last == nil || now.what != last.what {
				waitFor(now)
			}
		})
		if done && now == nil {
			return nil
		}
		if done && timeout == 0 {
			return now.err
		}
		if done && ctx.Err() == nil { // otherwise it fails only because time is up
			waitFor(*now)
		}
		select {
		case <-time.After(waitEvery):
		case <-ctx.Done():
			return gaveUp(c.Context(), timeout, last)
		}
	}
}

// await returns a probe's result, or false when ctx has ended. It calls slow with what the probe tries, if that takes long.
func await(ctx context.Context, result <-chan *notReady, tries <-chan notReady, slow func(notReady)) (*notReady, bool) {
	var trying notReady
	timer := time.NewTimer(slowAfter)
	defer timer.Stop()
	for {
		select {
		case now := <-result:
			return now, true
		case trying = <-tries:
			timer.Reset(slowAfter)
		case <-timer.C:
			slow(trying)
		case <-ctx.Done():
			return nil, false
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
