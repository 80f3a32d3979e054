// Package freeaddr finds free addresses for servers that tests are about to start.
package freeaddr

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// The ports are below Linux's ephemeral ports, which start at 32768 and may be assigned to other processes at any time.
const first, count = 20_000, 12_000

var next atomic.Uint32

func init() { next.Store(rand.Uint32N(count)) }

// Find returns a free address, host and port, on this machine. It returns no address twice within a process until it has tried all.
func Find(ctx context.Context) (string, error) {
	for range count {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", first+next.Add(1)%count))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", errors.New("no port is free")
}
