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
	// Tombstones stay: nothing that is removed comes back because others are cut.
	trimFeed = `DELETE FROM feed_items WHERE username = ? AND NOT deleted AND tweet_id <=
		(SELECT tweet_id FROM feed_items WHERE username = ? AND NOT deleted ORDER BY tweet_id DESC LIMIT 1 OFFSET ?)`
	countFeedItem = `SELECT count(*) FROM feed_items WHERE username = ? AND tweet_id = ? AND NOT deleted`
)

// PutFeedItem implements [twtr.FeedStore].
func (s *Store) PutFeedItem(ctx context.Context, t twtr.Tweet, readers []string) error {
	return s.writeFeedItems(ctx, len(readers), func(i int) feedItem { return feedItem{readers[i], t, t.CreatedAt(), false} })
}

// PutFeedItems implements [twtr.FeedStore].
func (s *Store) PutFeedItems(ctx context.Context, reader string, tweets []twtr.Tweet, at time.Time) error {
	return s.writeFeedItems(ctx, len(tweets), func(i int) feedItem { return feedItem{reader, tweets[i], at, false} })
}

// DeleteFeedItem implements [twtr.FeedStore].
func (s *Store) DeleteFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string, at time.Time) error {
	t := twtr.Tweet{ID: tweetID}
	return s.writeFeedItems(ctx, len(readers), func(i int) feedItem { return feedItem{readers[i], t, at, true} })
}

// DeleteFeedItems implements [twtr.FeedStore].
func (s *Store) DeleteFeedItems(ctx context.Context, reader string, tweetIDs []uuid.UUID, at time.Time) error {
	return s.writeFeedItems(ctx, len(tweetIDs), func(i int) feedItem { return feedItem{reader, twtr.Tweet{ID: tweetIDs[i]}, at, true} })
}

// feedItem is one row: of a removed one there is no more than the id.
type feedItem struct {
	reader  string
	tweet   twtr.Tweet
	at      time.Time
	deleted bool
}

// writeFeedItems writes n items, all or none, in one transaction, which is ten times as fast as one by one.
func (s *Store) writeFeedItems(ctx context.Context, n int, item func(i int) feedItem) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		statement, err := tx.PrepareContext(ctx, upsertFeedItem)
		if err != nil {
			return err
		}
		defer statement.Close()
		for i := range n {
			r := item(i)
			_, err := statement.ExecContext(ctx, r.reader, r.tweet.ID[:], r.tweet.Username, r.tweet.Content, r.at.UnixMicro(), r.deleted)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// TrimFeed implements [twtr.FeedStore].
func (s *Store) TrimFeed(ctx context.Context, reader string, keep int) error {
	_, err := s.exec(ctx, trimFeed, reader, reader, keep)
	return err
}

// HaveFeedItem implements [twtr.FeedStore].
func (s *Store) HaveFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string) (have []string, err error) {
	statement, err := s.read.PrepareContext(ctx, countFeedItem)
	if err != nil {
		return nil, fault(ctx, err)
	}
	defer statement.Close()
	for _, reader := range readers {
		var has bool
		if err := statement.QueryRowContext(ctx, reader, tweetID[:]).Scan(&has); err != nil {
			return nil, fault(ctx, err)
		}
		if has {
			have = append(have, reader)
		}
	}
	return have, nil
}

// Feed implements [twtr.FeedStore].
func (s *Store) Feed(ctx context.Context, reader string, before uuid.UUID, limit int) ([]twtr.Tweet, error) {
	return list(ctx, s, func(rows *sql.Rows) (t twtr.Tweet, err error) {
		err = rows.Scan(&t.ID, &t.Username, &t.Content)
		return t, err
	}, selectFeed, reader, upperBound(before), limit)
}
