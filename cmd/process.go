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
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/api"
	"github.com/twtr-dev/twtr/internal/health"
	"github.com/twtr-dev/twtr/internal/seal"
	"github.com/twtr-dev/twtr/internal/telemetry"
	"github.com/twtr-dev/twtr/internal/temporalclient"
	"github.com/twtr-dev/twtr/workers"
	"github.com/twtr-dev/twtr/workflows"
)

// Process is what the API and the workers have in common: settings, log, metrics, and the connections.
type Process struct {
	settings *Settings
	log      *slog.Logger
	metrics  *telemetry.Metrics
	store    twtr.Store
	temporal client.Client
}

// Connect opens the store and connects to Temporal, at temporalAddr or, if that is empty, where the TEMPORAL_* settings
// say. The log goes to logs, a JSON object a line.
func Connect(ctx context.Context, s *Settings, temporalAddr string, logs io.Writer) (*Process, error) {
	level, err := s.logLevel()
	if err != nil {
		return nil, err
	}
	p := &Process{settings: s, log: slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: level}))}
	if p.metrics, err = telemetry.New(); err != nil {
		return nil, err
	}
	e, err := s.engine()
	if err != nil {
		return nil, err
	}
	options, err := temporalclient.Options(temporalAddr, p.log, p.metrics.Temporal())
	if err != nil {
		return nil, usageError{err}
	}
	if p.store, err = e.open(ctx, s); err != nil {
		return nil, err
	}
	if p.temporal, err = temporalclient.Dial(ctx, options, workflows.SearchAttributes); err != nil {
		p.store.Close()
		return nil, err
	}
	return p, nil
}

// Close ends the connections.
func (p *Process) Close() {
	p.temporal.Close()
	p.store.Close()
}

// HTTPDrain is for how long the API lets requests in hand end; their own deadline is shorter.
const HTTPDrain = 8 * time.Second

// ServeAPI answers HTTP requests until ctx ends, and then those that are in hand.
func (p *Process) ServeAPI(ctx context.Context) error {
	config, err := p.settings.api()
	if err != nil {
		return err
	}
	config.Store, config.Temporal, config.Logger, config.Metrics = p.store, p.temporal, p.log, p.metrics
	handler, err := api.New(config)
	if err != nil {
		return err
	}
	return p.serveHTTP(ctx, "API", p.settings.HTTPAddr(), handler)
}

// serveHTTP answers requests at an address until ctx ends, and then those that are in hand. The log calls it by that name.
func (p *Process) serveHTTP(ctx context.Context, name, addr string, handler http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("the %s: %w", name, err)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      15 * time.Second, // longer than a request's deadline
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	p.log.InfoContext(ctx, "HTTP listens", "for", name, "addr", listener.Addr().String())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), HTTPDrain)
		defer cancel()
		return server.Shutdown(drain)
	})
	return g.Wait()
}

// RunWorkers works on the task queues of those domains until ctx ends, and then lets what is in hand end, or hands it over.
func (p *Process) RunWorkers(ctx context.Context, domains ...string) error {
	sealKey, err := p.settings.sealKey()
	if err != nil {
		return err
	}
	sealer, err := seal.New(sealKey)
	if err != nil {
		return err
	}
	maxItems, err := p.settings.maxFeedItems()
	if err != nil {
		return err
	}
	options, err := p.settings.workerOptions()
	if err != nil {
		return err
	}
	cached, err := p.settings.cachedWorkflows()
	if err != nil {
		return err
	}
	worker.SetStickyWorkflowCacheSize(cached)
	perSecond, err := p.settings.feedRate()
	if err != nil {
		return err
	}
	deps := workers.Dependencies{Store: p.store, Unseal: sealer.Unseal, MaxFeedItems: maxItems, FeedRate: activities.NewRate(perSecond)}
	g, ctx := errgroup.WithContext(ctx)
	for _, domain := range domains {
		w, err := workers.New(p.temporal, domain, options, deps)
		if err != nil {
			return usageError{err}
		}
		g.Go(func() error {
			p.log.InfoContext(ctx, "worker starts", "domain", domain)
			// Run, and not Start: it returns when Temporal refuses this worker for good, and the process, which would look
			// healthy and do nothing, ends.
			stop := make(chan any)
			defer context.AfterFunc(ctx, func() { close(stop) })()
			if err := w.Run(stop); err != nil {
				return fmt.Errorf("worker %s: %w", domain, err)
			}
			return nil
		})
	}
	if addr := p.settings.get("worker.addr"); addr != "" {
		g.Go(func() error { return p.serveHTTP(ctx, "workers' health", addr, p.health()) })
	}
	p.settings.watch(func() {
		perSecond, err := p.settings.feedRate()
		if err != nil {
			p.log.ErrorContext(ctx, "the settings file has changed, and what it says now is not taken", "error", err)
			return
		}
		deps.FeedRate.Set(perSecond)
		p.log.InfoContext(ctx, "the settings file has changed", "feed.rows_per_second", perSecond)
	})
	return g.Wait()
}

// health is what a worker tells those who look after it.
func (p *Process) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := health.Ready(r.Context(), p.store, p.temporal); err != nil {
			p.log.WarnContext(r.Context(), "a dependency is away", "error", err)
			http.Error(w, err.Message, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "ready")
	})
	mux.Handle("GET /metrics", p.metrics.Handler())
	return mux
}

func apiCommand(s *Settings) *cobra.Command {
	return &cobra.Command{
		Use:   "api",
		Short: "Serve the HTTP API",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			// Before anything is connected to: a process without a secret says so at once.
			if _, err := s.api(); err != nil {
				return err
			}
			return serve(c, s, func(p *Process) error { return p.ServeAPI(c.Context()) })
		},
	}
}

func workerCommand(s *Settings) *cobra.Command {
	return &cobra.Command{
		Use:       "worker DOMAIN|all",
		Short:     "Work on the task queue of one domain, or of all",
		Args:      usageArgs(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: append(workers.Domains(), "all"),
		RunE: func(c *cobra.Command, args []string) error {
			_, sealErr := s.sealKey()
			_, itemsErr := s.maxFeedItems()
			_, rateErr := s.feedRate()
			_, optionsErr := s.workerOptions()
			_, cachedErr := s.cachedWorkflows()
			if err := cmp.Or(sealErr, itemsErr, rateErr, optionsErr, cachedErr); err != nil {
				return err
			}
			if args[0] == "all" {
				args = workers.Domains()
			}
			return serve(c, s, func(p *Process) error { return p.RunWorkers(c.Context(), args...) })
		},
	}
}

// serve connects, runs until the command's context ends, and closes the connections.
func serve(c *cobra.Command, s *Settings, run func(*Process) error) error {
	p, err := Connect(c.Context(), s, "", c.ErrOrStderr())
	if err != nil {
		return err
	}
	defer p.Close()
	return run(p)
}

// usageArgs makes wrong arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%w; usage: %s", err, c.UseLine())}
		}
		return nil
	}
}

func healthcheckCommand(s *Settings) *cobra.Command {
	return &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the API or the worker on this machine whether it is alive; the exit code is the answer",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), 3*time.Second)
			defer cancel()
			// A container has one of the two, and this is to be the same for both.
			err := askHealth(ctx, s, "http.addr")
			if err == nil || s.get("worker.addr") == "" {
				return err
			}
			if workerErr := askHealth(ctx, s, "worker.addr"); workerErr != nil {
				return fmt.Errorf("%w; %w", err, workerErr)
			}
			return nil
		},
	}
}

// askHealth asks at the address that this setting holds.
func askHealth(ctx context.Context, s *Settings, setting string) error {
	host, port, err := net.SplitHostPort(s.get(setting))
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", setting, err)}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", setting, response.Status)
	}
	return nil
}
