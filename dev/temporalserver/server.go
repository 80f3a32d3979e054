// Package temporalserver runs a Temporal server and its Web UI inside this process: for development and for tests that need
// the real thing. All services are one host each, the data is one SQLite file (or memory), nothing calls out to the internet.
// It is not for production.
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

	// File is the SQLite file, made when missing; its directory must exist. One server at a time may use it. Until the
	// process ends the file stays open, so a server that is to start afresh in the same process needs another name.
	// Empty: in memory, gone at Stop (though the memory is given back only when the process ends).
	File string

	// Namespace is created when missing, with a retention of a week. Empty: "default".
	Namespace string

	// Logger receives what the server logs; the Web UI logs nothing. Nil: nothing is logged.
	Logger *slog.Logger

	// LogLevel is the least level that is logged. Nil: slog.LevelWarn. Whatever the level, what the services log once Stop was
	// called is dropped: they report as errors that the others are gone. A warning that the Web UI causes at every look at a
	// workflow (its page size) counts as slog.LevelDebug.
	LogLevel slog.Leveler
}

// Who is speaking in an error.
const (
	theServer = "Temporal"
	theUI     = "Temporal Web UI"
)

// startTimeout bounds the wait for a front end that was started and doesn't answer. It takes a second at most on two idle cores.
const startTimeout = time.Minute

// Server is a running Temporal server.
type Server struct {
	addr     string
	temporal temporal.Server
	ui       *uiserver.Server
	log      *logger
	stop     sync.Once
}

// Start returns when the front end answers for the namespace and the Web UI's port listens. A port that is taken is an error
// that names the address and what wanted it. When ctx is done first, Start stops what it started and returns an error.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Namespace == "" {
		o.Namespace = "default"
	}

	// All ports are found taken or free, and held at once so that no two are the same, before anything starts. Both servers
	// insist on listening by themselves, so the ports are given up just before.
	var held ports
	defer held.release()
	front, err := held.listen(ctx, theServer, o.Addr)
	if err != nil {
		return nil, err
	}
	http, err := held.listen(ctx, theServer, (&net.TCPAddr{IP: front.IP}).String())
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

	database, err := openDatabase(ctx, o.File, o.Namespace)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", theServer, err)
	}
	s := &Server{addr: reachable(front).String(), log: newLogger(o.Logger, o.LogLevel)}
	held.release()
	if err := s.startTemporal(serverOptions(front, http, inner, database, s.log)); err != nil {
		return nil, fmt.Errorf("%s: %w", theServer, err)
	}
	if err := s.awaitNamespace(ctx, o.Namespace); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%s: %w", theServer, err)
	}
	if ui != nil {
		if err := s.startUI(ctx, ui, &heldUI, o.Namespace); err != nil {
			s.Stop()
			return nil, fmt.Errorf("%s: %w", theUI, err)
		}
	}
	return s, nil
}

// Addr is the host:port at which clients on this machine reach the front end.
func (s *Server) Addr() string { return s.addr }

// Stop ends the server and the Web UI within a few seconds, whatever clients are still waiting for; their calls fail. What was
// acknowledged is in the file. A second Stop does nothing.
func (s *Server) Stop() {
	s.stop.Do(func() {
		s.log.mute()
		if s.ui != nil {
			s.ui.Stop()
		}
		// The server reports what went wrong while stopping to its log, and has nothing else to say.
		_ = s.temporal.Stop()
	})
}

// startTemporal runs in a goroutine of its own, because a fatal log message ends the goroutine it comes from (see logger).
func (s *Server) startTemporal(options []temporal.ServerOption) error {
	result := make(chan error, 1)
	go func() {
		err := errors.New("did not start")
		defer func() {
			// A goroutine that ends inside a sync.OnceValue panics, and is told apart by the message there was.
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

func (s *Server) awaitNamespace(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := client.NewLazyClient(client.Options{HostPort: s.addr, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))})
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

// startUI comes after the front end answers: the UI dials it when made, and would else answer its first seconds with errors.
func (s *Server) startUI(ctx context.Context, addr *net.TCPAddr, held *ports, namespace string) error {
	host := addr.IP.String()
	if addr.IP.To4() == nil {
		host = "[" + host + "]"
	}
	s.ui = uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		Host:                host,
		Port:                addr.Port,
		TemporalGRPCAddress: s.addr,
		DefaultNamespace:    namespace,
		EnableUI:            true,
		CORS:                uiconfig.CORS{CookieInsecure: true}, // plain HTTP
		DisableNewsFetch:    true,
		HideLogs:            true,
	}))
	// The UI's Start ends the process when it can't listen, hence nothing between this and giving up the port.
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

// wait passes the time between two tries.
func wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Millisecond):
		return nil
	}
}

// ports are listeners that only keep others away from their ports.
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

// reachable is the address to dial for one that is listened on: 0.0.0.0 and :: are not.
func reachable(addr *net.TCPAddr) *net.TCPAddr {
	if addr.IP.IsUnspecified() {
		return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: addr.Port}
	}
	return addr
}
