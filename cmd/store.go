package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/migrations"
	"github.com/twtr-dev/twtr/store/cassandra"
	"github.com/twtr-dev/twtr/store/sqlite"
)

// engine is one way to keep data. migrate creates or updates its schema; open refuses an older one.
type engine struct {
	open    func(context.Context, StoreConfig) (twtr.Store, error)
	migrate func(context.Context, StoreConfig) error
}

var engines = map[string]engine{
	"sqlite": {
		open: func(ctx context.Context, c StoreConfig) (twtr.Store, error) {
			return opened(sqlite.Open(ctx, c.SQLitePath))
		},
		migrate: func(ctx context.Context, c StoreConfig) error { return sqlite.Migrate(ctx, c.SQLitePath) },
	},
	"cassandra": {
		open: func(ctx context.Context, c StoreConfig) (twtr.Store, error) {
			return opened(cassandra.Open(ctx, c.Cassandra))
		},
		migrate: func(ctx context.Context, c StoreConfig) error { return cassandra.Migrate(ctx, c.Cassandra) },
	},
}

// opened turns a nil pointer to an engine's store into a nil interface.
func opened[S twtr.Store](store S, err error) (twtr.Store, error) {
	if err != nil {
		return nil, err
	}
	return store, nil
}

// where names the engine and its address.
func (c StoreConfig) where() string {
	if c.Engine == "cassandra" {
		return "Cassandra at " + strings.Join(c.Cassandra.Hosts, ", ")
	}
	return c.SQLitePath
}

func (c StoreConfig) open(ctx context.Context) (twtr.Store, error) {
	return engines[c.Engine].open(ctx, c)
}

// Migrate creates the store's schema or brings it up to date. It may run in several processes at once, and leaves a newer schema as it
// is.
func Migrate(ctx context.Context, c StoreConfig) error { return engines[c.Engine].migrate(ctx, c) }

// eventsTimeout is how long MigrateEvents waits at least: NATS is connected to in the background.
const eventsTimeout = 10 * time.Second

// MigrateEvents creates the stream of events or changes its limits. It may run in several processes at once.
func MigrateEvents(ctx context.Context, c EventsConfig, timeout time.Duration) error {
	conn, err := c.connect(slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, max(timeout, eventsTimeout))
	defer cancel()
	return conn.Migrate(ctx, c.Stream)
}

func migrateCommand(s *Settings) *cobra.Command {
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the store's schema, and the stream of events, up to date; may run several times at once",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := s.Parse()
			if err != nil {
				return err
			}
			if err := waitForStore(c, config.Store, timeout); err != nil {
				return err
			}
			if err := Migrate(c.Context(), config.Store); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "the schema of store %s is up to date\n", config.Store.Engine)
			if config.Events.URL == "" {
				return nil
			}
			if err := MigrateEvents(c.Context(), config.Events, timeout); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "the stream of events is up to date")
			return nil
		},
	}
	command.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait for a store, or a NATS, that is unavailable")
	return reads(command, append([]string{"events"}, storeSettings...)...)
}

// waitForStore waits until the store is available, whatever its schema; for one attempt if timeout is 0.
func waitForStore(c *cobra.Command, config StoreConfig, timeout time.Duration) error {
	return wait(c, timeout, func(ctx context.Context, trying func(string, string)) *notReady {
		trying("the store", config.where())
		store, err := config.open(ctx)
		if err == nil {
			store.Close()
			return nil
		}
		if _, ok := errors.AsType[migrations.SchemaError](err); ok {
			return nil
		}
		return &notReady{what: "the store", err: err}
	})
}
