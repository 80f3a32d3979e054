// Package natsserver runs a NATS server with JetStream in this process.
package natsserver

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout bounds the start, which reads what the streams hold.
const startTimeout = 10 * time.Second

// Server is a NATS server that runs.
type Server struct{ *server.Server }

// Start starts a server on addr, host:port, where port 0 is a free one, and keeps the streams in dir. The caller must stop it. What it
// has acknowledged survives the end of the process, in whatever way; a failure of the machine may lose the last two minutes.
func Start(addr, dir string) (*Server, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("port of NATS: %w", err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "twtr-dev", Host: host, Port: port, JetStream: true, StoreDir: dir,
		NoSigs: true, NoLog: true,
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(startTimeout) || !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, errors.New("NATS does not start: is its address, or its folder, in use?")
	}
	return &Server{s}, nil
}

// URL is where clients connect.
func (s *Server) URL() string { return s.ClientURL() }

// Stop stops the server.
func (s *Server) Stop() {
	s.Shutdown()
	s.WaitForShutdown()
}
