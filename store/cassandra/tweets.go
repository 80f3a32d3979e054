package cassandra

import (
	"context"

	"github.com/gocql/gocql"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

const (
	insertTweet        = `INSERT INTO tweets (id, username, content) VALUES (?, ?, ?) USING TIMESTAMP ?`
	insertTweetByUser  = `INSERT INTO tweets_by_user (username, id, content) VALUES (?, ?, ?) USING TIMESTAMP ?`
	deleteTweet        = `DELETE FROM tweets USING TIMESTAMP ? WHERE id = ?`
	deleteTweetByUser  = `DELETE FROM tweets_by_user USING TIMESTAMP ? WHERE username = ? AND id = ?`
	selectTweet        = `SELECT username, content FROM tweets WHERE id = ?`
	selectTweetsByUser = `SELECT id, content FROM tweets_by_user WHERE username = ? AND id < ? LIMIT ?`
)

// PutTweet implements [twtr.TweetStore].
func (s *Store) PutTweet(ctx context.Context, t twtr.Tweet) error {
	id, at := gocql.UUID(t.ID), t.CreatedAt().UnixMicro()
	return s.execTogether(ctx, row(insertTweet, id, t.Username, t.Content, at), row(insertTweetByUser, t.Username, id, t.Content, at))
}

// DeleteTweet implements [twtr.TweetStore]. The removal has the time of the put, and at the same time a removal wins.
func (s *Store) DeleteTweet(ctx context.Context, t twtr.Tweet) error {
	id, at := gocql.UUID(t.ID), t.CreatedAt().UnixMicro()
	return s.execTogether(ctx, row(deleteTweet, at, id), row(deleteTweetByUser, at, t.Username, id))
}

// Tweet implements [twtr.TweetStore].
func (s *Store) Tweet(ctx context.Context, id uuid.UUID) (twtr.Tweet, error) {
	t := twtr.Tweet{ID: id}
	found, err := s.one(ctx, gocql.LocalQuorum, selectTweet, []any{gocql.UUID(id)}, &t.Username, &t.Content)
	if err != nil {
		return twtr.Tweet{}, err
	}
	if !found {
		return twtr.Tweet{}, twtr.Errorf(twtr.NotFound, "there is no tweet %s", id)
	}
	return t, nil
}

// TweetsByUser implements [twtr.TweetStore].
func (s *Store) TweetsByUser(ctx context.Context, username string, before uuid.UUID, limit int) ([]twtr.Tweet, error) {
	return list(ctx, s, func(row gocql.Scanner) (twtr.Tweet, error) {
		t := twtr.Tweet{Username: username}
		err := row.Scan((*gocql.UUID)(&t.ID), &t.Content)
		return t, err
	}, limit, selectTweetsByUser, username, upperBound(before))
}

// upperBound is the id that those of a page are below. Cassandra compares uuids by their version first.
func upperBound(before uuid.UUID) gocql.UUID {
	if before == uuid.Nil {
		before = uuid.Max
	}
	return gocql.UUID(before)
}
