package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// feed measures GET /feeds/me, beside the bare select of its rows, and beside a call that reads nothing.
func feed(b *bench) error {
	type kind struct {
		name string
		do   func(int) error
	}
	kinds := []kind{{"GET /healthz", func(int) error { return b.call(http.MethodGet, "/healthz", "", "", nil) }}}
	for _, items := range []int{50, 1000} {
		reader := fmt.Sprintf("reader-%d", items)
		tweets := make([]twtr.Tweet, items)
		for i := range tweets {
			tweet, err := twtr.NewTweet("star", content[12:152])
			if err != nil {
				return err
			}
			tweets[i] = tweet
		}
		if err := b.store.PutFeedItems(b.ctx, reader, tweets, time.Now()); err != nil {
			return err
		}
		bare, closeBare, err := b.bareFeed(reader)
		if err != nil {
			return err
		}
		defer closeBare()
		bearer := token(reader)
		kinds = append(kinds,
			kind{fmt.Sprintf("GET /feeds/me, %d items", items), func(int) error { return b.call(http.MethodGet, "/feeds/me", bearer, "", nil) }},
			kind{fmt.Sprintf("select, %d items", items), func(int) error { return bare() }},
		)
	}
	for _, clients := range []int{1, 32} {
		load := fmt.Sprintf(", %d clients", clients)
		p50, rate := map[string][]float64{}, map[string][]float64{}
		for range b.scale.rounds {
			for _, k := range kinds {
				took, perSecond, err := b.load(clients, 0, k.do)
				if err != nil {
					return err
				}
				p50[k.name] = append(p50[k.name], percentile(took, 0.5))
				rate[k.name] = append(rate[k.name], perSecond)
			}
		}
		for _, k := range kinds {
			b.add(k.name+load+", p50", "ms", p50[k.name]...)
			b.add(k.name+load, "/s", rate[k.name]...)
		}
		b.ratio("GET /healthz"+load+", p50", "select, 50 items"+load+", p50")
		b.ratio("GET /feeds/me, 50 items"+load+", p50", "select, 50 items"+load+", p50")
		b.ratio("GET /feeds/me, 50 items"+load, "select, 50 items"+load)
		b.ratio("GET /feeds/me, 1000 items"+load+", p50", "GET /feeds/me, 50 items"+load+", p50")
		b.ratio("GET /feeds/me, 1000 items"+load, "select, 1000 items"+load)
	}
	return nil
}

// bareFeed reads a page of a feed, and one item more, by nothing but the driver.
func (b *bench) bareFeed(reader string) (read func() error, closeAll func(), err error) {
	count := func(n int, err error) error {
		if err == nil && n < 50 {
			return fmt.Errorf("read %d items", n)
		}
		return err
	}
	if b.engine == "cassandra" {
		query := fmt.Sprintf("SELECT tweet_id, author, content FROM %s.feed_items WHERE username = ? AND tweet_id < ? LIMIT 51", b.keyspace)
		return func() error {
			rows := b.cql.Query(query, reader, gocql.UUID(uuid.Max)).PageSize(51).Iter().Scanner()
			n := 0
			for rows.Next() {
				var id gocql.UUID
				var author, text string
				if err := rows.Scan(&id, &author, &text); err != nil {
					return err
				}
				n++
			}
			return count(n, rows.Err())
		}, func() {}, nil
	}
	db, err := sql.Open("sqlite", "file:"+b.sqliteFile()+"?_pragma=journal_mode(wal)")
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(4) // as the store
	db.SetMaxIdleConns(4)
	return func() error {
		rows, err := db.QueryContext(b.ctx, `SELECT tweet_id, author, content FROM feed_items
			WHERE username = ? AND tweet_id < ? AND NOT deleted ORDER BY tweet_id DESC LIMIT 51`, reader, uuid.Max[:])
		if err != nil {
			return err
		}
		defer rows.Close()
		n := 0
		for rows.Next() {
			var id, author, text string
			if err := rows.Scan(&id, &author, &text); err != nil {
				return err
			}
			n++
		}
		return count(n, rows.Err())
	}, func() { db.Close() }, nil
}
