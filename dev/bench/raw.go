package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	_ "modernc.org/sqlite" // registers the driver

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/bench/measure"
	"github.com/twtr-dev/twtr/store/sqlite"
)

// raw accesses the tables of the store by nothing but the engine's driver: the baselines.
type raw interface {
	// putTweet inserts the rows that a POST does.
	putTweet(ctx context.Context, t twtr.Tweet) error
	// putFeedItems inserts a tweet into the feeds of the first n readers. The batch is how many rows are in flight on Cassandra,
	// and in a transaction on SQLite.
	putFeedItems(ctx context.Context, t twtr.Tweet, n, batch int) error
	// readFeed reads a page of a feed and one item more.
	readFeed(ctx context.Context, reader string) error
	// batches are values to try for putFeedItems, and what they are.
	batches() (sizes []int, name string)
}

const page = 50

func checkPage(items int, err error) error {
	if err == nil && items < page {
		return fmt.Errorf("read %d items instead of %d", items, page)
	}
	return err
}

type rawCassandra struct {
	session  *gocql.Session
	keyspace string
}

func (r rawCassandra) batches() ([]int, string) {
	return []int{32, 64, 128, 256}, "baseline INSERTs, %d in flight"
}

func (r rawCassandra) putTweet(ctx context.Context, t twtr.Tweet) error {
	batch := r.session.NewBatch(gocql.UnloggedBatch).WithContext(ctx)
	id, body := gocql.UUID(t.ID), []byte(t.Body)
	batch.Query("INSERT INTO "+r.keyspace+".tweets (id, username, body) VALUES (?, ?, ?)", id, t.Username, body)
	batch.Query("INSERT INTO "+r.keyspace+".tweets_by_user (username, id, body) VALUES (?, ?, ?)", t.Username, id, body)
	return r.session.ExecuteBatch(batch)
}

func (r rawCassandra) putFeedItems(ctx context.Context, t twtr.Tweet, n, batch int) error {
	insert := "INSERT INTO " + r.keyspace + ".feed_items (username, tweet_id, author, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
	id, body, at := gocql.UUID(t.ID), []byte(t.Body), time.Now().UnixMicro()
	return measure.Each(batch, n, func(i int) error {
		return r.session.Query(insert, reader(i), id, t.Username, body, at).WithContext(ctx).Exec()
	})
}

func (r rawCassandra) readFeed(ctx context.Context, reader string) error {
	query := "SELECT tweet_id, author, body, deleted FROM " + r.keyspace + ".feed_items WHERE username = ? AND tweet_id < ? LIMIT ?"
	rows := r.session.Query(query, reader, gocql.UUID(uuid.Max), page+1).WithContext(ctx).PageSize(page + 1).Iter().Scanner()
	items := 0
	for rows.Next() {
		var id gocql.UUID
		var author string
		var body []byte
		var deleted bool
		if err := rows.Scan(&id, &author, &body, &deleted); err != nil {
			return err
		}
		items++
	}
	return checkPage(items, rows.Err())
}

// rawSQLite writes to a file of its own with the store's schema, because SQLite has one writer at a time, and reads the store's.
type rawSQLite struct{ write, read *sql.DB }

func openRawSQLite(ctx context.Context, dir, store string) (rawSQLite, error) {
	file := filepath.Join(dir, "baseline.db")
	if err := sqlite.Migrate(ctx, file); err != nil {
		return rawSQLite{}, err
	}
	write, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_txlock=immediate")
	if err != nil {
		return rawSQLite{}, err
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", "file:"+store+"?_pragma=journal_mode(wal)")
	if err != nil {
		write.Close()
		return rawSQLite{}, err
	}
	read.SetMaxOpenConns(4) // as many as the store
	read.SetMaxIdleConns(4)
	return rawSQLite{write, read}, nil
}

func (r rawSQLite) close() error {
	r.read.Close()
	return r.write.Close()
}

func (r rawSQLite) batches() ([]int, string) {
	return []int{500, 2000, 10_000}, "baseline INSERTs, %d in a transaction"
}

func (r rawSQLite) putTweet(ctx context.Context, t twtr.Tweet) error {
	tx, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if _, err := tx.ExecContext(ctx, "INSERT INTO tweets (id, username, body) VALUES (?, ?, ?)", t.ID[:], t.Username, string(t.Body)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO tweets_by_user (username, id, body) VALUES (?, ?, ?)", t.Username, t.ID[:], string(t.Body)); err != nil {
		return err
	}
	return tx.Commit()
}

func (r rawSQLite) putFeedItems(ctx context.Context, t twtr.Tweet, n, batch int) error {
	for begin := 0; begin < n; begin += batch {
		if err := r.putSome(ctx, t, begin, min(n, begin+batch)); err != nil {
			return err
		}
	}
	return nil
}

func (r rawSQLite) putSome(ctx context.Context, t twtr.Tweet, begin, end int) error {
	tx, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	insert, err := tx.PrepareContext(ctx, `INSERT INTO feed_items (username, tweet_id, author, body, written_at, removed, retracted)
		VALUES (?, ?, ?, ?, ?, FALSE, FALSE)`)
	if err != nil {
		return err
	}
	for i := begin; i < end; i++ {
		if _, err := insert.ExecContext(ctx, reader(i), t.ID[:], t.Username, string(t.Body), time.Now().UnixMicro()); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (r rawSQLite) readFeed(ctx context.Context, reader string) error {
	rows, err := r.read.QueryContext(ctx, `SELECT tweet_id, author, body FROM feed_items
		WHERE username = ? AND tweet_id < ? AND NOT removed AND NOT retracted ORDER BY tweet_id DESC LIMIT ?`, reader, uuid.Max[:], page+1)
	if err != nil {
		return err
	}
	defer rows.Close()
	items := 0
	for rows.Next() {
		var id []byte
		var author, body string
		if err := rows.Scan(&id, &author, &body); err != nil {
			return err
		}
		items++
	}
	return checkPage(items, rows.Err())
}
