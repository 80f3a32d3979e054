package cassandra

import (
	"context"
	"time"

	"github.com/gocql/gocql"

	"github.com/twtr-dev/twtr"
)

const (
	insertFollower  = `INSERT INTO followers (username, bucket, follower) VALUES (?, ?, ?) USING TIMESTAMP ?`
	insertFollowing = `INSERT INTO followings (username, followee, followed_at) VALUES (?, ?, ?) USING TIMESTAMP ?`
	deleteFollower  = `DELETE FROM followers USING TIMESTAMP ? WHERE username = ? AND bucket = ? AND follower = ?`
	deleteFollowing = `DELETE FROM followings USING TIMESTAMP ? WHERE username = ? AND followee = ?`
	selectFollowers = `SELECT follower FROM followers WHERE username = ? AND bucket = ? AND follower > ? LIMIT ?`
	// One request for what are always 16 partitions, most of them empty: sixteen took twice as long.
	selectSomeFollowers = `SELECT follower FROM followers WHERE username = ? AND bucket IN ? LIMIT ?`

	selectFollowings = `SELECT followee FROM followings WHERE username = ? AND followee > ? LIMIT ?`
	selectFollow     = `SELECT followed_at FROM followings WHERE username = ? AND followee = ?`

	selectBucket         = `SELECT follower FROM followers WHERE username = ? AND bucket = ?`
	insertFollowerCount  = `INSERT INTO follower_counts (username, bucket, count, counted_at) VALUES (?, ?, ?, ?) USING TIMESTAMP ?`
	selectFollowerCounts = `SELECT bucket, count, counted_at FROM follower_counts WHERE username = ? LIMIT ?`
)

// PutFollow implements [twtr.FollowStore].
func (s *Store) PutFollow(ctx context.Context, f twtr.Follow) error {
	at := f.At.UnixMicro()
	return s.execTogether(ctx,
		row(insertFollower, f.Followee, twtr.FollowerBucket(f.Follower), f.Follower, at),
		row(insertFollowing, f.Follower, f.Followee, at, at))
}

// DeleteFollow implements [twtr.FollowStore].
func (s *Store) DeleteFollow(ctx context.Context, f twtr.Follow) error {
	at := f.At.UnixMicro()
	return s.execTogether(ctx,
		row(deleteFollower, at, f.Followee, twtr.FollowerBucket(f.Follower), f.Follower),
		row(deleteFollowing, at, f.Follower, f.Followee))
}

// Follow implements [twtr.FollowStore].
func (s *Store) Follow(ctx context.Context, follower, followee string) (twtr.Follow, error) {
	var at int64
	found, err := s.one(ctx, gocql.LocalQuorum, selectFollow, []any{follower, followee}, &at)
	if err != nil {
		return twtr.Follow{}, err
	}
	if !found {
		return twtr.Follow{}, twtr.Errorf(twtr.NotFound, "%s does not follow %s", follower, followee)
	}
	return twtr.Follow{Follower: follower, Followee: followee, At: time.UnixMicro(at).UTC()}, nil
}

// Followers implements [twtr.FollowStore].
func (s *Store) Followers(ctx context.Context, username string, bucket int, after string, limit int) ([]string, error) {
	return list(ctx, s, scanName, limit, selectFollowers, username, bucket, after)
}

// SomeFollowers implements [twtr.FollowStore].
func (s *Store) SomeFollowers(ctx context.Context, username string, limit int) ([]string, error) {
	buckets := make([]int, twtr.FollowerBuckets)
	for i := range buckets {
		buckets[i] = i
	}
	return list(ctx, s, scanName, limit, selectSomeFollowers, username, buckets)
}

// Followings implements [twtr.FollowStore].
func (s *Store) Followings(ctx context.Context, username, after string, limit int) ([]string, error) {
	return list(ctx, s, scanName, limit, selectFollowings, username, after)
}

// CountFollowers implements [twtr.FollowStore]. It reads the names by pages: one count(*) of a large partition could not
// end within the server's time.
func (s *Store) CountFollowers(ctx context.Context, username string, bucket int) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	rows := s.session.Query(selectBucket, username, bucket).WithContext(ctx).Idempotent(true).PageSize(countPage).Iter().Scanner()
	for rows.Next() {
		n++
	}
	return n, fault(ctx, rows.Err())
}

// countPage is how many rows one request of a count reads.
const countPage = 5000

// PutFollowerCount implements [twtr.FollowStore]. Of two cells of the same time Cassandra keeps the greater one.
func (s *Store) PutFollowerCount(ctx context.Context, c twtr.FollowerCount) error {
	at := c.At.UnixMicro()
	return s.exec(ctx, insertFollowerCount, c.Username, c.Bucket, c.Count, at, at)
}

// FollowerCounts implements [twtr.FollowStore].
func (s *Store) FollowerCounts(ctx context.Context, username string) ([]twtr.FollowerCount, error) {
	return list(ctx, s, func(row gocql.Scanner) (twtr.FollowerCount, error) {
		c := twtr.FollowerCount{Username: username}
		var at int64
		err := row.Scan(&c.Bucket, &c.Count, &at)
		c.At = time.UnixMicro(at).UTC()
		return c, err
	}, twtr.FollowerBuckets, selectFollowerCounts, username)
}

func scanName(row gocql.Scanner) (name string, err error) {
	err = row.Scan(&name)
	return name, err
}
