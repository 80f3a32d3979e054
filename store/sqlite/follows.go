package sqlite

import (
	"context"
	"database/sql"

	"github.com/twtr-dev/twtr"
)

// A put or a removal counts if it is newer than what is there; at the same time, a removal counts.
const (
	upsertFollower = `INSERT INTO followers (username, bucket, follower, written_at, deleted) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET written_at = excluded.written_at, deleted = excluded.deleted
		WHERE (excluded.written_at, excluded.deleted) > (written_at, deleted)`
	upsertFollowing = `INSERT INTO followings (username, followee, written_at, deleted) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET written_at = excluded.written_at, deleted = excluded.deleted
		WHERE (excluded.written_at, excluded.deleted) > (written_at, deleted)`
	selectFollowers = `SELECT follower FROM followers
		WHERE username = ? AND bucket = ? AND follower > ? AND NOT deleted ORDER BY follower LIMIT ?`
	selectFollowings = `SELECT followee FROM followings
		WHERE username = ? AND followee > ? AND NOT deleted ORDER BY followee LIMIT ?`
)

// PutFollow implements [twtr.FollowStore].
func (s *Store) PutFollow(ctx context.Context, f twtr.Follow) error {
	return s.writeFollow(ctx, f, false)
}

// DeleteFollow implements [twtr.FollowStore].
func (s *Store) DeleteFollow(ctx context.Context, f twtr.Follow) error {
	return s.writeFollow(ctx, f, true)
}

func (s *Store) writeFollow(ctx context.Context, f twtr.Follow, deleted bool) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, upsertFollower, f.Followee, twtr.FollowerBucket(f.Follower), f.Follower, f.At.UnixMicro(), deleted)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, upsertFollowing, f.Follower, f.Followee, f.At.UnixMicro(), deleted)
		return err
	})
}

// Followers implements [twtr.FollowStore].
func (s *Store) Followers(ctx context.Context, username string, bucket int, after string, limit int) ([]string, error) {
	return list(ctx, s, scanName, selectFollowers, username, bucket, after, limit)
}

// Followings implements [twtr.FollowStore].
func (s *Store) Followings(ctx context.Context, username, after string, limit int) ([]string, error) {
	return list(ctx, s, scanName, selectFollowings, username, after, limit)
}

func scanName(rows *sql.Rows) (name string, err error) {
	err = rows.Scan(&name)
	return name, err
}
