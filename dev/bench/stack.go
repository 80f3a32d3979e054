package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/spf13/pflag"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/cmd"
	"github.com/twtr-dev/twtr/dev/bench/measure"
	"github.com/twtr-dev/twtr/dev/internal/freeaddr"
	"github.com/twtr-dev/twtr/dev/natsserver"
	"github.com/twtr-dev/twtr/dev/temporalserver"
	"github.com/twtr-dev/twtr/store/cassandra"
	"github.com/twtr-dev/twtr/store/sqlite"
)

// bench is the whole system on this machine: in this process the Temporal server, the API and all workers except that of the
// feeds, which is a process of its own.
type bench struct {
	ctx     context.Context
	binary  string
	engine  string
	hosts   []string
	scale   scale
	results []result
	seeded  map[string]int // followers, by name

	dir      string
	keyspace string
	api      *measure.API
	store    twtr.Store
	raw      raw
	temporal client.Client
	feeds    *exec.Cmd
	nats     *natsserver.Server // of the workers, and of the benchmark that needs events
	args     []string           // of a process of twtr

	temporalAddr string
	stops        []func() error
}

func (b *bench) start() (err error) {
	if b.dir, err = os.MkdirTemp("", "twtr-bench"); err != nil {
		return err
	}
	b.stops = append(b.stops, func() error { return os.RemoveAll(b.dir) })
	b.keyspace = "twtr_bench_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	addr, err := freeaddr.Find(b.ctx)
	if err != nil {
		return err
	}
	args := []string{
		"--store", b.engine, "--http-addr", addr, "--sqlite-path", b.sqliteFile(), "--log-level", "error",
		"--cassandra-hosts", strings.Join(b.hosts, ","), "--cassandra-keyspace", b.keyspace,
		"--ratelimit-signups", "0", "--ratelimit-logins", "0", "--ratelimit-tweets", "0", "--ratelimit-follows", "0", "--ratelimit-reads", "0",
	}
	b.args = args
	flags := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	settings := cmd.NewSettings(flags)
	settings.SetDefault("auth.keys", measure.AuthKeys)
	settings.SetDefault("seal.key", measure.SealKey)
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := settings.Parse()
	if err != nil {
		return err
	}
	if err := b.startStore(config); err != nil {
		return err
	}
	server, err := temporalserver.Start(b.ctx, temporalserver.Options{Addr: "127.0.0.1:0", File: filepath.Join(b.dir, "temporal.db")})
	if err != nil {
		return err
	}
	b.stops = append(b.stops, func() error { server.Stop(); return nil })
	if b.temporal, err = client.Dial(client.Options{HostPort: server.Addr(), Logger: silent{}}); err != nil {
		return err
	}
	b.stops = append(b.stops, func() error { b.temporal.Close(); return nil })
	b.temporalAddr = server.Addr()
	if b.nats, err = natsserver.Start("127.0.0.1:0", filepath.Join(b.dir, "nats")); err != nil {
		return err
	}
	b.stops = append(b.stops, func() error { b.nats.Stop(); return nil })
	app, err := b.connect(config)
	if err != nil {
		return err
	}
	config.Events.URL = b.nats.URL()
	if err := cmd.MigrateEvents(b.ctx, config.Events, 0); err != nil {
		return err
	}
	withEvents, err := b.connect(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return app.ServeAPI(ctx, config.API) })
	g.Go(func() error { return withEvents.RunWorkers(ctx, config.Workers, "users", "tweets", "followers") })
	b.stops = append(b.stops, func() error { cancel(); return g.Wait() })

	b.feeds = b.twtr("worker", "feeds")
	if err := b.feeds.Start(); err != nil {
		return err
	}
	b.stops = append(b.stops, func() error { return errors.Join(b.feeds.Process.Signal(os.Interrupt), b.feeds.Wait()) })
	b.api = measure.NewAPI("http://" + addr)
	return b.warmUp()
}

// twtr is a process of the binary, which logs nothing. The command's own arguments come last, and count.
func (b *bench) twtr(command string, args ...string) *exec.Cmd {
	args = slices.Concat([]string{command, "--ops-addr", ""}, b.args, args)
	p := exec.CommandContext(context.WithoutCancel(b.ctx), b.binary, args...)
	p.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+b.temporalAddr, "TWTR_SEAL_KEY="+measure.SealKey, "TWTR_AUTH_KEYS="+measure.AuthKeys)
	return p
}

// connect connects to the store, to Temporal and, if the configuration has events, to NATS.
func (b *bench) connect(config cmd.Config) (*cmd.App, error) {
	app, err := cmd.Connect(b.ctx, config, b.temporalAddr, io.Discard)
	if err == nil {
		b.stops = append(b.stops, func() error { app.Close(); return nil })
	}
	return app, err
}

// startStore creates an empty store, and opens connections to it and, without twtr's code, to the same engine.
func (b *bench) startStore(config cmd.Config) (err error) {
	if b.engine == "cassandra" {
		if err := b.connectCassandra(); err != nil {
			return err
		}
	}
	if err := cmd.Migrate(b.ctx, config.Store); err != nil {
		return err
	}
	if b.engine == "cassandra" {
		b.store, err = cassandra.Open(b.ctx, cassandra.Config{Hosts: b.hosts, Keyspace: b.keyspace})
	} else {
		b.store, err = sqlite.Open(b.ctx, b.sqliteFile())
	}
	if err != nil {
		return err
	}
	b.stops = append(b.stops, func() error { b.store.Close(); return nil })
	if b.engine == "cassandra" {
		return nil
	}
	raw, err := openRawSQLite(b.ctx, b.dir, b.sqliteFile())
	if err != nil {
		return err
	}
	b.raw = raw
	b.stops = append(b.stops, raw.close)
	return nil
}

func (b *bench) sqliteFile() string { return filepath.Join(b.dir, "twtr.db") }

func (b *bench) stop() (err error) {
	for i := len(b.stops) - 1; i >= 0; i-- {
		err = errors.Join(err, b.stops[i]())
	}
	return err
}

// silent drops the log of Temporal's client.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

// connectCassandra opens a session with the options of the store's, and drops this run's keyspace at the end.
func (b *bench) connectCassandra() error {
	cluster := gocql.NewCluster(b.hosts...)
	cluster.Consistency = gocql.LocalQuorum
	cluster.WriteCoalesceWaitTime = 0
	cluster.Timeout = 10 * time.Second
	cluster.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy())
	session, err := cluster.CreateSession()
	if err != nil {
		return fmt.Errorf("cassandra at %s: %w", strings.Join(b.hosts, ", "), err)
	}
	b.raw = rawCassandra{session, b.keyspace}
	b.stops = append(b.stops, func() error {
		defer session.Close()
		return session.Query("DROP KEYSPACE IF EXISTS " + b.keyspace).Exec()
	})
	return nil
}

// warmUp does everything once.
func (b *bench) warmUp() error {
	if err := b.seed("warm", 50); err != nil {
		return err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		_, err := b.tweetAndWait("warm", 50)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// newTweet makes a tweet of 140 characters.
func newTweet(author string) (twtr.Tweet, error) {
	id, err := twtr.NewTweetID(time.Now())
	if err != nil {
		return twtr.Tweet{}, err
	}
	return twtr.NewTweet(id, author, twtr.Post{Content: measure.Content})
}

func (b *bench) post(author string) (uuid.UUID, error) {
	return b.api.Post(b.ctx, measure.Token(author))
}

// tweetAndWait posts a tweet of an author with that many followers, and returns the time until all had it.
func (b *bench) tweetAndWait(author string, followers int) (time.Duration, error) {
	begin := time.Now()
	id, err := b.post(author)
	if err != nil {
		return 0, err
	}
	err = b.awaitDelivery(id, followers)
	return time.Since(begin), err
}

func (b *bench) awaitDelivery(id uuid.UUID, followers int) error {
	for begin := time.Now(); ; {
		receipt, err := b.store.Receipt(b.ctx, id)
		if err == nil {
			if receipt.Delivered != int64(followers) {
				return fmt.Errorf("delivered to %d of %d", receipt.Delivered, followers)
			}
			return nil
		}
		if twtr.ErrorCode(err) != twtr.NotFound {
			return err
		}
		// A read costs the store as much as writing a row: a hundred of them, or one a millisecond, are precise enough.
		time.Sleep(max(time.Millisecond, time.Since(begin)/100))
	}
}

// seed lets n readers follow a user, unless they do.
func (b *bench) seed(followee string, n int) error {
	if b.seeded[followee] == n {
		return nil
	}
	b.seeded[followee] = n
	return measure.Each(128, n, func(i int) error {
		return b.store.PutFollow(b.ctx, twtr.Follow{Follower: reader(i), Followee: followee, At: time.Now()})
	})
}

func reader(i int) string { return fmt.Sprintf("r%d", i) }

// load runs clients for one round.
func (b *bench) load(clients int, rest time.Duration, do func(client int) error) (took []float64, perSecond float64, err error) {
	return measure.Load(clients, b.scale.round, rest, do)
}
