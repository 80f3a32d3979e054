package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/api"
	"github.com/twtr-dev/twtr/internal/backlog"
	"github.com/twtr-dev/twtr/internal/codec"
	"github.com/twtr-dev/twtr/internal/events"
	"github.com/twtr-dev/twtr/internal/requestid"
	"github.com/twtr-dev/twtr/internal/seal"
	"github.com/twtr-dev/twtr/internal/telemetry"
	"github.com/twtr-dev/twtr/internal/temporalclient"
	"github.com/twtr-dev/twtr/workers"
	"github.com/twtr-dev/twtr/workflows"
)

// App is what the API and the workers of a process share: the log, the metrics, the traces and the connections.
type App struct {
	log      *slog.Logger
	requests *requestid.Logs
	metrics  *telemetry.Metrics
	traces   *telemetry.Traces
	engine   string
	store    twtr.Store
	temporal client.Client
	events   *events.Conn // nil: nothing is published

	namespace string // of Temporal
}

func newApp(c Config, logs io.Writer) *App {
	requests := requestid.NewLogs()
	return &App{requests: requests, log: slog.New(requests.Handler(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: c.LogLevel})))}
}

// Connect opens the store and connects to Temporal, at temporalAddr or, if that is empty, where the TEMPORAL_* settings
// say. It fails if one of them is unavailable. The caller must close the App. The log is written to logs, one JSON object per line.
func Connect(ctx context.Context, c Config, temporalAddr string, logs io.Writer) (*App, error) {
	return connect(ctx, c, temporalAddr, logs, temporalclient.Dial)
}

// dialer makes a client of Temporal and registers the search attributes.
type dialer func(context.Context, client.Options, []temporal.SearchAttributeKey) (client.Client, error)

func connect(ctx context.Context, c Config, temporalAddr string, logs io.Writer, dial dialer) (*App, error) {
	a := newApp(c, logs)
	var err error
	if a.metrics, err = telemetry.New(c.Version); err != nil {
		return nil, err
	}
	options, err := c.temporalOptions(temporalAddr, a.log, a.metrics.Temporal())
	if err != nil {
		return nil, err
	}
	requestid.Install(&options, a.requests)
	if a.traces, err = telemetry.NewTraces(ctx, a.log); err != nil {
		return nil, usageError{err}
	}
	if err := a.traces.Install(&options); err != nil {
		return nil, err
	}
	store, err := c.Store.open(ctx)
	if err != nil {
		return nil, err
	}
	a.engine = c.Store.Engine
	if a.store, err = a.metrics.Store(store, a.engine, a.traces); err != nil {
		return nil, err
	}
	a.namespace = temporalclient.Namespace(options)
	if a.events, err = c.Events.connect(a.log, a.metrics); err != nil {
		a.store.Close()
		a.traces.Close()
		return nil, err
	}
	if a.temporal, err = dial(ctx, options, workflows.SearchAttributes); err != nil {
		a.events.Close()
		a.store.Close()
		a.traces.Close()
		return nil, err
	}
	return a, nil
}

// connect connects to NATS in the background; nil: there is none.
func (c EventsConfig) connect(log *slog.Logger, metrics *telemetry.Metrics) (*events.Conn, error) {
	if c.URL == "" {
		return nil, nil
	}
	o := c.Options
	o.Name, o.Logger = telemetry.Service, log
	if metrics != nil {
		o.Meter = metrics.Provider
	}
	conn, err := events.Connect(c.URL, o)
	if err != nil {
		return nil, usageError{fmt.Errorf("connection to NATS (events.*): %w", err)}
	}
	return conn, nil
}

// temporalOptions are those of a client of Temporal that encrypts and decrypts payloads.
func (c Config) temporalOptions(addr string, log *slog.Logger, metrics client.MetricsHandler) (client.Options, error) {
	options, err := temporalclient.Options(addr, log, metrics)
	if err != nil {
		return options, usageError{err}
	}
	payloads, err := codec.New(c.Codec.Keys...)
	if err != nil {
		return options, err
	}
	return options, payloads.Install(&options)
}

// Close closes the connections, and exports what is left to export.
func (a *App) Close() {
	a.temporal.Close()
	a.events.Close()
	a.store.Close()
	a.traces.Close()
}

// HTTPDrain bounds how long the API waits for requests in flight when it stops. The timeout of their processing is shorter; that of a
// body that still arrives is longer, and cut off by this.
const HTTPDrain = 8 * time.Second

// Run serves the API, runs the workers of those domains, or both, and serves the ops port, until ctx ends.
func (a *App) Run(ctx context.Context, c Config, serveAPI bool, domains ...string) error {
	g, ctx := errgroup.WithContext(ctx)
	if c.Ops.Addr != "" {
		g.Go(func() error {
			err := a.serveHTTP(ctx, "ops", c.Ops.Addr, a.opsServer(c.Ops, len(domains) > 0))
			if errors.Is(err, syscall.EADDRINUSE) {
				err = fmt.Errorf("%w; each process of a machine needs another ops.addr (--ops-addr)", err)
			}
			return err
		})
	}
	if serveAPI {
		g.Go(func() error { return a.ServeAPI(ctx, c.API) })
	}
	if len(domains) > 0 {
		g.Go(func() error { return a.RunWorkers(ctx, c.Workers, domains...) })
	}
	return g.Wait()
}

// ServeAPI serves the API on c.Addr until ctx ends, and then lets requests in flight finish, for up to [HTTPDrain].
func (a *App) ServeAPI(ctx context.Context, c APIConfig) error {
	if a.events != nil {
		c.Streams.Events = events.NewLive(a.events)
	}
	handler, err := api.New(api.Config{
		Store: a.store, Temporal: a.temporal, Logger: a.log, Metrics: a.metrics, Tracer: a.traces.Tracer(),
		AuthKeys: c.AuthKeys, SealKeys: c.SealKeys, RateLimits: c.RateLimits, TrustedProxies: c.TrustedProxies, Origins: c.Origins,
		Announce: a.events != nil, Streams: c.Streams,
		Page: a.page(c),
	})
	if err != nil {
		return err
	}
	stop, err := handler.Start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	observer, err := backlog.New(a.metrics.Provider, a.temporal, a.namespace, workers.Domains())
	if err != nil {
		return err
	}
	var observing sync.WaitGroup
	defer observing.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	observing.Go(func() { observer.Run(ctx) })
	return a.serveHTTP(ctx, "API", c.Addr, a.httpServer(handler))
}

// page is the web page's configuration, nil if there is to be none.
func (a *App) page(c APIConfig) *api.WebPage {
	switch {
	case !c.Page:
		return nil
	case c.TemporalUI == "":
		return &api.WebPage{}
	}
	return &api.WebPage{TemporalUI: c.TemporalUI + "/namespaces/" + url.PathEscape(a.namespace)}
}

// ServeCodec serves the codec of Temporal's payloads until ctx ends. It needs no connections.
func (a *App) ServeCodec(ctx context.Context, c CodecConfig) error {
	payloads, err := codec.New(c.Keys...)
	if err != nil {
		return err
	}
	return a.serveHTTP(ctx, "codec server", c.Addr, a.httpServer(payloads.Handler(c.UIOrigins, c.Token)))
}

// serveHTTP serves requests on an address until ctx ends, and then lets those in flight finish.
func (a *App) serveHTTP(ctx context.Context, server, addr string, s *http.Server) error {
	listener, err := listen(ctx, addr, maxConnections)
	if err != nil {
		return fmt.Errorf("%s: %w", server, err)
	}
	a.log.InfoContext(ctx, "listening", "server", server, "addr", listener.Addr().String())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), HTTPDrain)
		defer cancel()
		return s.Shutdown(drain)
	})
	return g.Wait()
}

// RunWorkers polls the task queues of those domains until ctx ends. Then it lets activities in flight finish, for up to
// [workers.DrainTimeout]; other workers resume the rest. It fails, and stops all of them, if Temporal refuses one of the workers.
func (a *App) RunWorkers(ctx context.Context, c WorkersConfig, domains ...string) error {
	sealer, err := seal.New(c.SealKeys...)
	if err != nil {
		return err
	}
	worker.SetStickyWorkflowCacheSize(c.CachedWorkflows) // of the whole process
	metrics, err := activities.NewMetrics(a.metrics.Provider, a.engine)
	if err != nil {
		return err
	}
	rate := activities.NewRate(c.FeedRowsPerSecond)
	deps := workers.Dependencies{
		Store: a.store, Unseal: sealer.Unseal,
		Feeds:    activities.FeedsConfig{MaxItems: c.MaxFeedItems, Rate: rate},
		NameHold: c.NameHold,
		Metrics:  metrics,
	}
	if a.events != nil {
		deps.Events = a.events
	}
	all := make([]worker.Worker, len(domains)) // all are made before any is started
	for i, domain := range domains {
		if all[i], err = workers.New(a.temporal, domain, c.Options, deps); err != nil {
			return usageError{err}
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	for i, w := range all {
		g.Go(func() error {
			a.log.InfoContext(ctx, "worker starting", "domain", domains[i])
			// Run, not Start: it returns when Temporal refuses this worker for good. Then the process ends; it would
			// otherwise look healthy and do nothing.
			stop := make(chan any)
			defer context.AfterFunc(ctx, func() { close(stop) })()
			if err := w.Run(stop); err != nil {
				return fmt.Errorf("worker %s: %w", domains[i], err)
			}
			return nil
		})
	}
	if c.settings != nil {
		g.Go(func() error {
			c.settings.reload(ctx, reloadEvery, a.log, func(c Config) { rate.Set(c.Workers.FeedRowsPerSecond) })
			return nil
		})
	}
	return g.Wait()
}

func apiCommand(s *Settings) *cobra.Command {
	return reads(&cobra.Command{
		Use:   "api",
		Short: "Serve the HTTP API",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := s.Parse("http.addr", "auth.keys", "seal.key")
			if err != nil {
				return err
			}
			// Without Temporal the API serves reads, log-ins and refreshes.
			return connected(c, config, temporalclient.DialLazily, func(a *App) error { return a.Run(c.Context(), config, true) })
		},
	}, append([]string{"http", "ops", "auth", "seal", "events", "ratelimit", "stream", "log"}, workflowSettings...)...)
}

func workerCommand(s *Settings) *cobra.Command {
	return reads(&cobra.Command{
		Use:       "worker DOMAIN|all",
		Short:     "Run the worker of one domain's task queue, or of all",
		Args:      usageArgs(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: append(workers.Domains(), "all"),
		RunE: func(c *cobra.Command, domains []string) error {
			config, err := s.Parse("seal.key")
			if err != nil {
				return err
			}
			if domains[0] == "all" {
				domains = workers.Domains()
			}
			// Without Temporal a worker can do nothing.
			return connected(c, config, temporalclient.Dial, func(a *App) error { return a.Run(c.Context(), config, false, domains...) })
		},
	}, append([]string{"seal", "events", "feed", "users", "worker", "ops", "log"}, workflowSettings...)...)
}

func codecServerCommand(s *Settings) *cobra.Command {
	return reads(&cobra.Command{
		Use:   "codec-server",
		Short: "Decrypt payloads for the Temporal Web UI and CLI; anyone who can connect to it can read all workflows",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := s.Parse("temporal.codec_keys", "codec.addr")
			if err != nil {
				return err
			}
			return newApp(config, c.ErrOrStderr()).ServeCodec(c.Context(), config.Codec)
		},
	}, "temporal", "codec", "log")
}

// connected connects, calls run, and closes the connections.
func connected(c *cobra.Command, config Config, dial dialer, run func(*App) error) error {
	a, err := connect(c.Context(), config, "", c.ErrOrStderr(), dial)
	if err != nil {
		return err
	}
	defer a.Close()
	return run(a)
}

// usageArgs makes the error of a wrong argument a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%w; usage: %s", err, c.UseLine())}
		}
		return nil
	}
}

func healthcheckCommand(s *Settings) *cobra.Command {
	check := healthcheck{}
	command := &cobra.Command{
		Use:   "healthcheck [HOST:PORT]",
		Short: "Check that the process whose ops.addr is on this machine, or the one at an address, is alive; exits 0 if it is",
		Args:  usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			config, err := s.Parse()
			if err != nil {
				return err
			}
			addr := cmp.Or(config.Ops.Addr, config.API.Addr) // the API has /healthz on both
			if len(args) > 0 {
				addr = args[0]
			}
			return check.run(c.Context(), addr)
		},
	}
	command.Flags().StringVar(&check.path, "path", "/healthz", "what to ask for; /readyz checks the dependencies, too")
	command.Flags().DurationVar(&check.timeout, "timeout", 0, "how long to try again; 0: once")
	return reads(command, "http", "ops")
}

// healthcheck asks a process for a path, again and again until the timeout has passed.
type healthcheck struct {
	path    string
	timeout time.Duration
}

const (
	// attemptTimeout bounds one attempt of a health check: a probe of dependencies takes 2 s at most.
	attemptTimeout = 3 * time.Second
	// attemptPause is the time between two.
	attemptPause = 500 * time.Millisecond
)

// run returns nil once the process at the address responds with 200, and the error of the last attempt if it never does.
func (h healthcheck) run(ctx context.Context, addr string) error {
	deadline := time.Now().Add(h.timeout)
	for {
		err := h.ask(ctx, addr)
		if err == nil || time.Now().Add(attemptPause).After(deadline) {
			return err
		}
		select {
		case <-time.After(attemptPause):
		case <-ctx.Done():
			return err
		}
	}
}

// ask asks the process that listens on addr; on this machine if addr has no host.
func (h healthcheck) ask(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return usageError{err}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+h.path, nil)
	if err != nil {
		return usageError{err}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s responds %s", request.URL, response.Status)
	}
	return nil
}
