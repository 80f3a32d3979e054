package cassandra

import (
	"context"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

const (
	insertFeedItem = `INSERT INTO feed_items (username, tweet_id, author, content) VALUES (?, ?, ?, ?) USING TIMESTAMP ?`
	deleteFeedItem = `DELETE FROM feed_items USING TIMESTAMP ? WHERE username = ? AND tweet_id = ?`
	selectFeedItem = `SELECT tweet_id FROM feed_items WHERE username = ? AND tweet_id = ?`
	selectFeedIDs  = `SELECT tweet_id FROM feed_items WHERE username = ? LIMIT ?`
	trimFeed       = `DELETE FROM feed_items USING TIMESTAMP ? WHERE username = ? AND tweet_id <= ?`
	selectFeed     = `SELECT tweet_id, author, content FROM feed_items WHERE username = ? AND tweet_id < ? LIMIT ?`
)

const (
	// feedsPerBatch is how many feeds, each a partition of its own, are written at a time; of more Cassandra warns by default
	// (unlogged_batch_across_partitions_warn_threshold).
	feedsPerBatch = 10
	// bytesPerBatch stays below what it warns of by default (batch_size_warn_threshold, 5 KiB), where a row is its content and
	// some rowBytes.
	bytesPerBatch = 4 << 10
	rowBytes      = 200
	// batchesPerCall is how many batches one call has under way.
	batchesPerCall = 4
	// rowsPerBatch bounds a batch of one feed's rows, which is one mutation, to some 100 KB of the longest tweets.
	rowsPerBatch = 100
	// readsPerCall is how many rows one call reads at a time.
	readsPerCall = 16
)

// PutFeedItem implements [twtr.FeedStore].
func (s *Store) PutFeedItem(ctx context.Context, t twtr.Tweet, readers []string) error {
	id, at := gocql.UUID(t.ID), t.CreatedAt().UnixMicro()
	return s.toFeeds(ctx, len(readers), len(t.Content), insertFeedItem, func(i int) []any {
		return []any{readers[i], id, t.Username, t.Content, at}
	})
}

// PutFeedItems implements [twtr.FeedStore].
func (s *Store) PutFeedItems(ctx context.Context, reader string, tweets []twtr.Tweet, at time.Time) error {
	return s.toFeed(ctx, insertFeedItem, len(tweets), func(i int) []any {
		return []any{reader, gocql.UUID(tweets[i].ID), tweets[i].Username, tweets[i].Content, at.UnixMicro()}
	})
}

// DeleteFeedItem implements [twtr.FeedStore].
func (s *Store) DeleteFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string, at time.Time) error {
	id, micros := gocql.UUID(tweetID), at.UnixMicro()
	return s.toFeeds(ctx, len(readers), 0, deleteFeedItem, func(i int) []any {
		return []any{micros, readers[i], id}
	})
}

// DeleteFeedItems implements [twtr.FeedStore].
func (s *Store) DeleteFeedItems(ctx context.Context, reader string, tweetIDs []uuid.UUID, at time.Time) error {
	return s.toFeed(ctx, deleteFeedItem, len(tweetIDs), func(i int) []any {
		return []any{at.UnixMicro(), reader, gocql.UUID(tweetIDs[i])}
	})
}

// TrimFeed implements [twtr.FeedStore].
func (s *Store) TrimFeed(ctx context.Context, reader string, keep int) error {
	ids, err := list(ctx, s, func(row gocql.Scanner) (id gocql.UUID, err error) {
		err = row.Scan(&id)
		return id, err
	}, keep+1, selectFeedIDs, reader)
	if err != nil || len(ids) <= keep {
		return err
	}
	return s.exec(ctx, trimFeed, time.Now().UnixMicro(), reader, ids[keep])
}

// HaveFeedItem implements [twtr.FeedStore].
func (s *Store) HaveFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string) (have []string, err error) {
	has := make([]bool, len(readers))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readsPerCall)
	for i, reader := range readers {
		g.Go(func() (err error) {
			var found gocql.UUID
			has[i], err = s.one(gctx, gocql.LocalQuorum, selectFeedItem, []any{reader, gocql.UUID(tweetID)}, &found)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fault(ctx, err)
	}
	for i, reader := range readers {
		if has[i] {
			have = append(have, reader)
		}
	}
	return have, nil
}

// toFeeds runs a statement for n feeds, whose rows hold so many bytes of content, in batches of those that are on the same
// node. Cassandra then has a tenth of the requests to read and to answer, and the node that gets a batch has each of its
// rows, as it would have had if they came one by one. A few rows, which is what nearly every author's tweet makes, need no
// place, so they never wait for a large delivery's.
func (s *Store) toFeeds(ctx context.Context, n, contentBytes int, statement string, args func(i int) []any) error {
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
	most := max(1, min(feedsPerBatch, bytesPerBatch/(rowBytes+contentBytes)))
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
	return fault(ctx, g.Wait())
}

// node is where the driver would send a query.
func (s *Store) node(q *gocql.Query) string {
	if host := s.route.Pick(q)(); host != nil {
		return host.Info().HostID()
	}
	return "" // none is up, which the batch will tell
}

// toFeed runs a statement for n rows of one feed.
func (s *Store) toFeed(ctx context.Context, statement string, n int, args func(i int) []any) error {
	if err := ctx.Err(); err != nil { // also of no rows
		return err
	}
	for begin := 0; begin < n; begin += rowsPerBatch {
		var rows []gocql.BatchEntry
		for i := begin; i < min(begin+rowsPerBatch, n); i++ {
			rows = append(rows, row(statement, args(i)...))
		}
		if err := s.execTogether(ctx, rows...); err != nil {
			return err
		}
	}
	return nil
}

// Feed implements [twtr.FeedStore].
func (s *Store) Feed(ctx context.Context, reader string, before uuid.UUID, limit int) ([]twtr.Tweet, error) {
	return list(ctx, s, func(row gocql.Scanner) (t twtr.Tweet, err error) {
		err = row.Scan((*gocql.UUID)(&t.ID), &t.Username, &t.Content)
		return t, err
	}, limit, selectFeed, reader, upperBound(before))
}
