package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// A put or a removal counts if it is newer than what is there; at the same time, a removal counts.
const (
	upsertFeedItem = `INSERT INTO feed_items (username, tweet_id, author, content, written_at, deleted) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET author = excluded.author, content = excluded.content,
			written_at = excluded.written_at, deleted = excluded.deleted
		WHERE (excluded.written_at, excluded.deleted) > (written_at, deleted)`
	selectFeed = `SELECT tweet_id, author, content FROM feed_items
		WHERE username = ? AND tweet_id < ? AND NOT deleted ORDER BY tweet_id DESC LIMIT ?`
)

// PutFeedItem implements [twtr.FeedStore].
func (s *Store) PutFeedItem(ctx context.Context, t twtr.Tweet, readers []string) error {
	return s.putFeedItems(ctx, len(readers), func(i int) (string, twtr.Tweet) { return readers[i], t })
}

// PutFeedItems implements [twtr.FeedStore].
func (s *Store) PutFeedItems(ctx context.Context, reader string, tweets []twtr.Tweet) error {
	return s.putFeedItems(ctx, len(tweets), func(i int) (string, twtr.Tweet) { return reader, tweets[i] })
}

// putFeedItems puts n items, all or none, in one transaction, which is ten times as fast as one by one.
func (s *Store) putFeedItems(ctx context.Context, n int, item func(i int) (reader string, t twtr.Tweet)) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		statement, err := tx.PrepareContext(ctx, upsertFeedItem)
		if err != nil {
			return err
		}
		defer statement.Close()
		for i := range n {
			reader, t := item(i)
			_, err := statement.ExecContext(ctx, reader, t.ID[:], t.Username, t.Content, t.CreatedAt().UnixMicro(), false)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteFeedItem implements [twtr.FeedStore].
func (s *Store) DeleteFeedItem(ctx context.Context, reader string, tweetID uuid.UUID, at time.Time) error {
	_, err := s.exec(ctx, upsertFeedItem, reader, tweetID[:], "", "", at.UnixMicro(), true)
	return err
}

// Feed implements [twtr.FeedStore].
func (s *Store) Feed(ctx context.Context, reader string, before uuid.UUID, limit int) ([]twtr.Tweet, error) {
	return list(ctx, s, func(rows *sql.Rows) (t twtr.Tweet, err error) {
		err = rows.Scan(&t.ID, &t.Username, &t.Content)
		return t, err
	}, selectFeed, reader, upperBound(before), limit)
}
