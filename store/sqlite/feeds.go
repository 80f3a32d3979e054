package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// A put or a removal counts if it is newer than what is there; at the same time, a removal counts.
const (
	upsertFeedItem = `INSERT INTO feed_items (username, tweet_id, author, content, written_at, deleted) VALUES (?, ?, ?, ?, ?, ?)` + ifNewer
	// WHERE true, or the parser takes ON for a join's.
	upsertInFeeds = `INSERT INTO feed_items (username, tweet_id, author, content, written_at, deleted)
		SELECT value, ?, ?, ?, ?, ? FROM json_each(?) WHERE true` + ifNewer
	ifNewer = ` ON CONFLICT DO UPDATE SET author = excluded.author, content = excluded.content,
			written_at = excluded.written_at, deleted = excluded.deleted
		WHERE (excluded.written_at, excluded.deleted) > (written_at, deleted)`
	selectFeed = `SELECT tweet_id, author, content FROM feed_items
		WHERE username = ? AND tweet_id < ? AND NOT deleted ORDER BY tweet_id DESC LIMIT ?`
	// Tombstones stay: nothing that is removed comes back because others are cut.
	trimFeed = `DELETE FROM feed_items WHERE username = ? AND NOT deleted AND tweet_id <=
		(SELECT tweet_id FROM feed_items WHERE username = ? AND NOT deleted ORDER BY tweet_id DESC LIMIT 1 OFFSET ?)`
	selectWhoHas = `SELECT username FROM json_each(?) JOIN feed_items ON username = value AND tweet_id = ? AND NOT deleted`
)

// PutFeedItem implements [twtr.FeedStore].
func (s *Store) PutFeedItem(ctx context.Context, t twtr.Tweet, readers []string) error {
	return s.writeToFeeds(ctx, readers, t, t.CreatedAt(), false)
}

// PutFeedItems implements [twtr.FeedStore].
func (s *Store) PutFeedItems(ctx context.Context, reader string, tweets []twtr.Tweet, at time.Time) error {
	return s.writeToFeed(ctx, reader, tweets, at, false)
}

// DeleteFeedItem implements [twtr.FeedStore].
func (s *Store) DeleteFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string, at time.Time) error {
	return s.writeToFeeds(ctx, readers, twtr.Tweet{ID: tweetID}, at, true)
}

// DeleteFeedItems implements [twtr.FeedStore].
func (s *Store) DeleteFeedItems(ctx context.Context, reader string, tweetIDs []uuid.UUID, at time.Time) error {
	removed := make([]twtr.Tweet, len(tweetIDs)) // of a removed one there is no more than the id
	for i, id := range tweetIDs {
		removed[i].ID = id
	}
	return s.writeToFeed(ctx, reader, removed, at, true)
}

// writeToFeeds writes an item into many feeds, all or none, by one statement, which is faster than one each.
func (s *Store) writeToFeeds(ctx context.Context, readers []string, t twtr.Tweet, at time.Time, deleted bool) error {
	if len(readers) == 0 {
		return nil
	}
	names, err := json.Marshal(readers)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, upsertInFeeds, t.ID[:], t.Username, t.Content, at.UnixMicro(), deleted, string(names))
	return err
}

// writeToFeed writes items into one feed, all or none, in one transaction, which is ten times as fast as one by one.
func (s *Store) writeToFeed(ctx context.Context, reader string, tweets []twtr.Tweet, at time.Time, deleted bool) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		statement, err := tx.PrepareContext(ctx, upsertFeedItem)
		if err != nil {
			return err
		}
		defer statement.Close()
		for _, t := range tweets {
			if _, err := statement.ExecContext(ctx, reader, t.ID[:], t.Username, t.Content, at.UnixMicro(), deleted); err != nil {
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
func (s *Store) HaveFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string) ([]string, error) {
	names, err := json.Marshal(readers)
	if err != nil {
		return nil, err
	}
	return list(ctx, s, func(rows *sql.Rows) (name string, err error) {
		err = rows.Scan(&name)
		return name, err
	}, selectWhoHas, string(names), tweetID[:])
}

// Feed implements [twtr.FeedStore].
func (s *Store) Feed(ctx context.Context, reader string, before uuid.UUID, limit int) ([]twtr.Tweet, error) {
	return list(ctx, s, func(rows *sql.Rows) (t twtr.Tweet, err error) {
		err = rows.Scan(&t.ID, &t.Username, &t.Content)
		return t, err
	}, selectFeed, reader, upperBound(before), limit)
}
