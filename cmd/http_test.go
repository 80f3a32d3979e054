package cmd

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pipes is a listener whose connections are pipes, so that a test's clock may be a simulated one.
type pipes struct {
	net.Listener
	accepted chan net.Conn
}

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p.accepted; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error { return nil }

// drain reads until the server closes the connection.
func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// trickle sends a byte a second, as long as the server reads them.
func trickle(c net.Conn, text string) {
	for i := range len(text) {
		if _, err := c.Write([]byte{text[i]}); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func TestClientsThatAreSlowOrGoneAreDisconnected(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, client := range map[string]struct {
		use   func(t *testing.T, c net.Conn) // returns when the connection is closed
		after time.Duration
	}{
		"says nothing": {func(_ *testing.T, c net.Conn) { drain(c) }, 5 * time.Second},
		"sends its header byte by byte": {func(_ *testing.T, c net.Conn) {
			go trickle(c, get)
			drain(c)
		}, 5 * time.Second},
		"sends its body byte by byte": {func(_ *testing.T, c net.Conn) {
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
			go trickle(c, fmt.Sprintf("%100d", 1))
			drain(c)
		}, 10 * time.Second},
		"reads no answer": {func(_ *testing.T, c net.Conn) {
			_, _ = io.WriteString(c, get)
			_, _ = io.WriteString(c, get) // waits until the server reads it, or closes the connection
		}, 25 * time.Second},
		"is silent after a request": {func(t *testing.T, c net.Conn) {
			go func() { _, _ = io.WriteString(c, get) }()
			in := bufio.NewReader(c)
			response, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			defer response.Body.Close()
			_, err = io.Copy(io.Discard, response.Body)
			require.NoError(t, err)
			_, _ = in.ReadByte()
		}, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				listener := pipes{accepted: make(chan net.Conn)}
				app := &App{log: slog.New(slog.DiscardHandler)}
				s := app.httpServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = w.Write(make([]byte, 64<<10))
				}))
				go func() { _ = s.Serve(listener) }()
				defer close(listener.accepted)
				c, server := net.Pipe()
				listener.accepted <- server
				began := time.Now()
				client.use(t, c)
				require.Equal(t, client.after, time.Since(began))
				require.NoError(t, c.Close())
				time.Sleep(time.Minute) // until trickle notices
			})
		})
	}
}

func TestMoreConnectionsThanTheLimitWaitUntilOneIsClosed(t *testing.T) {
	listener, err := listen(t.Context(), "127.0.0.1:0", 1)
	require.NoError(t, err)
	app := &App{log: slog.New(slog.DiscardHandler)}
	s := app.httpServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	go func() { _ = s.Serve(listener) }()
	defer s.Close()
	connect := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		return c, bufio.NewReader(c)
	}
	first, in := connect()
	_, err = in.Peek(1)
	require.NoError(t, err, "the first one is served")
	second, in := connect()
	require.NoError(t, second.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	_, err = in.Peek(1)
	require.Error(t, err, "the second one waits")
	require.NoError(t, second.SetReadDeadline(time.Time{}))
	require.NoError(t, first.Close())
	_, err = in.Peek(1)
	require.NoError(t, err, "it is served now")
}
