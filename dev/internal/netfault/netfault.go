// Package netfault puts a TCP proxy between two processes, which can be made to hang, to be slow or to break connections.
package netfault

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Proxy forwards connections to a server. At most one fault is active at a time.
type Proxy struct {
	proxy *toxiproxy.Proxy
}

// Start listens on an address, such as 127.0.0.1:0, and forwards to the server.
func Start(listen, server string) (*Proxy, error) {
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := &Proxy{toxiproxy.NewProxy(api, server, listen, server)}
	return p, p.proxy.Start()
}

// Addr is where the proxy listens, also while it is cut.
func (p *Proxy) Addr() string { return p.proxy.Listen }

// Stop closes all connections and listens no longer.
func (p *Proxy) Stop() { p.proxy.Stop() }

// Hang keeps connections open, accepts new ones, and forwards nothing.
func (p *Proxy) Hang() error { return p.add("timeout", `{"timeout": 0}`, upstream, downstream) }

// Mute keeps connections open, passes on what clients send, and drops what the server answers.
func (p *Proxy) Mute() error { return p.add("timeout", `{"timeout": 0}`, downstream) }

// Delay delays all that the server sends.
func (p *Proxy) Delay(by time.Duration) error {
	return p.add("latency", fmt.Sprintf(`{"latency": %d}`, by.Milliseconds()), downstream)
}

// Reset resets connections, also new ones, when so much time has passed.
func (p *Proxy) Reset(after time.Duration) error {
	return p.add("reset_peer", fmt.Sprintf(`{"timeout": %d}`, after.Milliseconds()), downstream)
}

// Tear closes each connection when the server has sent so many bytes, in the middle of an answer.
func (p *Proxy) Tear(after int) error {
	return p.add("limit_data", fmt.Sprintf(`{"bytes": %d}`, after), downstream)
}

// Cut closes all connections and refuses new ones.
func (p *Proxy) Cut() { p.proxy.Stop() }

// Heal ends the fault.
func (p *Proxy) Heal(ctx context.Context) error {
	p.proxy.Toxics.ResetToxics(ctx)
	if p.proxy.Enabled {
		return nil
	}
	return p.proxy.Start()
}

// The directions, to the server and from it.
const (
	upstream   = "upstream"
	downstream = "downstream"
)

func (p *Proxy) add(kind, attributes string, streams ...string) error {
	for _, stream := range streams {
		toxic := fmt.Sprintf(`{"type": %q, "name": %q, "stream": %q, "attributes": %s}`, kind, kind+"-"+stream, stream, attributes)
		if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return err
		}
	}
	return nil
}
