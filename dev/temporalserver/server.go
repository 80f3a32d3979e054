// Package temporalserver runs a Temporal server and its Web UI in this process, for development and for tests that need a real
// server. Each service is one host, the data is in two SQLite files or in memory, and nothing connects to the internet.
// It is not for production.
//
// go.temporal.io/server/temporaltest starts a server in a process, too, but always in memory, without the Web UI, only inside a
// test, and with the defaults of a cluster (20 reads of a queue a second, no fairness). This package keeps what was acknowledged
// across restarts, shows it in the Web UI, and is configured for one machine (see dynamicConfig).
package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/server/temporal"
)

// Options say where the server listens and keeps its data.
type Options struct {
	// Addr is the host:port of the gRPC front end, e.g. 127.0.0.1:7233. Port 0 picks a free one.
	Addr string

	// UIAddr is the host:port of the Web UI, e.g. 127.0.0.1:8233. Empty: no Web UI.
	UIAddr string

	// CodecEndpoint is the URL of a codec server, with which the Web UI shows encrypted payloads. Empty: none.
	CodecEndpoint string

	// File is the SQLite file of the workflows. The visibility records (what lists and counts of workflows read) are in a second file
	// next to it: temporal-visibility.db for temporal.db. Both are created when missing, readable by their owner only; the directory
	// must exist. One server at a time may use them. They stay open until the process ends, so a server that must start with empty
	// files in the same process needs another name.
	//
	// A file of an older version, which has no second one, keeps its workflows but not their visibility records: open workflows are
	// listed again when they close, closed ones are not listed. The same holds when the second file is lost.
	//
	// Empty: in memory, lost at Stop (though the memory is freed only when the process ends).
	File string

	// TLS makes the front end require TLS, and a certificate of its clients; not with a Web UI. Nil: neither.
	TLS *TLS

	// Namespace is created when missing, with a retention of a week. Empty: "default".
	Namespace string

	// Logger receives what the server logs; the Web UI logs nothing. Nil: nothing is logged.
	Logger *slog.Logger

	// LogLevel is the lowest level that is logged. Nil: slog.LevelWarn. At any level, the log drops what the services write after Stop
	// was called, because they report each other's end as errors. Warnings without a meaning here (see harmless) count as
	// slog.LevelDebug.
	LogLevel slog.Leveler

	// DynamicConfig replaces values of the server's dynamic configuration, by their names in Temporal's documentation; e.g. a test
	// sets history.maxTotalUpdates to 20 to meet that limit soon.
	DynamicConfig map[string]any
}

// TLS has the names of files in PEM.
type TLS struct {
	// CAFile has the authority that has signed the certificate, and those of clients.
	CAFile string

	// CertFile and KeyFile are the certificate for the host of [Options.Addr], and its key. The server is also its own client.
	CertFile, KeyFile string
}

// The subject of an error.
const (
	theServer = "Temporal"
	theUI     = "Temporal Web UI"
)

// startTimeout bounds the wait for a front end that has started and does not answer. On two idle cores it answers within a second.
const startTimeout = time.Minute

// Server is a running Temporal server.
type Server struct {
	addr     string
	temporal temporal.Server
	ui       *uiserver.Server
	log      *logger
	stop     sync.Once
}

// Start returns when the front end answers for the namespace and the Web UI listens. When a port is in use, the error names the
// address and the server that needs it. When ctx is done first, Start stops what it started and returns an error.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Namespace == "" {
		o.Namespace = "default"
	}

	// Before anything starts, all ports are checked, and held at the same time so that no two are the same. Both servers open their
	// listeners themselves, so the ports are released just before they start.
	var held ports
	defer held.release()
	front, err := held.listen(ctx, theServer, o.Addr)
	if err != nil {
		return nil, err
	}
	var inner [len(innerServices)]*net.TCPAddr
	for i := range inner {
		if inner[i], err = held.listen(ctx, theServer, "127.0.0.1:0"); err != nil {
			return nil, err
		}
	}
	var heldUI ports
	defer heldUI.release()
	var ui *net.TCPAddr
	if o.UIAddr != "" {
		if ui, err = heldUI.listen(ctx, theUI, o.UIAddr); err != nil {
			return nil, err
		}
	}

	dbs, err := openDatabases(ctx, o.File, o.Namespace)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", theServer, err)
	}
	s := &Server{addr: reachable(front).String(), log: newLogger(o.Logger, o.LogLevel)}
	held.release()
	if err := s.startTemporal(serverOptions(front, inner, dbs, withDynamicConfig(o.DynamicConfig), s.log, o.TLS)); err != nil {
		return nil, fmt.Errorf("%s: %w", theServer, err)
	}
	if err := s.awaitNamespace(ctx, o); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%s: %w", theServer, err)
	}
	if ui != nil {
		if err := s.startUI(ctx, ui, &heldUI, o); err != nil {
			s.Stop()
			return nil, fmt.Errorf("%s: %w", theUI, err)
		}
	}
	return s, nil
}

// Addr is the host:port at which clients on this machine reach the front end.
func (s *Server) Addr() string { return s.addr }

// Stop ends the server and the Web UI within a few seconds. Calls that still wait fail. What was acknowledged is in the file. A
// second Stop does nothing.
func (s *Server) Stop() {
	s.stop.Do(func() {
		s.log.mute()
		if s.ui != nil {
			s.ui.Stop()
		}
		// The server writes what fails while it stops to its log; the error repeats that.
		_ = s.temporal.Stop()
	})
}

// startTemporal starts the server in a goroutine of its own, because a fatal log message ends the goroutine that logs it (see logger).
func (s *Server) startTemporal(options []temporal.ServerOption) error {
	result := make(chan error, 1)
	go func() {
		err := errors.New("did not start")
		defer func() {
			// A goroutine that ends inside a sync.OnceValue panics. The fatal message tells this case from a real panic.
			p := recover()
			if fatal := s.log.fatal.Load(); fatal != nil {
				err = *fatal
			} else if p != nil {
				panic(p)
			}
			result <- err
		}()
		if s.temporal, err = temporal.NewServer(options...); err == nil {
			err = s.temporal.Start()
		}
	}()
	return <-result
}

func (s *Server) awaitNamespace(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	namespace := o.Namespace
	options := client.Options{HostPort: s.addr, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))}
	if o.TLS != nil {
		var err error
		if options.ConnectionOptions.TLS, err = o.TLS.client(); err != nil {
			return err
		}
	}
	c, err := client.NewLazyClient(options)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		_, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
		if err == nil {
			return nil
		}
		if wait(ctx) != nil {
			return fmt.Errorf("%s does not answer for namespace %q: %w", s.addr, namespace, err)
		}
	}
}

// startUI must be called when the front end answers: the UI dials it at once, and would otherwise answer with errors for seconds.
func (s *Server) startUI(ctx context.Context, addr *net.TCPAddr, held *ports, o Options) error {
	host := addr.IP.String()
	if addr.IP.To4() == nil {
		host = "[" + host + "]"
	}
	s.ui = uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		Host:                host,
		Port:                addr.Port,
		TemporalGRPCAddress: s.addr,
		DefaultNamespace:    o.Namespace,
		EnableUI:            true,
		CORS:                uiconfig.CORS{CookieInsecure: true}, // plain HTTP
		Codec:               uiconfig.Codec{Endpoint: o.CodecEndpoint},
		DisableNewsFetch:    true,
		HideLogs:            true,
	}))
	// The UI's Start ends the process when it cannot listen, so nothing comes between this and the release of the port.
	held.release()
	go func() { _ = s.ui.Start() }()

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", reachable(addr).String())
		if err == nil {
			return conn.Close()
		}
		if wait(ctx) != nil {
			return fmt.Errorf("%s does not answer: %w", addr, err)
		}
	}
}

// wait sleeps between two attempts.
func wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Millisecond):
		return nil
	}
}

// ports are listeners that only hold their ports.
type ports []net.Listener

func (p *ports) listen(ctx context.Context, who, addr string) (*net.TCPAddr, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is already in use", who, addr)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", who, err)
	}
	*p = append(*p, l)
	return l.Addr().(*net.TCPAddr), nil
}

func (p *ports) release() {
	for _, l := range *p {
		_ = l.Close()
	}
	*p = nil
}

// reachable is the address to dial for one that a server listens on: 0.0.0.0 and :: cannot be dialed.
func reachable(addr *net.TCPAddr) *net.TCPAddr {
	if addr.IP.IsUnspecified() {
		return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: addr.Port}
	}
	return addr
}
