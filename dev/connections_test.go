package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// idleConnections are fewer than a process accepts.
const idleConnections = 10_000

// idle is a connection on which nothing happens between two requests.
type idle struct {
	net.Conn
	in *bufio.Reader
}

func (c idle) ask() error {
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && string(body) != "ok" {
		err = fmt.Errorf("%d %s", response.StatusCode, body)
	}
	return err
}

// memory is the resident memory of a process, in bytes.
func (p *process) memory(t *testing.T) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if os.IsNotExist(err) {
		return 0 // not Linux
	}
	require.NoError(t, err)
	kilobytes, err := strconv.Atoi(string(regexp.MustCompile(`VmRSS:\s+(\d+)`).FindSubmatch(status)[1]))
	require.NoError(t, err)
	return kilobytes << 10
}

func TestTenThousandIdleConnectionsAreHeldWhileOthersAreServed(t *testing.T) {
	if raceDetector {
		t.Skip("it needs memory of its own for each connection; scripts/test.sh runs this without it")
	}
	var files syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files)) // Go has raised it as far as it may
	if files.Cur < idleConnections+1000 {
		t.Skipf("at most %d open files", files.Cur)
	}
	s := newStack(t, "sqlite")
	s.work()
	// Another process, whose files and memory are its own.
	addr := freeAddr(t)
	env := append([]string{"TEMPORAL_ADDRESS=" + s.temporal, "TWTR_HTTP_ADDR=" + addr, "TWTR_SQLITE_PATH=" + s.file}, secretsEnv...)
	api := start(t, t.TempDir(), "twtr", env, "api")
	s.url = "http://" + addr
	requireHealthy(t, s.url)
	before := api.memory(t)

	connections := make([]idle, idleConnections)
	t.Cleanup(func() {
		for _, c := range connections {
			if c.Conn != nil {
				c.Close()
			}
		}
	})
	askAll := func() {
		t.Helper()
		var all sync.WaitGroup
		failures := make(chan error, 8)
		for first := range cap(failures) {
			all.Go(func() {
				for i := first; i < len(connections); i += cap(failures) {
					c := &connections[i]
					var err error
					if c.Conn == nil {
						if c.Conn, err = net.Dial("tcp", addr); err == nil {
							c.in = bufio.NewReaderSize(c.Conn, 512)
						}
					}
					if err == nil {
						err = c.ask()
					}
					if err != nil {
						failures <- fmt.Errorf("connection %d: %w", i, err)
						return
					}
				}
			})
		}
		all.Wait()
		close(failures)
		require.NoError(t, <-failures)
	}
	askAll()
	each := (api.memory(t) - before) / idleConnections
	t.Logf("%d bytes a connection", each)
	require.Less(t, each, 40<<10)

	ann, bob := s.signUp("ann"), s.signUp("bob")
	s.follow(bob, "ann")
	posted := s.post(ann, 4, 20)
	s.eventually("all arrive", func() bool { return len(s.feed(bob)) == 20 })
	require.Equal(t, posted, s.feed(bob))
	askAll() // none was closed
	api.stops(t, syscall.SIGTERM)
}
