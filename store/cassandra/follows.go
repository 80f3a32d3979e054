package cassandra

import (
	"context"

	"github.com/gocql/gocql"

	"github.com/twtr-dev/twtr"
)

const (
	insertFollower   = `INSERT INTO followers (username, bucket, follower) VALUES (?, ?, ?) USING TIMESTAMP ?`
	insertFollowing  = `INSERT INTO followings (username, followee) VALUES (?, ?) USING TIMESTAMP ?`
	deleteFollower   = `DELETE FROM followers USING TIMESTAMP ? WHERE username = ? AND bucket = ? AND follower = ?`
	deleteFollowing  = `DELETE FROM followings USING TIMESTAMP ? WHERE username = ? AND followee = ?`
	selectFollowers  = `SELECT follower FROM followers WHERE username = ? AND bucket = ? AND follower > ? LIMIT ?`
	selectFollowings = `SELECT followee FROM followings WHERE username = ? AND followee > ? LIMIT ?`
)

// PutFollow implements [twtr.FollowStore].
func (s *Store) PutFollow(ctx context.Context, f twtr.Follow) error {
	at := f.At.UnixMicro()
	if err := s.exec(ctx, insertFollower, f.Followee, twtr.FollowerBucket(f.Follower), f.Follower, at); err != nil {
		return err
	}
	return s.exec(ctx, insertFollowing, f.Follower, f.Followee, at)
}

// DeleteFollow implements [twtr.FollowStore].
func (s *Store) DeleteFollow(ctx context.Context, f twtr.Follow) error {
	at := f.At.UnixMicro()
	if err := s.exec(ctx, deleteFollower, at, f.Followee, twtr.FollowerBucket(f.Follower), f.Follower); err != nil {
		return err
	}
	return s.exec(ctx, deleteFollowing, at, f.Follower, f.Followee)
}

// Followers implements [twtr.FollowStore].
func (s *Store) Followers(ctx context.Context, username string, bucket int, after string, limit int) ([]string, error) {
	return list(ctx, s, scanName, limit, selectFollowers, username, bucket, after)
}

// Followings implements [twtr.FollowStore].
func (s *Store) Followings(ctx context.Context, username, after string, limit int) ([]string, error) {
	return list(ctx, s, scanName, limit, selectFollowings, username, after)
}

func scanName(row gocql.Scanner) (name string, err error) {
	err = row.Scan(&name)
	return name, err
}
