package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// newClient makes a client of the API that goes through the ingress, and connects from an address of this machine, or any if it is "".
func (t *test) newClient(from string) *traffic.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	return &traffic.Client{URL: "http://" + host, HTTP: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		// As with the line in /etc/hosts that docs/deploy.md adds.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, net.JoinHostPort(t.address, "80"))
		},
	}}}
}

func (t *test) startLoad(ctx context.Context, prefix string) (*traffic.Load, error) {
	return traffic.StartLoad(ctx, t.newClient(""), prefix)
}
