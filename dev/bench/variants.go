package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
)

// variants measures other ways to write the same rows, which the store does not use, and a second feeds worker.
func variants(b *bench) error {
	rate := map[string][]float64{}
	var names []string
	measure := func(name string, n int, do func() error) error {
		begin := time.Now()
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, again := rate[name]; !again {
			names = append(names, name)
		}
		rate[name] = append(rate[name], float64(n)/time.Since(begin).Seconds())
		return nil
	}
	if b.engine == "cassandra" {
		if err := b.bareVariants(measure); err != nil {
			return err
		}
	}
	const author = "shared"
	n := b.scale.delivery * 3 // in two steps
	if err := b.seed(author, n); err != nil {
		return err
	}
	for range b.scale.rounds {
		deliver := func() error { _, err := b.tweetAndWait(author, n); return err }
		if err := measure("deliveries, 1 feeds worker", n, deliver); err != nil {
			return err
		}
		second, err := b.startFeeds()
		if err != nil {
			return err
		}
		time.Sleep(time.Second) // until it polls
		err = measure("deliveries, 2 feeds workers", n, deliver)
		if err := errors.Join(err, second.Process.Signal(os.Interrupt), second.Wait()); err != nil {
			return err
		}
	}
	for _, name := range names {
		b.add(name, "rows/s", rate[name]...)
		if name != names[0] && name != "deliveries, 1 feeds worker" {
			b.ratio(name, names[0])
		}
	}
	b.ratio("deliveries, 2 feeds workers", "deliveries, 1 feeds worker")
	return nil
}

func (b *bench) bareVariants(measure func(name string, n int, do func() error) error) error {
	n := b.scale.delivery
	type variant struct {
		name   string
		change func(*gocql.ClusterConfig)
	}
	all := []variant{
		{"single rows, 2 connections", func(*gocql.ClusterConfig) {}},
		{"single rows, 8 connections", func(c *gocql.ClusterConfig) { c.NumConns = 8 }},
		{"single rows, compressed by Snappy", func(c *gocql.ClusterConfig) { c.Compressor = gocql.SnappyCompressor{} }},
		{"single rows, coalesced for 200 µs, the driver's default", func(c *gocql.ClusterConfig) { c.WriteCoalesceWaitTime = 200 * time.Microsecond }},
	}
	sessions := make([]*gocql.Session, len(all))
	for i, v := range all {
		c := b.cluster()
		v.change(c)
		session, err := c.CreateSession()
		if err != nil {
			return err
		}
		defer session.Close()
		sessions[i] = session
	}
	for range b.scale.rounds {
		for i, v := range all {
			if err := measure(v.name, n, func() error { return b.bareRows(sessions[i], n, 128) }); err != nil {
				return err
			}
		}
		for _, rows := range []int{10, 50} {
			// All of one node, which has all: grouping by replica could do no better.
			if err := measure(fmt.Sprintf("unlogged batches of %d rows, one replica", rows), n, func() error { return b.bareBatches(n, rows) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) bareBatches(n, rows int) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	text, at := content[12:152], time.Now().UnixMicro()
	return each(128/rows+4, n/rows, func(i int) error {
		batch := b.cql.NewBatch(gocql.UnloggedBatch)
		for j := i * rows; j < (i+1)*rows; j++ {
			batch.Entries = append(batch.Entries, gocql.BatchEntry{Stmt: b.insertFeedItem(), Args: []any{fmt.Sprintf("r%d", j), gocql.UUID(id), "star", text, at}})
		}
		return b.cql.ExecuteBatch(batch)
	})
}
