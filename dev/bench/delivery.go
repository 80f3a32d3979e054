package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"go.temporal.io/sdk/testsuite"
	_ "modernc.org/sqlite" // the driver, for the bare rows

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

// delivery measures the activity that writes a tweet into its followers' feeds, beside the bare statement for the same rows.
func delivery(b *bench) error {
	n := b.scale.delivery
	if err := b.seed("star", n); err != nil {
		return err
	}
	// As workers/feeds.go makes them.
	feeds := &activities.Feeds{Tweets: b.store, Deliveries: b.store, Follows: b.store, Store: b.store, LargePages: make(chan struct{}, 32), Rate: activities.NewRate(0), MaxItems: 1000}
	deliver := func() error {
		tweet, err := twtr.NewTweet("star", content[12:152])
		if err != nil {
			return err
		}
		if err := b.store.PutTweet(b.ctx, tweet); err != nil {
			return err
		}
		var suite testsuite.WorkflowTestSuite
		suite.SetLogger(silent{})
		env := suite.NewTestActivityEnvironment()
		env.SetTestTimeout(time.Minute)
		env.RegisterActivity(feeds)
		value, err := env.ExecuteActivity(feeds.Deliver, activities.DeliverInput{Tweet: tweet, Delivery: twtr.NewDelivery()})
		if err != nil {
			return err
		}
		var d twtr.Delivery
		if err := value.Get(&d); err != nil || d.Delivered != int64(n) {
			return fmt.Errorf("delivered to %d of %d: %w", d.Delivered, n, err)
		}
		return nil
	}

	bare := b.bareCassandra
	at := []int{32, 64, 128, 256} // rows in flight
	name := "bare INSERTs, %d in flight"
	if b.engine == "sqlite" {
		bare = b.bareSQLite
		at = []int{500, 2000, 10_000} // rows in a transaction
		name = "bare INSERTs, %d a transaction"
	}
	rate, cpu := map[string][]float64{}, map[string][]float64{}
	names := []string{"deliveries"}
	measure := func(name string, do func() error) error {
		begin, cpuBegin := time.Now(), processorTime()
		err := do()
		rate[name] = append(rate[name], float64(n)/time.Since(begin).Seconds())
		cpu[name] = append(cpu[name], float64(n)/(processorTime()-cpuBegin).Seconds())
		return err
	}
	for _, c := range at {
		names = append(names, fmt.Sprintf(name, c))
	}
	if err := bare(5*n, at[2]); err != nil { // a JVM that has just begun is slow
		return err
	}
	for range b.scale.rounds {
		for i, c := range at {
			if err := measure(names[i+1], func() error { return bare(n, c) }); err != nil {
				return err
			}
		}
		if err := measure("deliveries", deliver); err != nil {
			return err
		}
	}
	best := ""
	for _, name := range names {
		b.add(name, "rows/s", rate[name]...)
		if name != "deliveries" && (best == "" || median(rate[name]) > median(rate[best])) {
			best = name
		}
	}
	b.ratio("deliveries", best)
	for _, name := range names {
		b.add(name+", by this process", "rows/CPU s", cpu[name]...)
	}
	return nil
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // only for a wrong argument
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func (b *bench) bareCassandra(n, inFlight int) error { return b.bareRows(b.cql, n, inFlight) }

func (b *bench) insertFeedItem() string {
	return fmt.Sprintf("INSERT INTO %s.feed_items (username, tweet_id, author, content) VALUES (?, ?, ?, ?) USING TIMESTAMP ?", b.keyspace)
}

func (b *bench) bareRows(session *gocql.Session, n, inFlight int) error {
	insert := b.insertFeedItem()
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	text, at := content[12:152], time.Now().UnixMicro()
	return each(inFlight, n, func(i int) error {
		return session.Query(insert, fmt.Sprintf("r%d", i), gocql.UUID(id), "star", text, at).Exec()
	})
}

// bareSQLite writes to a table like that of the feeds, in a file of its own.
func (b *bench) bareSQLite(n, perTransaction int) error {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.dir, "bare.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	const create = `CREATE TABLE IF NOT EXISTS feed_items (username TEXT NOT NULL, tweet_id BLOB NOT NULL, author TEXT NOT NULL, content TEXT NOT NULL,
		written_at INTEGER NOT NULL, deleted INTEGER NOT NULL, PRIMARY KEY (username, tweet_id DESC)) STRICT, WITHOUT ROWID`
	if _, err := db.ExecContext(b.ctx, create); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	for begin := 0; begin < n; begin += perTransaction {
		tx, err := db.BeginTx(b.ctx, nil)
		if err != nil {
			return err
		}
		insert, err := tx.PrepareContext(b.ctx, "INSERT INTO feed_items VALUES (?, ?, ?, ?, ?, ?)")
		if err != nil {
			return err
		}
		for i := begin; i < min(n, begin+perTransaction); i++ {
			if _, err := insert.ExecContext(b.ctx, fmt.Sprintf("r%d", i), id[:], "star", content[12:152], time.Now().UnixMicro(), false); err != nil {
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}
