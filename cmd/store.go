package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/migrations"
	"github.com/twtr-dev/twtr/store/cassandra"
	"github.com/twtr-dev/twtr/store/sqlite"
)

// engine is one way to keep data; its schema is made by migrate, and open refuses an older one.
type engine struct {
	open    func(context.Context, *Settings) (twtr.Store, error)
	migrate func(context.Context, *Settings) error
}

var engines = map[string]engine{
	"sqlite": {
		open: func(ctx context.Context, s *Settings) (twtr.Store, error) {
			return opened(sqlite.Open(ctx, s.get("sqlite.path")))
		},
		migrate: func(ctx context.Context, s *Settings) error { return sqlite.Migrate(ctx, s.get("sqlite.path")) },
	},
	"cassandra": {
		open: func(ctx context.Context, s *Settings) (twtr.Store, error) {
			return opened(cassandra.Open(ctx, s.cassandra()))
		},
		migrate: func(ctx context.Context, s *Settings) error { return cassandra.Migrate(ctx, s.cassandra()) },
	},
}

// opened makes a nil pointer of an engine a nil store.
func opened[S twtr.Store](store S, err error) (twtr.Store, error) {
	if err != nil {
		return nil, err
	}
	return store, nil
}

func (s *Settings) engine() (engine, error) {
	e, ok := engines[s.Store()]
	if !ok {
		return e, usageError{fmt.Errorf("store must be sqlite or cassandra, not %q", s.Store())}
	}
	return e, nil
}

// Migrate brings the store's schema up to date.
func Migrate(ctx context.Context, s *Settings) error {
	e, err := s.engine()
	if err != nil {
		return err
	}
	return e.migrate(ctx, s)
}

func migrateCommand(s *Settings) *cobra.Command {
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the store's schema up to date; several at once do no harm",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := waitForStore(c, s, timeout); err != nil {
				return err
			}
			if err := Migrate(c.Context(), s); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "the schema of store %s is up to date\n", s.Store())
			return nil
		},
	}
	command.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait for a store that does not answer yet")
	return command
}

// waitForStore waits until the store answers, of whatever schema it is; not at all if timeout is 0.
func waitForStore(c *cobra.Command, s *Settings, timeout time.Duration) error {
	if timeout == 0 {
		return nil
	}
	e, err := s.engine()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), timeout)
	defer cancel()
	look := func() lack {
		store, err := e.open(ctx, s)
		if err == nil {
			store.Close()
		} else if _, answers := errors.AsType[migrations.SchemaError](err); !answers {
			return lack{"the store", err}
		}
		return lack{}
	}
	return wait(ctx, look, func(l lack) { fmt.Fprintf(c.OutOrStdout(), "waiting for %s: %v\n", l.what, l.err) })
}
