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

// The newer of a put and a removal wins; at the same time the removal.
const (
	upsertFollower = `INSERT INTO followers (username, bucket, follower, written_at, removed) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET written_at = excluded.written_at, removed = excluded.removed
		WHERE (excluded.written_at, excluded.removed) > (written_at, removed)`
	upsertFollowing = `INSERT INTO followings (username, followee, written_at, removed) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET written_at = excluded.written_at, removed = excluded.removed
		WHERE (excluded.written_at, excluded.removed) > (written_at, removed)`
	putFollowChange = `INSERT INTO follow_changes (follower, followee, since, requests) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET since = excluded.since, requests = excluded.requests`
	selectFollowers = `SELECT follower FROM followers
		WHERE username = ? AND bucket = ? AND follower > ? AND NOT removed ORDER BY follower LIMIT ?`
	selectFirstFollowers = `SELECT bucket, follower FROM followers
		WHERE username = ? AND NOT removed ORDER BY bucket, follower LIMIT ?`

	selectFollowings = `SELECT followee FROM followings
		WHERE username = ? AND followee > ? AND NOT removed ORDER BY followee LIMIT ?`
	countFollowings     = `SELECT count(*) FROM followings WHERE username = ? AND NOT removed`
	selectFollowChanged = `SELECT f.written_at, f.removed, c.since, c.requests
		FROM followings f LEFT JOIN follow_changes c ON c.follower = f.username AND c.followee = f.followee
		WHERE f.username = ? AND f.followee = ?`

	countFollowers       = `SELECT count(*) FROM followers WHERE username = ? AND bucket = ? AND NOT removed`
	insertFollowerCount  = `INSERT INTO follower_counts (username, bucket, count, version) VALUES (?, ?, ?, 1) ON CONFLICT DO NOTHING`
	updateFollowerCount  = `UPDATE follower_counts SET count = ?, version = ? WHERE username = ? AND bucket = ? AND version = ?`
	selectFollowerCount  = `SELECT count, version FROM follower_counts WHERE username = ? AND bucket = ?`
	selectFollowerCounts = `SELECT bucket, count, version FROM follower_counts WHERE username = ? ORDER BY bucket`
)

// PutFollow implements [twtr.FollowStore].
func (s *Store) PutFollow(ctx context.Context, f twtr.Follow) error {
	return s.writeFollow(ctx, f, false)
}

// DeleteFollow implements [twtr.FollowStore].
func (s *Store) DeleteFollow(ctx context.Context, f twtr.Follow) error {
	return s.writeFollow(ctx, f, true)
}

func (s *Store) writeFollow(ctx context.Context, f twtr.Follow, removed bool) error {
	requests, err := json.Marshal(f.Requests)
	if err != nil {
		return err
	}
	return s.transact(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, upsertFollower, f.Followee, twtr.FollowerBucket(f.Follower), f.Follower, f.At.UnixMicro(), removed)
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, upsertFollowing, f.Follower, f.Followee, f.At.UnixMicro(), removed)
		if err != nil {
			return err
		}
		if rows, err := result.RowsAffected(); err != nil || rows == 0 { // a later change came before
			return err
		}
		_, err = tx.ExecContext(ctx, putFollowChange, f.Follower, f.Followee, f.Since[:], string(requests))
		return err
	})
}

// Follow implements [twtr.FollowStore].
func (s *Store) Follow(ctx context.Context, follower, followee string) (twtr.Follow, error) {
	f, removed, err := s.lastChange(ctx, follower, followee)
	if err == nil && (removed || f.At.IsZero()) {
		return twtr.Follow{}, twtr.Errorf(twtr.NotFound, "%s does not follow %s", follower, followee)
	}
	return f, err
}

// FollowChanged implements [twtr.FollowStore]. A removal leaves its row until it is purged.
func (s *Store) FollowChanged(ctx context.Context, follower, followee string) (twtr.Follow, error) {
	f, _, err := s.lastChange(ctx, follower, followee)
	return twtr.Follow{At: f.At, Requests: f.Requests}, err
}

// lastChange returns the edge as it was put or removed last; with a zero time if it never was.
func (s *Store) lastChange(ctx context.Context, follower, followee string) (f twtr.Follow, removed bool, err error) {
	var at int64
	var since uuid.NullUUID
	var requests []byte
	err = s.read.QueryRowContext(ctx, selectFollowChanged, follower, followee).Scan(&at, &removed, &since, &requests)
	if errors.Is(err, sql.ErrNoRows) {
		return twtr.Follow{}, false, nil
	}
	if err != nil {
		return twtr.Follow{}, false, mapError(ctx, err)
	}
	f = twtr.Follow{Follower: follower, Followee: followee, At: time.UnixMicro(at).UTC(), Since: since.UUID}
	if !since.Valid { // written before there were follow_changes
		f.Since = twtr.FirstTweetID(f.At)
		return f, removed, nil
	}
	return f, removed, json.Unmarshal(requests, &f.Requests)
}

// Followers implements [twtr.FollowStore].
func (s *Store) Followers(ctx context.Context, username string, bucket int, after string, limit int) ([]string, error) {
	return list(ctx, s, scanName, selectFollowers, username, bucket, after, limit)
}

// FirstFollowers implements [twtr.FollowStore]. It reads one bucket after the other.
func (s *Store) FirstFollowers(ctx context.Context, username string, limit int) (names []string, left []twtr.BucketCursor, err error) {
	type follower struct {
		bucket int
		name   string
	}
	all, err := list(ctx, s, func(rows *sql.Rows) (f follower, err error) {
		err = rows.Scan(&f.bucket, &f.name)
		return f, err
	}, selectFirstFollowers, username, limit+1)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range all[:min(len(all), limit)] {
		names = append(names, f.name)
	}
	if len(all) <= limit {
		return names, nil, nil
	}
	for bucket := all[limit].bucket; bucket < twtr.FollowerBuckets; bucket++ {
		left = append(left, twtr.BucketCursor{Bucket: bucket})
	}
	if limit > 0 && all[limit-1].bucket == all[limit].bucket {
		left[0].After = all[limit-1].name
	}
	return names, left, nil
}

// Followings implements [twtr.FollowStore].
func (s *Store) Followings(ctx context.Context, username, after string, limit int) ([]string, error) {
	return list(ctx, s, scanName, selectFollowings, username, after, limit)
}

// CountFollowings implements [twtr.FollowStore].
func (s *Store) CountFollowings(ctx context.Context, username string) (n int, err error) {
	err = s.read.QueryRowContext(ctx, countFollowings, username).Scan(&n)
	return n, mapError(ctx, err)
}

// CountFollowers implements [twtr.FollowStore].
func (s *Store) CountFollowers(ctx context.Context, username string, bucket int) (n int, err error) {
	err = s.read.QueryRowContext(ctx, countFollowers, username, bucket).Scan(&n)
	return n, mapError(ctx, err)
}

// PutFollowerCount implements [twtr.FollowStore].
func (s *Store) PutFollowerCount(ctx context.Context, c twtr.FollowerCount) error {
	stored := twtr.FollowerCount{Username: c.Username, Bucket: c.Bucket}
	err := s.transact(ctx, func(tx *sql.Tx) (err error) {
		if c.Version == 1 {
			_, err = tx.ExecContext(ctx, insertFollowerCount, c.Username, c.Bucket, c.Count)
		} else {
			_, err = tx.ExecContext(ctx, updateFollowerCount, c.Count, c.Version, c.Username, c.Bucket, c.Version-1)
		}
		if err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, selectFollowerCount, c.Username, c.Bucket).Scan(&stored.Count, &stored.Version)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err == nil && stored != c {
		return twtr.Errorf(twtr.Conflict, "the followers of %s in bucket %d were counted meanwhile", c.Username, c.Bucket)
	}
	return err
}

// FollowerCounts implements [twtr.FollowStore].
func (s *Store) FollowerCounts(ctx context.Context, username string) ([]twtr.FollowerCount, error) {
	return list(ctx, s, func(rows *sql.Rows) (twtr.FollowerCount, error) {
		c := twtr.FollowerCount{Username: username}
		err := rows.Scan(&c.Bucket, &c.Count, &c.Version)
		return c, err
	}, selectFollowerCounts, username)
}

func scanName(rows *sql.Rows) (name string, err error) {
	err = rows.Scan(&name)
	return name, err
}
