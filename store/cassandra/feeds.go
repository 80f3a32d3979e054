package cassandra

import (
	"context"
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
	selectFeed     = `SELECT tweet_id, author, content FROM feed_items WHERE username = ? AND tweet_id < ? LIMIT ?`
)

// writersPerCall is how many goroutines write the rows of one [Store.PutFeedItem].
const writersPerCall = 16

// PutFeedItem implements [twtr.FeedStore]. Each feed is a partition of its own, so each row is a statement of its own.
func (s *Store) PutFeedItem(ctx context.Context, t twtr.Tweet, readers []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	id, at := gocql.UUID(t.ID), t.CreatedAt().UnixMicro()
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(writersPerCall, len(readers)) {
		g.Go(func() error {
			for i := next.Add(1) - 1; i < int64(len(readers)); i = next.Add(1) - 1 {
				select {
				case s.writes <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
				err := s.exec(ctx, insertFeedItem, readers[i], id, t.Username, t.Content, at)
				<-s.writes
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// PutFeedItems implements [twtr.FeedStore]. It is one batch, because it is one partition.
func (s *Store) PutFeedItems(ctx context.Context, reader string, tweets []twtr.Tweet) error {
	if err := ctx.Err(); err != nil || len(tweets) == 0 {
		return err
	}
	batch := s.session.NewBatch(gocql.UnloggedBatch).WithContext(ctx)
	for _, t := range tweets {
		batch.Entries = append(batch.Entries, gocql.BatchEntry{
			Stmt:       insertFeedItem,
			Args:       []any{reader, gocql.UUID(t.ID), t.Username, t.Content, t.CreatedAt().UnixMicro()},
			Idempotent: true,
		})
	}
	return fault(ctx, s.session.ExecuteBatch(batch))
}

// DeleteFeedItem implements [twtr.FeedStore].
func (s *Store) DeleteFeedItem(ctx context.Context, reader string, tweetID uuid.UUID, at time.Time) error {
	return s.exec(ctx, deleteFeedItem, at.UnixMicro(), reader, gocql.UUID(tweetID))
}

// Feed implements [twtr.FeedStore].
func (s *Store) Feed(ctx context.Context, reader string, before uuid.UUID, limit int) ([]twtr.Tweet, error) {
	return list(ctx, s, func(row gocql.Scanner) (t twtr.Tweet, err error) {
		err = row.Scan((*gocql.UUID)(&t.ID), &t.Username, &t.Content)
		return t, err
	}, limit, selectFeed, reader, upperBound(before))
}
