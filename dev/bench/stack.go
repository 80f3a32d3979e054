package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/spf13/pflag"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/cmd"
	"github.com/twtr-dev/twtr/dev/internal/freeaddr"
	"github.com/twtr-dev/twtr/dev/temporalserver"
	"github.com/twtr-dev/twtr/store/cassandra"
	"github.com/twtr-dev/twtr/store/sqlite"
)

// bench is the whole system on this machine: in this process the Temporal server, the API and all workers but that of the
// feeds, which is a process of its own.
type bench struct {
	ctx      context.Context
	engine   string
	hosts    []string
	keyspace string
	dir      string
	scale    scale
	results  []result
	seeded   map[string]int // followers, by name

	url      string
	store    twtr.Store
	cql      *gocql.Session // of Cassandra, to measure it bare
	temporal client.Client
	feeds    *exec.Cmd
	http     *http.Client
	stops    []func() error
	// startFeeds starts a feeds worker, as a process of its own.
	startFeeds func() (*exec.Cmd, error)
}

func (b *bench) sqliteFile() string { return filepath.Join(b.dir, "twtr.db") }

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
	b.url = "http://" + addr
	args := []string{
		"--store", b.engine, "--http-addr", addr, "--sqlite-path", b.sqliteFile(), "--log-level", "error",
		"--cassandra-hosts", strings.Join(b.hosts, ","), "--cassandra-keyspace", b.keyspace,
		"--auth-keys", "bench:" + strings.Repeat("b", 32), "--seal-key", strings.Repeat("s", 32),
		"--ratelimit-signups", "0", "--ratelimit-logins", "0", "--ratelimit-tweets", "0", "--ratelimit-follows", "0",
	}
	flags := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	settings := cmd.NewSettings(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.engine == "cassandra" {
		if err := b.connectCassandra(); err != nil {
			return err
		}
	}
	if err := cmd.Migrate(b.ctx, settings); err != nil {
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
	server, err := temporalserver.Start(b.ctx, temporalserver.Options{Addr: "127.0.0.1:0", File: filepath.Join(b.dir, "temporal.db")})
	if err != nil {
		return err
	}
	b.stops = append(b.stops, func() error { server.Stop(); return nil })
	if b.temporal, err = client.Dial(client.Options{HostPort: server.Addr(), Logger: silent{}}); err != nil {
		return err
	}
	b.stops = append(b.stops, func() error { b.temporal.Close(); return nil })
	process, err := cmd.Connect(b.ctx, settings, server.Addr(), io.Discard)
	if err != nil {
		return err
	}
	b.stops = append(b.stops, func() error { process.Close(); return nil })
	ctx, cancel := context.WithCancel(b.ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return process.ServeAPI(ctx) })
	g.Go(func() error { return process.RunWorkers(ctx, "users", "tweets", "followers") })
	b.stops = append(b.stops, func() error { cancel(); return g.Wait() })

	b.startFeeds = func() (*exec.Cmd, error) {
		feeds := exec.CommandContext(context.WithoutCancel(b.ctx), os.Args[0], append([]string{"worker", "feeds"}, args...)...)
		feeds.Env = append(os.Environ(), asEnv+"=twtr", "TEMPORAL_ADDRESS="+server.Addr())
		feeds.Stderr = os.Stderr
		return feeds, feeds.Start()
	}
	if b.feeds, err = b.startFeeds(); err != nil {
		return err
	}
	b.stops = append(b.stops, func() error { return errors.Join(b.feeds.Process.Signal(os.Interrupt), b.feeds.Wait()) })
	b.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: 30 * time.Second}
	return b.warmUp()
}

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

func (b *bench) cluster() *gocql.ClusterConfig {
	cluster := gocql.NewCluster(b.hosts...)
	cluster.Consistency = gocql.LocalQuorum
	cluster.WriteCoalesceWaitTime = 0
	cluster.Timeout = 10 * time.Second
	cluster.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy())
	return cluster
}

// connectCassandra opens a session like the store's, and drops this run's keyspace at the end.
func (b *bench) connectCassandra() error {
	session, err := b.cluster().CreateSession()
	if err != nil {
		return fmt.Errorf("cassandra does not answer at %s: %w", strings.Join(b.hosts, ", "), err)
	}
	b.cql = session
	b.stops = append(b.stops, func() error {
		defer session.Close()
		return session.Query("DROP KEYSPACE IF EXISTS " + b.keyspace).Exec()
	})
	return nil
}

// warmUp has everything done once.
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

// token is an access token as the API makes one.
func token(username string) string {
	unsigned := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: "twtr", Audience: jwt.ClaimStrings{"twtr-api"}, Subject: username, ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(12 * time.Hour)),
	})
	unsigned.Header["kid"] = "bench"
	signed, err := unsigned.SignedString([]byte(strings.Repeat("b", 32)))
	if err != nil {
		panic(err) // only for a key that is no bytes
	}
	return signed
}

// call makes a request that must be answered 200, and reads its data into dest, if that isn't nil.
func (b *bench) call(method, path, token, body string, dest any) error {
	request, err := http.NewRequestWithContext(b.ctx, method, b.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := b.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, content)
	}
	if dest == nil {
		return nil
	}
	return json.Unmarshal(content, &struct{ Data any }{dest})
}

// post posts a tweet, and returns its id.
func (b *bench) post(token string) (uuid.UUID, error) {
	var tweet struct{ ID uuid.UUID }
	err := b.call(http.MethodPost, "/tweets", token, content, &tweet)
	return tweet.ID, err
}

// content is a tweet of 140 characters.
var content = fmt.Sprintf(`{"content":%q}`, strings.Repeat("a tweet as long ", 9)[:140])

// tweetAndWait posts a tweet of somebody with so many followers, and returns how long it took until all had it.
func (b *bench) tweetAndWait(author string, followers int) (time.Duration, error) {
	begin := time.Now()
	id, err := b.post(token(author))
	if err != nil {
		return 0, err
	}
	for {
		receipt, err := b.store.Receipt(b.ctx, id)
		if err == nil {
			took := time.Since(begin)
			if receipt.Delivered != int64(followers) {
				return 0, fmt.Errorf("delivered to %d of %d", receipt.Delivered, followers)
			}
			return took, nil
		}
		if twtr.ErrorCode(err) != twtr.NotFound {
			return 0, err
		}
		// A look costs the store as much as a row: a hundred of them, or one a millisecond, are precise enough.
		time.Sleep(max(time.Millisecond, time.Since(begin)/100))
	}
}

// seed lets n readers follow somebody, unless they do.
func (b *bench) seed(followee string, n int) error {
	if b.seeded[followee] == n {
		return nil
	}
	b.seeded[followee] = n
	return each(128, n, func(i int) error {
		return b.store.PutFollow(b.ctx, twtr.Follow{Follower: fmt.Sprintf("r%d", i), Followee: followee, At: time.Now()})
	})
}

// each does n things, so many at a time.
func each(atATime, n int, do func(i int) error) error {
	var next atomic.Int64
	var g errgroup.Group
	for range atATime {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// load has so many clients call do for a round, each with a rest after each call, and returns how long each call took, in
// milliseconds, and the calls a second.
func (b *bench) load(clients int, rest time.Duration, do func(client int) error) (took []float64, perSecond float64, err error) {
	begin := time.Now()
	var mu sync.Mutex
	var g errgroup.Group
	for client := range clients {
		g.Go(func() error {
			for time.Since(begin) < b.scale.round {
				start := time.Now()
				if err := do(client); err != nil {
					return err
				}
				ms := milliseconds(time.Since(start))
				mu.Lock()
				took = append(took, ms)
				mu.Unlock()
				time.Sleep(rest)
			}
			return nil
		})
	}
	err = g.Wait()
	return took, float64(len(took)) / time.Since(begin).Seconds(), err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
