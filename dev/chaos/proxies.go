//go:build linux

package main

import (
	"errors"
	"fmt"

	"github.com/twtr-dev/twtr/dev/internal/netfault"
)

// proxyNetwork is that of the proxies in front of the Cassandra nodes. They have the nodes' port, because a node can tell clients another
// address, but no other port.
const proxyNetwork = "127.0.4"

// proxies are what API and workers connect through.
type proxies struct {
	temporal  *netfault.Proxy
	cassandra []*netfault.Proxy
}

func startProxies(temporal string) (*proxies, error) {
	p := &proxies{}
	var failed error
	start := func(listen, server string) *netfault.Proxy {
		proxy, err := netfault.Start(listen, server)
		failed = errors.Join(failed, err)
		return proxy
	}
	p.temporal = start("127.0.0.1:0", temporal)
	for i := range cassandraNodes {
		p.cassandra = append(p.cassandra, start(fmt.Sprintf("%s.%d:9042", proxyNetwork, i+1), nodeAddr(i+1)))
	}
	return p, failed
}

func (p *proxies) stop() {
	p.temporal.Stop()
	for _, proxy := range p.cassandra {
		proxy.Stop()
	}
}
