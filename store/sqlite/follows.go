package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

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
	selectSomeFollowers = `SELECT follower FROM followers WHERE username = ? AND NOT deleted LIMIT ?`

	selectFollowings = `SELECT followee FROM followings
		WHERE username = ? AND followee > ? AND NOT deleted ORDER BY followee LIMIT ?`
	selectFollow = `SELECT written_at FROM followings WHERE username = ? AND followee = ? AND NOT deleted`

	countFollowers      = `SELECT count(*) FROM followers WHERE username = ? AND bucket = ? AND NOT deleted`
	upsertFollowerCount = `INSERT INTO follower_counts (username, bucket, count, counted_at) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET count = excluded.count, counted_at = excluded.counted_at
		WHERE (excluded.counted_at, excluded.count) > (counted_at, count)`
	selectFollowerCounts = `SELECT bucket, count, counted_at FROM follower_counts WHERE username = ? ORDER BY bucket`
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

// Follow implements [twtr.FollowStore].
func (s *Store) Follow(ctx context.Context, follower, followee string) (twtr.Follow, error) {
	var at int64
	err := s.read.QueryRowContext(ctx, selectFollow, follower, followee).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return twtr.Follow{}, twtr.Errorf(twtr.NotFound, "%s does not follow %s", follower, followee)
	}
	if err != nil {
		return twtr.Follow{}, fault(ctx, err)
	}
	return twtr.Follow{Follower: follower, Followee: followee, At: time.UnixMicro(at).UTC()}, nil
}

// Followers implements [twtr.FollowStore].
func (s *Store) Followers(ctx context.Context, username string, bucket int, after string, limit int) ([]string, error) {
	return list(ctx, s, scanName, selectFollowers, username, bucket, after, limit)
}

// SomeFollowers implements [twtr.FollowStore].
func (s *Store) SomeFollowers(ctx context.Context, username string, limit int) ([]string, error) {
	return list(ctx, s, scanName, selectSomeFollowers, username, limit)
}

// Followings implements [twtr.FollowStore].
func (s *Store) Followings(ctx context.Context, username, after string, limit int) ([]string, error) {
	return list(ctx, s, scanName, selectFollowings, username, after, limit)
}

// CountFollowers implements [twtr.FollowStore].
func (s *Store) CountFollowers(ctx context.Context, username string, bucket int) (n int, err error) {
	err = s.read.QueryRowContext(ctx, countFollowers, username, bucket).Scan(&n)
	return n, fault(ctx, err)
}

// PutFollowerCount implements [twtr.FollowStore].
func (s *Store) PutFollowerCount(ctx context.Context, c twtr.FollowerCount) error {
	_, err := s.exec(ctx, upsertFollowerCount, c.Username, c.Bucket, c.Count, c.At.UnixMicro())
	return err
}

// FollowerCounts implements [twtr.FollowStore].
func (s *Store) FollowerCounts(ctx context.Context, username string) ([]twtr.FollowerCount, error) {
	return list(ctx, s, func(rows *sql.Rows) (twtr.FollowerCount, error) {
		c := twtr.FollowerCount{Username: username}
		var at int64
		err := rows.Scan(&c.Bucket, &c.Count, &at)
		c.At = time.UnixMicro(at).UTC()
		return c, err
	}, selectFollowerCounts, username)
}

func scanName(rows *sql.Rows) (name string, err error) {
	err = rows.Scan(&name)
	return name, err
}
