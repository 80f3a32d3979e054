package cmd

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/twtr-dev/twtr/internal/inspect"
	"github.com/twtr-dev/twtr/internal/temporalclient"
	"github.com/twtr-dev/twtr/internal/top"
	"github.com/twtr-dev/twtr/workers"
	"github.com/twtr-dev/twtr/workflows"
)

// minInterval is the shortest interval of twtr top: each refresh is some 60 calls to Temporal at most.
const minInterval = 200 * time.Millisecond

func topCommand(s *Settings) *cobra.Command {
	var interval time.Duration
	var once bool
	command := &cobra.Command{
		Use:   "top",
		Short: "Show what runs: deliveries with their progress, lag, task queues, failing activities",
		Long: `Show what runs, live: deliveries with their progress, deliveries per second, their lag, backlog and pollers by task queue, and
failing activities with their last error. On a terminal: q quits, s sorts, the arrows scroll, p pauses. Otherwise it prints plain
lines at every interval.

It reads Temporal and the store, and changes nothing. It also works while the store is unavailable, and needs no worker.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if interval < minInterval {
				return usageError{fmt.Errorf("--interval must be at least %v", minInterval)}
			}
			config, err := s.Parse()
			if err != nil {
				return err
			}
			return runTop(c, config, interval, once)
		},
	}
	command.Flags().DurationVar(&interval, "interval", 2*time.Second, "time between two refreshes")
	command.Flags().BoolVar(&once, "once", false, "print what was found after one interval, as plain lines, and exit")
	return reads(command, workflowSettings...)
}

func runTop(c *cobra.Command, config Config, interval time.Duration, once bool) error {
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	options, err := config.temporalOptions("", slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	temporal, err := temporalclient.Dial(ctx, options, workflows.SearchAttributes)
	if err != nil {
		return err
	}
	defer temporal.Close()
	store := top.OpenInBackground(ctx, config.Store.open)
	defer store.Close()
	collector := &top.Collector{
		Temporal: temporal, Queues: inspect.NewQueues(temporal, temporalclient.Namespace(options), workers.Domains()...), Store: store.Get,
	}
	o := top.Options{
		Title:    fmt.Sprintf("Temporal %s, namespace %s", temporalclient.Address(options), temporalclient.Namespace(options)),
		Interval: interval, Collect: collector.Collect,
	}
	if once || !isTerminal(c.OutOrStdout()) {
		return top.Print(ctx, c.OutOrStdout(), o, once)
	}
	return top.Run(ctx, c.InOrStdin(), c.OutOrStdout(), o)
}
