package cassandra

import (
	"context"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

// Of a row, puts and removals write author and body, and retractions the mark: deleted, and an empty author and body. So no put and no
// removal, whatever its time, takes away a mark. A row whose only cells are removed is not there: an UPDATE, unlike an INSERT,
// makes no row of its own. Only a trim deletes rows.
const (
	putFeedItem     = `UPDATE feed_items USING TIMESTAMP ? SET author = ?, body = ? WHERE username = ? AND tweet_id = ?`
	retractFeedItem = `UPDATE feed_items USING TIMESTAMP ? SET deleted = true, author = '', body = '' WHERE username = ? AND tweet_id = ?`
	deleteFeedItem  = `DELETE author, body FROM feed_items USING TIMESTAMP ? WHERE username = ? AND tweet_id = ?`
	selectFeedItem  = `SELECT author, deleted FROM feed_items WHERE username = ? AND tweet_id = ?`
	// The row of a feed that has none has no tweet_id.
	selectFeedIDs  = `SELECT tweet_id, kept FROM feed_items WHERE username = ? LIMIT ?`
	selectFeedRows = `SELECT tweet_id, author, deleted FROM feed_items WHERE username = ? AND tweet_id < ? AND tweet_id > ? LIMIT ?`
	putKept        = `UPDATE feed_items USING TIMESTAMP ? SET kept = ? WHERE username = ?`
	trimFeed       = `DELETE FROM feed_items USING TIMESTAMP ? WHERE username = ? AND tweet_id <= ?`
	// Cassandra passes over marks, in one partition. A marked row that was put later has a body.
	selectFeed = `SELECT tweet_id, author, body, deleted FROM feed_items WHERE username = ? AND tweet_id < ? AND tweet_id > ? AND body > '' LIMIT ?
		ALLOW FILTERING`
)

const (
	// feedsPerBatch is how many feeds, each a partition of its own, one batch writes to; of more Cassandra warns by default
	// (unlogged_batch_across_partitions_warn_threshold).
	feedsPerBatch = 10
	// bytesPerBatch is the size beyond which Cassandra warns by default (batch_size_warn_threshold). It counts a row as its body and
	// at most 121 bytes more, those of the longest names.
	bytesPerBatch = 5 << 10
	rowBytes      = 128
	// batchesPerCall bounds the batches that one call has in flight.
	batchesPerCall = 4
	// rowsPerBatch bounds a batch of one feed's rows, which is one mutation, to some 200 KB of the longest tweets.
	rowsPerBatch = 100
	// readsPerCall bounds the reads that one call has in flight.
	readsPerCall = 16
)

// PutFeedItem implements [twtr.FeedStore].
func (s *Store) PutFeedItem(ctx context.Context, t twtr.Tweet, readers []string) error {
	id, at, body := gocql.UUID(t.ID), t.CreatedAt().UnixMicro(), []byte(t.Body)
	return s.writeToFeeds(ctx, len(readers), len(body), putFeedItem, func(i int) []any {
		return []any{at, t.Username, body, readers[i], id}
	})
}

// PutFeedItems implements [twtr.FeedStore].
func (s *Store) PutFeedItems(ctx context.Context, reader string, tweets []twtr.Tweet, at time.Time) error {
	return s.writeToFeed(ctx, putFeedItem, len(tweets), func(i int) []any {
		t := tweets[i]
		return []any{at.UnixMicro(), t.Username, []byte(t.Body), reader, gocql.UUID(t.ID)}
	})
}

// RetractFeedItem implements [twtr.FeedStore]. The time of the mark matters to the author and the text alone, which it
// erases if the put is older.
func (s *Store) RetractFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string, at time.Time) error {
	id, micros := gocql.UUID(tweetID), max(at.UnixMicro(), twtr.TimeOf(tweetID).UnixMicro()+1)
	return s.writeToFeeds(ctx, len(readers), 0, retractFeedItem, func(i int) []any {
		return []any{micros, readers[i], id}
	})
}

// DeleteFeedItems implements [twtr.FeedStore].
func (s *Store) DeleteFeedItems(ctx context.Context, reader string, tweetIDs []uuid.UUID, at time.Time) error {
	return s.writeToFeed(ctx, deleteFeedItem, len(tweetIDs), func(i int) []any {
		return []any{at.UnixMicro(), reader, gocql.UUID(tweetIDs[i])}
	})
}

// TrimFeed implements [twtr.FeedStore]. It reads the clock because rows may have been written later than their tweets; one that
// another process, whose clock is ahead, has just written stays until the next trim. What it keeps is stored with the time of that
// tweet, so of several trims the newest wins.
func (s *Store) TrimFeed(ctx context.Context, reader string, keep int) error {
	ids, _, err := s.feedIDs(ctx, reader, keep+1)
	if err != nil || len(ids) <= keep {
		return err
	}
	cut, kept := ids[keep], ids[max(keep-1, 0)]
	at := max(time.Now().UnixMicro(), twtr.TimeOf(uuid.UUID(cut)).UnixMicro()) + 1
	return s.execBatch(ctx, row(putKept, twtr.TimeOf(uuid.UUID(kept)).UnixMicro(), kept, reader), row(trimFeed, at, reader, cut))
}

// FeedFloor implements [twtr.FeedStore].
func (s *Store) FeedFloor(ctx context.Context, reader string, keep int) (uuid.UUID, error) {
	ids, kept, err := s.feedIDs(ctx, reader, keep)
	if err != nil || len(ids) < keep {
		return kept, err
	}
	return twtr.NewerTweet(uuid.UUID(ids[keep-1]), kept), nil
}

// feedIDs returns the ids of the newest rows of the reader's feed, items and marks, and the oldest one that a trim has kept.
func (s *Store) feedIDs(ctx context.Context, reader string, limit int) (ids []gocql.UUID, kept uuid.UUID, err error) {
	ids, err = list(ctx, s, func(row gocql.Scanner) (id gocql.UUID, err error) {
		err = row.Scan(&id, (*gocql.UUID)(&kept))
		return id, err
	}, limit, selectFeedIDs, reader)
	if len(ids) == 1 && ids[0] == (gocql.UUID{}) {
		ids = nil
	}
	return ids, kept, err
}

// ReadersHavingFeedItem implements [twtr.FeedStore].
func (s *Store) ReadersHavingFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string) (have []string, err error) {
	has := make([]bool, len(readers))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readsPerCall)
	for i, reader := range readers {
		g.Go(func() error {
			var author string
			var deleted bool
			_, err := s.one(gctx, gocql.LocalQuorum, selectFeedItem, []any{reader, gocql.UUID(tweetID)}, &author, &deleted)
			has[i] = author != "" && !deleted
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, mapError(ctx, err)
	}
	for i, reader := range readers {
		if has[i] {
			have = append(have, reader)
		}
	}
	return have, nil
}

// writeToFeeds runs a statement for n feeds, whose rows hold so many bytes of body, in batches of feeds that are on the same
// node. Cassandra then has a tenth of the requests to read and to answer, and the node that gets a batch stores each of its
// rows. A few rows, which is what nearly every tweet needs, take no slot, so they never wait for a large delivery.
func (s *Store) writeToFeeds(ctx context.Context, n, bodyBytes int, statement string, args func(i int) []any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(batchesPerCall)
	send := func(batch *gocql.Batch) {
		g.Go(func() error {
			if n > feedsPerBatch {
				select {
				case s.batches <- struct{}{}:
					defer func() { <-s.batches }()
				case <-gctx.Done():
					return gctx.Err()
				}
			}
			return s.session.ExecuteBatch(batch)
		})
	}
	most := max(1, min(feedsPerBatch, bytesPerBatch/(rowBytes+bodyBytes)))
	batches := map[string]*gocql.Batch{} // by node
	query := s.session.Query(statement)
	for i := range n {
		entry := row(statement, args(i)...)
		node := s.node(query.Bind(entry.Args...))
		batch := batches[node]
		if batch == nil {
			batch = s.session.NewBatch(gocql.UnloggedBatch).WithContext(gctx)
			batches[node] = batch
		}
		batch.Entries = append(batch.Entries, entry)
		if len(batch.Entries) == most {
			send(batch)
			delete(batches, node)
		}
	}
	for _, batch := range batches {
		send(batch)
	}
	return mapError(ctx, g.Wait())
}

// node is the one to which the driver would send a query.
func (s *Store) node(q *gocql.Query) string {
	if host := s.route.Pick(q)(); host != nil {
		return host.Info().HostID()
	}
	return "" // none is up: the batch will fail
}

// writeToFeed runs a statement for n rows of one feed.
func (s *Store) writeToFeed(ctx context.Context, statement string, n int, args func(i int) []any) error {
	if err := ctx.Err(); err != nil { // also of no rows
		return err
	}
	for begin := 0; begin < n; begin += rowsPerBatch {
		var rows []gocql.BatchEntry
		for i := begin; i < min(begin+rowsPerBatch, n); i++ {
			rows = append(rows, row(statement, args(i)...))
		}
		if err := s.execBatch(ctx, rows...); err != nil {
			return err
		}
	}
	return nil
}

// FeedRows implements [twtr.FeedStore].
func (s *Store) FeedRows(ctx context.Context, reader string, w twtr.Window, limit int) ([]twtr.FeedRow, error) {
	return list(ctx, s, func(row gocql.Scanner) (r twtr.FeedRow, err error) {
		if err = row.Scan((*gocql.UUID)(&r.ID), &r.Author, &r.Retracted); r.Retracted {
			r.Author = ""
		}
		return r, err
	}, limit, selectFeedRows, reader, upperBound(w.Before), gocql.UUID(w.After))
}

// Feed implements [twtr.FeedStore].
func (s *Store) Feed(ctx context.Context, reader string, w twtr.Window, limit int) (items []twtr.Tweet, err error) {
	type feedRow struct {
		twtr.Tweet
		deleted bool
	}
	for len(items) < limit {
		page := limit - len(items)
		rows, err := list(ctx, s, func(row gocql.Scanner) (r feedRow, err error) {
			err = row.Scan((*gocql.UUID)(&r.ID), &r.Username, (*[]byte)(&r.Body), &r.deleted)
			return r, err
		}, page, selectFeed, reader, upperBound(w.Before), gocql.UUID(w.After))
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if w.Before = r.ID; !r.deleted {
				items = append(items, r.Tweet)
			}
		}
		if len(rows) < page {
			break
		}
	}
	return items, nil
}
