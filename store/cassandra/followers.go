package cassandra

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

const (
	insertFollower  = `INSERT INTO followers (username, bucket, follower) VALUES (?, ?, ?) USING TIMESTAMP ?`
	insertFollowing = `INSERT INTO followings (username, followee, followed_at, since, requests) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?`
	deleteFollower  = `DELETE FROM followers USING TIMESTAMP ? WHERE username = ? AND bucket = ? AND follower = ?`
	deleteFollowing = `DELETE FROM followings USING TIMESTAMP ? WHERE username = ? AND followee = ?`
	insertUnfollow  = `INSERT INTO unfollows (follower, followee, removed_at, requests) VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?`
	selectUnfollow  = `SELECT removed_at, requests FROM unfollows WHERE follower = ? AND followee = ?`
	selectFollowers = `SELECT follower FROM followers WHERE username = ? AND bucket = ? AND follower > ? LIMIT ?`
	// One request for what are always 16 partitions, most of them empty: sixteen took twice as long.
	selectFirstFollowers = `SELECT bucket, follower FROM followers WHERE username = ? AND bucket IN ? PER PARTITION LIMIT ?`

	selectFollowings = `SELECT followee FROM followings WHERE username = ? AND followee > ? LIMIT ?`
	countFollowings  = `SELECT count(*) FROM followings WHERE username = ?`
	selectFollow     = `SELECT followed_at, since, requests FROM followings WHERE username = ? AND followee = ?`

	selectBucket         = `SELECT follower FROM followers WHERE username = ? AND bucket = ?`
	insertFollowerCount  = `INSERT INTO follower_counts (username, bucket, count, version) VALUES (?, ?, ?, 1) IF NOT EXISTS`
	updateFollowerCount  = `UPDATE follower_counts SET count = ?, version = ? WHERE username = ? AND bucket = ? IF version = ?`
	selectFollowerCount  = `SELECT count, version FROM follower_counts WHERE username = ? AND bucket = ?`
	selectFollowerCounts = `SELECT bucket, count, version FROM follower_counts WHERE username = ? LIMIT ?`
)

// unfollowLife is how long removals are remembered: a day, as the contract promises, and some for clocks that differ.
const unfollowLife = 26 * time.Hour

// PutFollow implements [twtr.FollowStore].
func (s *Store) PutFollow(ctx context.Context, f twtr.Follow) error {
	at := f.At.UnixMicro()
	requests, err := json.Marshal(f.Requests)
	if err != nil {
		return err
	}
	return s.execBatch(ctx,
		row(insertFollower, f.Followee, twtr.FollowerBucket(f.Follower), f.Follower, at),
		row(insertFollowing, f.Follower, f.Followee, at, gocql.UUID(f.Since), requests, at))
}

// DeleteFollow implements [twtr.FollowStore].
func (s *Store) DeleteFollow(ctx context.Context, f twtr.Follow) error {
	at := f.At.UnixMicro()
	requests, err := json.Marshal(f.Requests)
	if err != nil {
		return err
	}
	return s.execBatch(ctx,
		row(deleteFollower, at, f.Followee, twtr.FollowerBucket(f.Follower), f.Follower),
		row(deleteFollowing, at, f.Follower, f.Followee),
		row(insertUnfollow, f.Follower, f.Followee, at, requests, at, int(unfollowLife.Seconds())))
}

// Follow implements [twtr.FollowStore].
func (s *Store) Follow(ctx context.Context, follower, followee string) (twtr.Follow, error) {
	var at int64
	var since *gocql.UUID
	var requests []byte
	found, err := s.one(ctx, gocql.LocalQuorum, selectFollow, []any{follower, followee}, &at, &since, &requests)
	if err != nil {
		return twtr.Follow{}, err
	}
	if !found {
		return twtr.Follow{}, twtr.Errorf(twtr.NotFound, "%s does not follow %s", follower, followee)
	}
	f, err := change(at, requests)
	f.Follower, f.Followee = follower, followee
	if since == nil { // written before there was this column
		f.Since = twtr.FirstTweetID(f.At)
	} else {
		f.Since = uuid.UUID(*since)
	}
	return f, err
}

// FollowChanged implements [twtr.FollowStore].
func (s *Store) FollowChanged(ctx context.Context, follower, followee string) (twtr.Follow, error) {
	var put, removed int64
	var putBy, removedBy []byte
	g, gctx := errgroup.WithContext(ctx)
	read := func(statement string, dest ...any) {
		g.Go(func() error {
			_, err := s.one(gctx, gocql.LocalQuorum, statement, []any{follower, followee}, dest...)
			return err
		})
	}
	read(selectFollow, &put, new(*gocql.UUID), &putBy)
	read(selectUnfollow, &removed, &removedBy)
	if err := g.Wait(); err != nil {
		return twtr.Follow{}, mapError(ctx, err)
	}
	switch {
	case put > removed:
		return change(put, putBy)
	case removed > 0:
		return change(removed, removedBy)
	}
	return twtr.Follow{}, nil
}

// change is what is stored of each change of an edge.
func change(at int64, requests []byte) (twtr.Follow, error) {
	f := twtr.Follow{At: time.UnixMicro(at).UTC()}
	if len(requests) == 0 { // written before there was this column
		return f, nil
	}
	return f, json.Unmarshal(requests, &f.Requests)
}

// Followers implements [twtr.FollowStore].
func (s *Store) Followers(ctx context.Context, username string, bucket int, after string, limit int) ([]string, error) {
	return list(ctx, s, scanName, limit, selectFollowers, username, bucket, after)
}

// FirstFollowers implements [twtr.FollowStore]. It reads an equal share of the limit from each bucket, at least one name.
func (s *Store) FirstFollowers(ctx context.Context, username string, limit int) (names []string, left []twtr.BucketCursor, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	inBucket := make([][]string, twtr.FollowerBuckets)
	share := max(1, limit/twtr.FollowerBuckets)
	// The driver's page is longer than all rows together: one request.
	rows := s.session.Query(selectFirstFollowers, username, allBuckets(), share).WithContext(ctx).Idempotent(true).
		PageSize(twtr.FollowerBuckets*share + 1).Iter().Scanner()
	for rows.Next() {
		var bucket int
		var name string
		if err := rows.Scan(&bucket, &name); err != nil {
			return nil, nil, mapError(ctx, err)
		}
		inBucket[bucket] = append(inBucket[bucket], name)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, mapError(ctx, err)
	}
	for bucket, all := range inBucket {
		some := all[:min(len(all), limit-len(names))]
		names = append(names, some...)
		if len(some) == share || len(some) < len(all) {
			cursor := twtr.BucketCursor{Bucket: bucket}
			if len(some) > 0 {
				cursor.After = some[len(some)-1]
			}
			left = append(left, cursor)
		}
	}
	return names, left, nil
}

func allBuckets() []int {
	buckets := make([]int, twtr.FollowerBuckets)
	for i := range buckets {
		buckets[i] = i
	}
	return buckets
}

// Followings implements [twtr.FollowStore].
func (s *Store) Followings(ctx context.Context, username, after string, limit int) ([]string, error) {
	return list(ctx, s, scanName, limit, selectFollowings, username, after)
}

// CountFollowings implements [twtr.FollowStore].
func (s *Store) CountFollowings(ctx context.Context, username string) (n int, err error) {
	_, err = s.one(ctx, gocql.LocalQuorum, countFollowings, []any{username}, &n)
	return n, err
}

// CountFollowers implements [twtr.FollowStore]. The client counts the rows: a count(*) of a large partition could exceed the
// server's timeout.
func (s *Store) CountFollowers(ctx context.Context, username string, bucket int) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	rows := s.session.Query(selectBucket, username, bucket).WithContext(ctx).Idempotent(true).PageSize(countPage).Iter().Scanner()
	for rows.Next() {
		n++
	}
	return n, mapError(ctx, rows.Err())
}

// countPage is how many rows one request of a count reads.
const countPage = 5000

// PutFollowerCount implements [twtr.FollowStore].
func (s *Store) PutFollowerCount(ctx context.Context, c twtr.FollowerCount) error {
	statement, args := updateFollowerCount, []any{c.Count, c.Version, c.Username, c.Bucket, c.Version - 1}
	if c.Version == 1 {
		statement, args = insertFollowerCount, []any{c.Username, c.Bucket, c.Count}
	}
	applied, err := s.cas(ctx, statement, args...)
	if err != nil || applied {
		return err
	}
	// It may have met its own row, written by an attempt whose answer was lost.
	stored := twtr.FollowerCount{Username: c.Username, Bucket: c.Bucket}
	_, err = s.one(ctx, serial, selectFollowerCount, []any{c.Username, c.Bucket}, &stored.Count, &stored.Version)
	if err != nil {
		return err
	}
	if stored != c {
		return twtr.Errorf(twtr.Conflict, "the followers of %s in bucket %d were counted meanwhile", c.Username, c.Bucket)
	}
	return nil
}

// FollowerCounts implements [twtr.FollowStore].
func (s *Store) FollowerCounts(ctx context.Context, username string) ([]twtr.FollowerCount, error) {
	return list(ctx, s, func(row gocql.Scanner) (twtr.FollowerCount, error) {
		c := twtr.FollowerCount{Username: username}
		err := row.Scan(&c.Bucket, &c.Count, &c.Version)
		return c, err
	}, twtr.FollowerBuckets, selectFollowerCounts, username)
}

func scanName(row gocql.Scanner) (name string, err error) {
	err = row.Scan(&name)
	return name, err
}
