package cmd

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// maxConnections bounds the connections that a process has at a time. An idle one takes 20 KiB, so that many of them fit into the
// memory of the chart's pods. There is no limit per address: behind an ingress all connections come from the ingress.
const maxConnections = 12_000

// listen accepts at most that many connections at a time; others wait until one is closed.
func listen(ctx context.Context, addr string, limit int) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return netutil.LimitListener(listener, limit), nil
}

// httpServer makes a server that closes the connections of clients that are slow, silent, or gone without a word.
func (a *App) httpServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      25 * time.Second, // longer than a request's two timeouts, 10 s for its body and 5 s for its processing
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
}
