// Command dev runs everything in one process, for development: a Temporal server with its Web UI, NATS, the API, all workers, and the
// store. With the argument temporal it runs only the Temporal server, with nats only NATS.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr/cmd"
	"github.com/twtr-dev/twtr/dev/natsserver"
	"github.com/twtr-dev/twtr/dev/temporalserver"
	"github.com/twtr-dev/twtr/workers"
)

// gcPercent trades memory for time: all of Temporal's server, the API and the workers allocate in this one process, on a small live
// heap. Compared with the default of 100 it gives some 5% more tweets and 10% more follows per second (make bench-compare).
const gcPercent = 400

func main() {
	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cmd.Execute(ctx, newRoot(), os.Args[1:], os.Stdout, os.Stderr))
}

// dir holds the store, Temporal's database, the log, and the secrets that the first start creates.
const dir = ".twtr"

// addresses are those of the Temporal server and of NATS; the defaults are their own.
type addresses struct{ temporal, ui, nats string }

func newRoot() *cobra.Command {
	var a addresses
	root := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process, with data in " + dir + "/",
		Args:  cobra.NoArgs,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.temporal, "temporal-addr", "127.0.0.1:7233", "address of the Temporal server")
	flags.StringVar(&a.ui, "temporal-ui-addr", "127.0.0.1:8233", "address of the Temporal Web UI")
	flags.StringVar(&a.nats, "nats-addr", "127.0.0.1:4222", "address of NATS, if events.url names no other one; empty: none")
	settings := cmd.NewSettings(root.Flags())
	settings.SetDefault("http.addr", "127.0.0.1:3002") // no other machine has to reach an API without rate limits
	settings.SetDefault("http.page", "true")
	for _, limit := range []string{"signups", "logins", "tweets", "follows", "reads"} {
		settings.SetDefault("ratelimit."+limit, "0")
	}
	root.RunE = func(c *cobra.Command, _ []string) error {
		if err := settings.Read(); err != nil {
			return err
		}
		return runAll(c.Context(), settings, a, c.OutOrStdout())
	}
	root.AddCommand(&cobra.Command{
		Use:   "temporal",
		Short: "Run the Temporal server and its Web UI alone",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.free(c.Context()); err != nil {
				return err
			}
			logs, err := openLog()
			if err != nil {
				return err
			}
			defer logs.Close()
			server, err := startTemporal(c.Context(), a, "", logs)
			if err != nil {
				return err
			}
			defer server.Stop()
			fmt.Fprintf(c.OutOrStdout(), "Temporal at %s, Web UI at http://%s\n", server.Addr(), a.ui)
			<-c.Context().Done()
			return nil
		},
	})
	root.AddCommand(&cobra.Command{
		Use:   "nats",
		Short: "Run NATS alone",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := makePrivate(dir); err != nil {
				return err
			}
			server, err := startNATS(c.Context(), a)
			if err != nil {
				return err
			}
			defer server.Stop()
			fmt.Fprintf(c.OutOrStdout(), "NATS at %s\n", server.URL())
			<-c.Context().Done()
			return nil
		},
	})
	return root
}

func startNATS(ctx context.Context, a addresses) (*natsserver.Server, error) {
	if err := free(ctx, "NATS", a.nats, "nats-addr"); err != nil {
		return nil, err
	}
	return natsserver.Start(a.nats, filepath.Join(dir, "nats"))
}

func openLog() (io.WriteCloser, error) {
	if err := makePrivate(dir); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
}

// makePrivate creates the directory unless it exists, and lets only its owner into it and its files: they may be there since a
// version that let every user read them.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		if !file.Type().IsRegular() {
			continue
		}
		// SQLite removes its -wal and -shm files when a process that still runs closes the database.
		if err := os.Chmod(filepath.Join(dir, file.Name()), 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func startTemporal(ctx context.Context, a addresses, codec string, logs io.Writer) (*temporalserver.Server, error) {
	return temporalserver.Start(ctx, temporalserver.Options{
		Addr:          a.temporal,
		UIAddr:        a.ui,
		CodecEndpoint: codec,
		File:          filepath.Join(dir, "temporal.db"),
		Logger:        slog.New(slog.NewJSONHandler(logs, nil)),
	})
}

func runAll(ctx context.Context, settings *cmd.Settings, a addresses, out io.Writer) error {
	logs, err := openLog()
	if err != nil {
		return err
	}
	defer logs.Close()
	for key, prefix := range map[string]string{"auth.keys": "dev:", "seal.key": ""} {
		value, err := secret(filepath.Join(dir, key))
		if err != nil {
			return err
		}
		settings.SetDefault(key, prefix+value)
	}
	if a.nats != "" {
		settings.SetDefault("events.url", "nats://"+a.nats)
	}
	if a.ui != "" {
		settings.SetDefault("temporal.ui_url", localURL(a.ui))
	}
	config, err := settings.Parse("http.addr")
	if err != nil {
		return err
	}
	if err := errors.Join(free(ctx, "API", config.API.Addr, "http-addr"), free(ctx, "ops", config.Ops.Addr, "ops-addr"), a.free(ctx)); err != nil {
		return err
	}
	if err := cmd.Migrate(ctx, config.Store); err != nil {
		if config.Store.Engine == "cassandra" {
			err = fmt.Errorf("%w (scripts/cassandra.sh start brings one)", err)
		}
		return err
	}
	if a.nats != "" && config.Events.URL == "nats://"+a.nats {
		server, err := startNATS(ctx, a)
		if err != nil {
			return err
		}
		defer server.Stop()
	}
	if config.Events.URL != "" {
		if err := cmd.MigrateEvents(ctx, config.Events, 0); err != nil {
			return err
		}
	}
	codec := ""
	if len(config.Codec.Keys) > 0 {
		codec = localURL(config.Codec.Addr)
		if len(config.Codec.UIOrigins) == 0 {
			_, port, _ := net.SplitHostPort(a.ui) // the server checks it
			config.Codec.UIOrigins = []string{localURL(a.ui), "http://localhost:" + port}
		}
	}
	server, err := startTemporal(ctx, a, codec, logs)
	if err != nil {
		return err
	}
	defer server.Stop()
	app, err := cmd.Connect(ctx, config, server.Addr(), logs)
	if err != nil {
		return err
	}
	defer app.Close()

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return app.Run(ctx, config, true, workers.Domains()...) })
	if codec != "" {
		g.Go(func() error { return app.ServeCodec(ctx, config.Codec) })
	}
	g.Go(func() error {
		url := localURL(config.API.Addr)
		if healthy(ctx, url) {
			name := "API"
			if config.API.Page {
				name = "API and web page"
			}
			nats := ""
			if config.Events.URL != "" {
				nats = "\n  NATS             " + config.Events.URL
			}
			fmt.Fprintf(out, welcome, url, a.ui, config.Store.Engine, dir, nats, name)
		}
		return nil
	})
	return g.Wait()
}

const welcome = `
twtr is running.
  %-16[6]s %[1]s
  Temporal Web UI  http://%[2]s%[5]s
  store            %[3]s; data, log and secrets are in %[4]s/

Try:
  curl -s %[1]s/users -d '{"username":"ann","password":"correct horse","passwordConfirmation":"correct horse","email":"ann@example.com","displayName":"Ann"}'
  curl -s %[1]s/tweets -H 'Authorization: Bearer <the accessToken of that response>' -d '{"content":"hello, world"}'
  curl -s %[1]s/tweets/ann

Ctrl-C stops it.
`

// secret returns the random text in a file, which it creates if it does not exist.
func secret(file string) (string, error) {
	text := rand.Text() + rand.Text()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		stored, err := os.ReadFile(file)
		return strings.TrimSpace(string(stored)), err
	}
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text + "\n")
	return text, errors.Join(err, f.Close())
}

// free returns an error of one line for each address that is in use, before anything is started.
func (a addresses) free(ctx context.Context) error {
	return errors.Join(free(ctx, "Temporal", a.temporal, "temporal-addr"), free(ctx, "Temporal Web UI", a.ui, "temporal-ui-addr"))
}

func free(ctx context.Context, who, addr, flag string) error {
	if addr == "" {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %s is already in use (--%s chooses another)", who, addr, flag)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", who, err)
	}
	return l.Close()
}

func localURL(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// healthy waits until the API responds, and reports whether it did before ctx ended.
func healthy(ctx context.Context, url string) bool {
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/healthz", nil)
		if err != nil {
			return false
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}
