//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/internal/checks"
	"github.com/twtr-dev/twtr/dev/internal/freeaddr"
	"github.com/twtr-dev/twtr/dev/internal/traffic"
	"github.com/twtr-dev/twtr/store/cassandra"
	"github.com/twtr-dev/twtr/store/sqlite"
	"github.com/twtr-dev/twtr/workers"
)

// system is everything that runs, each part in processes of its own: three Cassandra nodes, Temporal, two APIs, and two processes of
// each worker. API and workers reach Temporal and Cassandra through proxies; the run itself reads without them. With SQLite everything is
// one process, as in `make run`, whose data is on a small disk.
type system struct {
	dir      string
	programs programs
	engine   string

	nodes    *nodes
	proxies  *proxies
	temporal *process
	apis     []*process
	workers  []*process // two of each domain, next to each other
	alone    *process
	disk     string // "": there is no small one

	env    []string      // of twtr, for a command that reaches the store and Temporal directly
	addrs  []string      // of the APIs
	client client.Client // Temporal's
	store  twtr.Store
}

// domains are those of the workers.
var domains = workers.Domains()

// secrets of this run. They protect nothing.
var secrets = []string{
	"TWTR_AUTH_KEYS=chaos:" + strings.Repeat("a", 32),
	"TWTR_SEAL_KEY=" + strings.Repeat("s", 32),
}

const keyspace = "twtr_chaos"

// start returns when everything serves.
func (s *system) start(ctx context.Context, rowsPerSecond int) error {
	temporal, err := freeaddr.Find(ctx)
	if err != nil {
		return err
	}
	ui, err := freeaddr.Find(ctx)
	if err != nil {
		return err
	}
	args := []string{"--temporal-addr", temporal, "--temporal-ui-addr", ui}
	rows := fmt.Sprintf("TWTR_FEED_ROWS_PER_SECOND=%d", rowsPerSecond)
	if s.engine == "sqlite" {
		err = s.startAlone(ctx, temporal, rows, append(args, "--nats-addr", ""))
	} else {
		err = s.startAll(ctx, temporal, rows, args)
	}
	if err != nil {
		return err
	}
	return traffic.Eventually(ctx, time.Minute, func() error { return s.serves(ctx) })
}

func (s *system) startAll(ctx context.Context, temporal, rows string, args []string) (err error) {
	s.nodes = &nodes{script: filepath.Join(s.programs.root, "scripts", "cassandra.sh"), dir: filepath.Join(s.dir, "cassandra")}
	if err := s.nodes.start(ctx); err != nil {
		return err
	}
	s.temporal = s.process("temporal", s.programs.dev, nil, append([]string{"temporal"}, args...)...)
	if err := s.temporal.start(); err != nil {
		return err
	}
	if s.proxies, err = startProxies(temporal); err != nil {
		return err
	}
	common := append([]string{
		"TWTR_STORE=cassandra", "TWTR_CASSANDRA_KEYSPACE=" + keyspace, rows,
		"TWTR_CASSANDRA_REPLICATION={'class': 'SimpleStrategy', 'replication_factor': 3}",
		"TWTR_RATELIMIT_SIGNUPS=0", "TWTR_RATELIMIT_LOGINS=0", "TWTR_RATELIMIT_TWEETS=0", "TWTR_RATELIMIT_FOLLOWS=0", "TWTR_RATELIMIT_READS=0",
	}, secrets...)
	var direct, proxied []string
	for i, proxy := range s.proxies.cassandra {
		direct, proxied = append(direct, nodeAddr(i+1)), append(proxied, proxy.Addr())
	}
	s.env = append(slices.Clone(common), "TWTR_CASSANDRA_HOSTS="+strings.Join(direct, ","), "TEMPORAL_ADDRESS="+temporal)
	env := append(common, "TWTR_CASSANDRA_HOSTS="+strings.Join(proxied, ","), "TEMPORAL_ADDRESS="+s.proxies.temporal.Addr())
	if _, err := s.twtr(ctx, "migrate"); err != nil {
		return err
	}
	if s.client, err = dial(ctx, temporal); err != nil {
		return err
	}
	if s.store, err = cassandra.Open(ctx, cassandra.Config{Hosts: direct, Keyspace: keyspace}); err != nil {
		return err
	}
	for i := range 2 {
		addr, err := freeaddr.Find(ctx)
		if err != nil {
			return err
		}
		s.addrs = append(s.addrs, addr)
		api, err := s.server(ctx, fmt.Sprintf("api-%d", i+1), s.programs.v1, append(slices.Clone(env), "TWTR_HTTP_ADDR="+addr), "api")
		if err != nil {
			return err
		}
		s.apis = append(s.apis, api)
	}
	for _, domain := range domains {
		for i := range 2 {
			worker, err := s.server(ctx, fmt.Sprintf("worker-%s-%d", domain, i+1), s.programs.v1, env, "worker", domain)
			if err != nil {
				return err
			}
			s.workers = append(s.workers, worker)
		}
	}
	for _, p := range slices.Concat(s.apis, s.workers) {
		if err := p.start(); err != nil {
			return err
		}
	}
	return nil
}

// startAlone starts everything in one process, on a disk of its own if this user may mount one.
func (s *system) startAlone(ctx context.Context, temporal, rows string, args []string) (err error) {
	data := filepath.Join(s.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err == nil {
		s.disk = data
	}
	addr, err := freeaddr.Find(ctx)
	if err != nil {
		return err
	}
	s.addrs = []string{addr}
	s.env = append([]string{"TWTR_SQLITE_PATH=" + filepath.Join(data, ".twtr", "twtr.db"), "TEMPORAL_ADDRESS=" + temporal}, secrets...)
	if s.alone, err = s.server(ctx, "dev", s.programs.dev, []string{rows, "TWTR_HTTP_ADDR=" + addr}, args...); err != nil {
		return err
	}
	s.alone.dir = data
	if err := s.alone.start(); err != nil {
		return err
	}
	if s.client, err = dial(ctx, temporal); err != nil {
		return err
	}
	return traffic.Eventually(ctx, time.Minute, func() (err error) {
		s.store, err = sqlite.Open(ctx, filepath.Join(data, ".twtr", "twtr.db"))
		return err
	})
}

// generate gives the celebrity followers who have no account, and returns their names.
func (s *system) generate(ctx context.Context, n int) (names []string, _ error) {
	for i := range n {
		names = append(names, fmt.Sprintf("g1-%d", i))
	}
	return names, traffic.Eventually(ctx, 5*time.Minute, func() error { // the nodes may be slow at first; repeating it changes nothing
		_, err := s.twtr(ctx, "generate", "--followers", strconv.Itoa(n), "--of", celebrity)
		return err
	})
}

// twtr runs a command of the binary, and returns what it printed.
func (s *system) twtr(ctx context.Context, args ...string) (string, error) {
	command := checks.Command(ctx, s.programs.v1, args...)
	command.Env = append(os.Environ(), s.env...)
	return checks.Output(command)
}

func (s *system) process(name, program string, env []string, args ...string) *process {
	return &process{name: name, dir: s.dir, program: program, args: args, env: env}
}

// server makes a process that has an ops port, at an address of its own.
func (s *system) server(ctx context.Context, name, program string, env []string, args ...string) (*process, error) {
	ops, err := freeaddr.Find(ctx)
	p := s.process(name, program, append(slices.Clone(env), "TWTR_OPS_ADDR="+ops), args...)
	p.ops = ops
	return p, err
}

func dial(ctx context.Context, addr string) (c client.Client, err error) {
	err = traffic.Eventually(ctx, time.Minute, func() error {
		c, err = client.DialContext(ctx, client.Options{HostPort: addr, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))})
		return err
	})
	return c, err
}

// serves checks that each process is ready.
func (s *system) serves(ctx context.Context) error {
	for _, p := range s.twtrs() {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ops+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: /readyz: %s", p.name, response.Status)
		}
	}
	return nil
}

// restarts says which processes ended by themselves, and how often.
func (s *system) restarts() string {
	var text []string
	for _, p := range s.twtrs() {
		if p.restart > 0 {
			text = append(text, fmt.Sprintf("%s %d", p.name, p.restart))
		}
	}
	return strings.Join(text, ", ")
}

// twtrs are the processes of the product.
func (s *system) twtrs() []*process {
	if s.alone != nil {
		return []*process{s.alone}
	}
	return slices.Concat(s.apis, s.workers)
}

// stop ends everything that start has started.
func (s *system) stop() (err error) {
	if s.store != nil {
		s.store.Close()
	}
	if s.client != nil {
		s.client.Close()
	}
	all := s.twtrs()
	for _, p := range all {
		p.signal(syscall.SIGTERM) // all at once
	}
	if s.temporal != nil {
		all = append(all, s.temporal)
	}
	for _, p := range all {
		p.end(syscall.SIGTERM)
	}
	if s.proxies != nil {
		s.proxies.stop()
	}
	if s.nodes != nil {
		err = s.nodes.stop(context.Background())
	}
	if s.disk != "" {
		err = errors.Join(err, syscall.Unmount(s.disk, 0))
	}
	return err
}
