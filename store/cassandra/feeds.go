package cassandra

import (
	"context"
	"errors"
	"sync/atomic"
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
	// writersPerCall is how many goroutines write the rows of one [Store.PutFeedItem].
	writersPerCall = 16
	// rowsPerBatch bounds a batch to what Cassandra takes well, some 100 KB of the longest tweets.
	rowsPerBatch = 100
)

// PutFeedItem implements [twtr.FeedStore].
func (s *Store) PutFeedItem(ctx context.Context, t twtr.Tweet, readers []string) error {
	id, at := gocql.UUID(t.ID), t.CreatedAt().UnixMicro()
	return s.each(ctx, len(readers), insertFeedItem, func(q *gocql.Query, i int) error {
		return q.Bind(readers[i], id, t.Username, t.Content, at).Exec()
	})
}

// PutFeedItems implements [twtr.FeedStore].
func (s *Store) PutFeedItems(ctx context.Context, reader string, tweets []twtr.Tweet, at time.Time) error {
	return s.batches(ctx, insertFeedItem, len(tweets), func(i int) []any {
		return []any{reader, gocql.UUID(tweets[i].ID), tweets[i].Username, tweets[i].Content, at.UnixMicro()}
	})
}

// DeleteFeedItem implements [twtr.FeedStore].
func (s *Store) DeleteFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string, at time.Time) error {
	id, micros := gocql.UUID(tweetID), at.UnixMicro()
	return s.each(ctx, len(readers), deleteFeedItem, func(q *gocql.Query, i int) error {
		return q.Bind(micros, readers[i], id).Exec()
	})
}

// DeleteFeedItems implements [twtr.FeedStore].
func (s *Store) DeleteFeedItems(ctx context.Context, reader string, tweetIDs []uuid.UUID, at time.Time) error {
	return s.batches(ctx, deleteFeedItem, len(tweetIDs), func(i int) []any {
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
	id, has := gocql.UUID(tweetID), make([]bool, len(readers))
	err = s.each(ctx, len(readers), selectFeedItem, func(q *gocql.Query, i int) error {
		var found gocql.UUID
		err := q.Bind(readers[i], id).Scan(&found)
		if errors.Is(err, gocql.ErrNotFound) {
			return nil
		}
		has[i] = err == nil
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, reader := range readers {
		if has[i] {
			have = append(have, reader)
		}
	}
	return have, nil
}

// each runs a statement for n feeds, each of which is a partition of its own: do binds, and executes, the i-th.
func (s *Store) each(ctx context.Context, n int, statement string, do func(q *gocql.Query, i int) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var next atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	query := func() *gocql.Query { return s.session.Query(statement).WithContext(gctx).Idempotent(true) }
	for range min(writersPerCall, n) {
		g.Go(func() error {
			select {
			case s.writers <- struct{}{}:
				defer func() { <-s.writers }()
			case <-gctx.Done():
				return gctx.Err()
			}
			q := query() // one for all, which spares some allocations for each
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				err := do(q, i)
				if err != nil && gctx.Err() == nil {
					// The driver counts the runs of a query as its tries, and doesn't try one that ran before again.
					q = query()
					err = do(q, i)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return fault(ctx, g.Wait())
}

// batches writes n rows of one partition.
func (s *Store) batches(ctx context.Context, statement string, n int, args func(i int) []any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for begin := 0; begin < n; begin += rowsPerBatch {
		batch := s.session.NewBatch(gocql.UnloggedBatch).WithContext(ctx)
		for i := begin; i < min(begin+rowsPerBatch, n); i++ {
			batch.Entries = append(batch.Entries, gocql.BatchEntry{Stmt: statement, Args: args(i), Idempotent: true})
		}
		if err := s.session.ExecuteBatch(batch); err != nil {
			return fault(ctx, err)
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
