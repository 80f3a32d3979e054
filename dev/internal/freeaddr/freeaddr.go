// Package freeaddr finds addresses for servers that are about to be started.
package freeaddr

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// The ports are below those that Linux gives out by itself, to whatever else is started meanwhile: from 32768 on.
const first, count = 20_000, 12_000

var next atomic.Uint32

func init() { next.Store(rand.Uint32N(count)) }

// Find returns an address, host and port, of this machine at which nobody listens; within a process each another one.
func Find(ctx context.Context) (string, error) {
	for range count {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", first+next.Add(1)%count))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", errors.New("no port is free")
}
