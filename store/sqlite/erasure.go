package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

const (
	selectTweetIDs  = `SELECT id FROM tweets_by_user WHERE username = ? AND id < ? ORDER BY id DESC LIMIT ?`
	markErased      = `UPDATE deleted_tweets SET erased = TRUE WHERE id = ?`
	deleteReceipt   = `DELETE FROM deliveries WHERE tweet_id = ?`
	deleteFailed    = `DELETE FROM failed_deliveries WHERE tweet_id = ?`
	retractAllOf    = `UPDATE feed_items SET author = '', body = '', written_at = max(written_at, ?), retracted = TRUE WHERE username = ? AND author = ?`
	deleteFollower  = `DELETE FROM followers WHERE username = ? AND bucket = ? AND follower = ?`
	deleteFollowing = `DELETE FROM followings WHERE username = ? AND followee = ?`
	deleteChange    = `DELETE FROM follow_changes WHERE follower = ? AND followee = ?`
	selectEdgesTo   = `SELECT follower, username FROM followers WHERE username = ? LIMIT ?`
	selectEdgesFrom = `SELECT username, followee FROM followings WHERE username = ? LIMIT ?`
	deleteOwnRows   = `DELETE FROM %[1]s WHERE (username, %[2]s) IN (SELECT username, %[2]s FROM %[1]s WHERE username = ? LIMIT ?)`
)

// ownRows are the tables, and the second columns of their keys, that have what is kept under a user's name alone. The list of tweets
// is the last one, so that an erasure that stops can start again.
var ownRows = []struct{ table, key string }{
	{"feed_items", "tweet_id"},
	{"feed_trims", "kept"},
	{"follower_counts", "bucket"},
	{"sessions", "family"},
	{"login_failures", "source"},
	{"known_sources", "source"},
	{"idempotency_keys", "key"},
	{"tweets_by_user", "id"},
}

// rowsPerErasure is how many rows, or edges, one transaction of [Store.EraseUser] removes: other writers take turns with it.
const rowsPerErasure = 1000

// TweetIDs implements [twtr.ErasureStore].
func (s *Store) TweetIDs(ctx context.Context, username string, before uuid.UUID, limit int) ([]uuid.UUID, error) {
	return list(ctx, s, func(rows *sql.Rows) (id uuid.UUID, err error) {
		err = rows.Scan(&id)
		return id, err
	}, selectTweetIDs, username, upperBound(before), limit)
}

// EraseTweets implements [twtr.ErasureStore].
func (s *Store) EraseTweets(ctx context.Context, username string, ids []uuid.UUID) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		for _, id := range ids {
			if err := removeTweet(ctx, tx, username, id); err != nil {
				return err
			}
			for _, statement := range []string{markErased, deleteReceipt, deleteFailed} {
				if _, err := tx.ExecContext(ctx, statement, id[:]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// EraseFromFeed implements [twtr.ErasureStore]. A mark takes no put, whatever its time.
func (s *Store) EraseFromFeed(ctx context.Context, reader, author string) error {
	_, err := s.exec(ctx, retractAllOf, time.Now().UnixMicro(), reader, author)
	return err
}

// EraseFollow implements [twtr.ErasureStore].
func (s *Store) EraseFollow(ctx context.Context, follower, followee string) error {
	return s.eraseEdges(ctx, []twtr.Follow{{Follower: follower, Followee: followee}})
}

// eraseEdges removes the rows of the edges, also those of removed ones.
func (s *Store) eraseEdges(ctx context.Context, edges []twtr.Follow) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		for _, e := range edges {
			if _, err := tx.ExecContext(ctx, deleteFollower, e.Followee, twtr.FollowerBucket(e.Follower), e.Follower); err != nil {
				return err
			}
			for _, statement := range []string{deleteFollowing, deleteChange} {
				if _, err := tx.ExecContext(ctx, statement, e.Follower, e.Followee); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// EraseUser implements [twtr.ErasureStore].
func (s *Store) EraseUser(ctx context.Context, username string) error {
	for _, edges := range []string{selectEdgesTo, selectEdgesFrom} {
		if err := s.eraseAllEdges(ctx, edges, username); err != nil {
			return err
		}
	}
	for _, own := range ownRows {
		statement := fmt.Sprintf(deleteOwnRows, own.table, own.key)
		for rows := int64(rowsPerErasure); rows == rowsPerErasure; {
			var err error
			if rows, err = s.exec(ctx, statement, username, rowsPerErasure); err != nil {
				return err
			}
		}
	}
	return nil
}

// eraseAllEdges removes the edges that the query finds, and the memory of them, in both directions.
func (s *Store) eraseAllEdges(ctx context.Context, query, username string) error {
	for {
		edges, err := list(ctx, s, func(rows *sql.Rows) (f twtr.Follow, err error) {
			err = rows.Scan(&f.Follower, &f.Followee)
			return f, err
		}, query, username, rowsPerErasure)
		if err != nil || len(edges) == 0 {
			return err
		}
		if err := s.eraseEdges(ctx, edges); err != nil {
			return err
		}
	}
}

// traces are the tables that can name a user, and the condition for a row that does, in alphabetical order.
var traces = []struct{ table, condition string }{
	{"deliveries", "username = ?1"},
	{"feed_items", "username = ?1 OR author = ?1"},
	{"feed_trims", "username = ?1"},
	{"follow_changes", "follower = ?1 OR followee = ?1"},
	{"follower_counts", "username = ?1"},
	{"followers", "username = ?1 OR follower = ?1"},
	{"followings", "username = ?1 OR followee = ?1"},
	{"idempotency_keys", "username = ?1"},
	{"known_sources", "username = ?1"},
	{"login_failures", "username = ?1"},
	{"sessions", "username = ?1"},
	{"tweets", "username = ?1"},
	{"tweets_by_user", "username = ?1"},
	{"users", "username = ?1 AND NOT (retired AND email = '' AND display_name = '' AND password_hash = '')"},
}

// Traces implements [twtr.ErasureStore].
func (s *Store) Traces(ctx context.Context, username string) ([]string, error) {
	var tables []string
	for _, t := range traces {
		var found bool
		query := `SELECT EXISTS (SELECT * FROM ` + t.table + ` WHERE ` + t.condition + `)`
		if err := s.read.QueryRowContext(ctx, query, username).Scan(&found); err != nil {
			return nil, mapError(ctx, err)
		}
		if found {
			tables = append(tables, t.table)
		}
	}
	return tables, nil
}
