package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// The newer of a put and a removal wins; at the same time the removal. Neither touches a mark, except that it becomes a tombstone
// of the newest time when it is trimmed.
const (
	putInto = `INSERT INTO feed_items (username, tweet_id, author, body, written_at, removed, retracted)`
	ifNewer = ` ON CONFLICT DO UPDATE SET author = excluded.author, body = excluded.body, written_at = excluded.written_at, removed = FALSE
		WHERE excluded.written_at > written_at AND NOT retracted`
	putFeedItem = putInto + ` VALUES (?, ?, ?, ?, ?, FALSE, FALSE)` + ifNewer
	// WHERE true, or the parser takes ON for a join's.
	putInFeeds     = putInto + ` SELECT value, ?, ?, ?, ?, FALSE, FALSE FROM json_each(?) WHERE true` + ifNewer
	deleteFeedItem = putInto + ` VALUES (?, ?, '', '', ?, TRUE, FALSE)
		ON CONFLICT DO UPDATE SET author = '', body = '', written_at = excluded.written_at, removed = NOT retracted
		WHERE (excluded.written_at, TRUE) > (written_at, removed)`
	retractInFeeds = putInto + ` SELECT value, ?, '', '', ?, FALSE, TRUE FROM json_each(?) WHERE true
		ON CONFLICT DO UPDATE SET author = '', body = '', written_at = max(written_at, excluded.written_at), removed = FALSE, retracted = TRUE
		WHERE excluded.written_at > written_at OR NOT retracted`
	selectFeed = `SELECT tweet_id, author, body FROM feed_items
		WHERE username = ? AND tweet_id < ? AND tweet_id > ? AND NOT removed AND NOT retracted ORDER BY tweet_id DESC LIMIT ?`
	selectFeedRows = `SELECT tweet_id, author, retracted FROM feed_items
		WHERE username = ? AND tweet_id < ? AND tweet_id > ? AND NOT removed ORDER BY tweet_id DESC LIMIT ?`
	selectNthRow = `SELECT tweet_id FROM feed_items WHERE username = ? AND NOT removed ORDER BY tweet_id DESC LIMIT 1 OFFSET ?`
	trimItems    = `DELETE FROM feed_items WHERE username = ? AND tweet_id <= ? AND NOT removed AND NOT retracted`
	// Marks become tombstones, and tombstones stay: a trim brings nothing back.
	trimMarks = `UPDATE feed_items SET removed = TRUE, retracted = FALSE WHERE username = ? AND tweet_id <= ? AND retracted`
	// The newest wins, in whatever order trims end.
	putTrim      = `INSERT INTO feed_trims (username, kept) VALUES (?, ?) ON CONFLICT DO UPDATE SET kept = max(kept, excluded.kept)`
	selectTrim   = `SELECT kept FROM feed_trims WHERE username = ?`
	selectWhoHas = `SELECT username FROM json_each(?) JOIN feed_items ON username = value AND tweet_id = ? AND NOT removed AND NOT retracted`
)

// PutFeedItem implements [twtr.FeedStore].
func (s *Store) PutFeedItem(ctx context.Context, t twtr.Tweet, readers []string) error {
	return s.writeToFeeds(ctx, readers, putInFeeds, t.ID[:], t.Username, string(t.Body), t.CreatedAt().UnixMicro())
}

// PutFeedItems implements [twtr.FeedStore].
func (s *Store) PutFeedItems(ctx context.Context, reader string, tweets []twtr.Tweet, at time.Time) error {
	return s.writeToFeed(ctx, putFeedItem, len(tweets), func(i int) []any {
		t := tweets[i]
		return []any{reader, t.ID[:], t.Username, string(t.Body), at.UnixMicro()}
	})
}

// RetractFeedItem implements [twtr.FeedStore].
func (s *Store) RetractFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string, at time.Time) error {
	micros := max(at.UnixMicro(), twtr.TimeOf(tweetID).UnixMicro()+1)
	return s.writeToFeeds(ctx, readers, retractInFeeds, tweetID[:], micros)
}

// DeleteFeedItems implements [twtr.FeedStore].
func (s *Store) DeleteFeedItems(ctx context.Context, reader string, tweetIDs []uuid.UUID, at time.Time) error {
	return s.writeToFeed(ctx, deleteFeedItem, len(tweetIDs), func(i int) []any {
		return []any{reader, tweetIDs[i][:], at.UnixMicro()}
	})
}

// writeToFeeds writes a row into many feeds, all or none, by one statement whose last argument is the readers: it is faster
// than a statement each.
func (s *Store) writeToFeeds(ctx context.Context, readers []string, statement string, args ...any) error {
	if len(readers) == 0 {
		return ctx.Err()
	}
	names, err := json.Marshal(readers)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, statement, append(args, string(names))...)
	return err
}

// writeToFeed runs a statement for n rows of one feed, all or none, in one transaction, which is ten times as fast as one each.
func (s *Store) writeToFeed(ctx context.Context, statement string, n int, args func(i int) []any) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		prepared, err := tx.PrepareContext(ctx, statement)
		if err != nil {
			return err
		}
		defer prepared.Close()
		for i := range n {
			if _, err := prepared.ExecContext(ctx, args(i)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// TrimFeed implements [twtr.FeedStore].
func (s *Store) TrimFeed(ctx context.Context, reader string, keep int) error {
	cut, err := s.feedRow(ctx, selectNthRow, reader, keep)
	if err != nil || cut == uuid.Nil {
		return err
	}
	kept, err := s.feedRow(ctx, selectNthRow, reader, max(keep-1, 0))
	if err != nil {
		return err
	}
	return s.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, putTrim, reader, kept[:]); err != nil {
			return err
		}
		for _, trim := range []string{trimItems, trimMarks} {
			if _, err := tx.ExecContext(ctx, trim, reader, cut[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// FeedFloor implements [twtr.FeedStore].
func (s *Store) FeedFloor(ctx context.Context, reader string, keep int) (uuid.UUID, error) {
	row, err := s.feedRow(ctx, selectNthRow, reader, keep-1)
	if err != nil {
		return uuid.Nil, err
	}
	trimmed, err := s.feedRow(ctx, selectTrim, reader)
	return twtr.NewerTweet(row, trimmed), err
}

// feedRow returns the id that a query of a feed finds, or [uuid.Nil].
func (s *Store) feedRow(ctx context.Context, query string, args ...any) (id uuid.UUID, err error) {
	err = s.read.QueryRowContext(ctx, query, args...).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return uuid.Nil, nil
	}
	return id, mapError(ctx, err)
}

// ReadersHavingFeedItem implements [twtr.FeedStore].
func (s *Store) ReadersHavingFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string) ([]string, error) {
	names, err := json.Marshal(readers)
	if err != nil {
		return nil, err
	}
	return list(ctx, s, scanName, selectWhoHas, string(names), tweetID[:])
}

// FeedRows implements [twtr.FeedStore].
func (s *Store) FeedRows(ctx context.Context, reader string, w twtr.Window, limit int) ([]twtr.FeedRow, error) {
	return list(ctx, s, func(rows *sql.Rows) (r twtr.FeedRow, err error) {
		if err = rows.Scan(&r.ID, &r.Author, &r.Retracted); r.Retracted {
			r.Author = ""
		}
		return r, err
	}, selectFeedRows, reader, upperBound(w.Before), w.After[:], limit)
}

// Feed implements [twtr.FeedStore].
func (s *Store) Feed(ctx context.Context, reader string, w twtr.Window, limit int) ([]twtr.Tweet, error) {
	return list(ctx, s, func(rows *sql.Rows) (t twtr.Tweet, err error) {
		err = rows.Scan(&t.ID, &t.Username, (*[]byte)(&t.Body))
		return t, err
	}, selectFeed, reader, upperBound(w.Before), w.After[:], limit)
}
