package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

const (
	insertTweet        = `INSERT INTO tweets (id, username, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`
	insertTweetByUser  = `INSERT INTO tweets_by_user (username, id, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`
	selectDeletedTweet = `SELECT count(*) FROM deleted_tweets WHERE id = ?`
	insertDeletedTweet = `INSERT INTO deleted_tweets (id, deleted_at, erased) VALUES (?, ?, FALSE) ON CONFLICT DO NOTHING`
	deleteTweet        = `DELETE FROM tweets WHERE id = ?`
	markTweetByUser    = `INSERT INTO tweets_by_user (username, id, body) SELECT ?, ?, ''
		WHERE NOT EXISTS (SELECT * FROM deleted_tweets WHERE id = ? AND erased) ON CONFLICT DO UPDATE SET body = ''`
	selectTweet        = `SELECT username, body FROM tweets WHERE id = ?`
	selectTweetsByUser = `SELECT id, body FROM tweets_by_user WHERE username = ? AND id < ? AND id > ? AND body != ''
		ORDER BY id DESC LIMIT ?`
)

// PutTweet implements [twtr.TweetStore].
func (s *Store) PutTweet(ctx context.Context, t twtr.Tweet) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		var deleted bool
		if err := tx.QueryRowContext(ctx, selectDeletedTweet, t.ID[:]).Scan(&deleted); err != nil || deleted {
			return err
		}
		if _, err := tx.ExecContext(ctx, insertTweet, t.ID[:], t.Username, string(t.Body)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, insertTweetByUser, t.Username, t.ID[:], string(t.Body))
		return err
	})
}

// DeleteTweet implements [twtr.TweetStore].
func (s *Store) DeleteTweet(ctx context.Context, t twtr.Tweet) error {
	return s.transact(ctx, func(tx *sql.Tx) error { return removeTweet(ctx, tx, t.Username, t.ID) })
}

// removeTweet removes a tweet but for its id. Only the purge uses the time of the deletion.
func removeTweet(ctx context.Context, tx *sql.Tx, username string, id uuid.UUID) error {
	if _, err := tx.ExecContext(ctx, insertDeletedTweet, id[:], time.Now().UnixMicro()); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, deleteTweet, id[:]); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, markTweetByUser, username, id[:], id[:])
	return err
}

// Tweet implements [twtr.TweetStore].
func (s *Store) Tweet(ctx context.Context, id uuid.UUID) (twtr.Tweet, error) {
	t := twtr.Tweet{ID: id}
	err := s.read.QueryRowContext(ctx, selectTweet, id[:]).Scan(&t.Username, (*[]byte)(&t.Body))
	if errors.Is(err, sql.ErrNoRows) {
		return twtr.Tweet{}, twtr.Errorf(twtr.NotFound, "there is no tweet %s", id)
	}
	if err != nil {
		return twtr.Tweet{}, mapError(ctx, err)
	}
	return t, nil
}

// TweetsByUser implements [twtr.TweetStore].
func (s *Store) TweetsByUser(ctx context.Context, username string, w twtr.Window, limit int) ([]twtr.Tweet, error) {
	return list(ctx, s, func(rows *sql.Rows) (t twtr.Tweet, err error) {
		t.Username = username
		err = rows.Scan(&t.ID, (*[]byte)(&t.Body))
		return t, err
	}, selectTweetsByUser, username, upperBound(w.Before), w.After[:], limit)
}

// upperBound is the id that all ids of a page are below. A lower bound needs no such care: [uuid.Nil] is below all ids.
func upperBound(before uuid.UUID) []byte {
	if before == uuid.Nil {
		before = uuid.Max
	}
	return before[:]
}
