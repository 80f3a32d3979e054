// Package storetest is what every store engine must pass: each case asserts sentences of the contracts in package twtr.
package storetest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

type test struct {
	name string
	run  func(*testing.T, twtr.Store)
}

// Run runs all cases, each with a store from open. They use names of their own, so open may return the same one again.
func Run(t *testing.T, open func(*testing.T) twtr.Store) {
	for _, cases := range [][]test{storeTests, userTests, sessionTests, tweetTests, followTests, feedTests} {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, open(t))
			})
		}
	}
}

// name is a username that nobody has.
func name() string { return rand.Text()[:16] }

// now is a time as the store keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// idAt is a UUIDv7 of that millisecond whose other bits are those of n, so that ids of one time sort by n.
func idAt(at time.Time, n uint32) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16)
	binary.BigEndian.PutUint32(id[12:], n)
	id[6], id[8] = 0x70, 0x80
	return id
}

func tweetAt(username string, at time.Time, n uint32) twtr.Tweet {
	return twtr.Tweet{ID: idAt(at, n), Username: username, Content: "tweet of " + username}
}

func requireCode(t *testing.T, code twtr.Code, err error) {
	t.Helper()
	require.Equal(t, code, twtr.ErrorCode(err), "%v", err)
}

var storeTests = []test{
	{"a store that is open answers", func(t *testing.T, s twtr.Store) {
		require.NoError(t, s.Ping(t.Context()))
	}},
	{"an ended context ends every method with its error, and nothing is written", func(t *testing.T, s twtr.Store) {
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		u := user(name())
		other := name()
		session := sessionOf(u.Username)
		tweet := tweetAt(u.Username, now(), 1)
		follow := twtr.Follow{Follower: u.Username, Followee: other, At: now()}
		for method, call := range map[string]func(context.Context) error{
			"Ping":           s.Ping,
			"CreateUser":     func(ctx context.Context) error { return s.CreateUser(ctx, u) },
			"User":           func(ctx context.Context) error { _, err := s.User(ctx, u.Username); return err },
			"CreateSession":  func(ctx context.Context) error { return s.CreateSession(ctx, session) },
			"Session":        func(ctx context.Context) error { _, err := s.Session(ctx, session.Family); return err },
			"RotateSession":  func(ctx context.Context) error { return s.RotateSession(ctx, session.TokenHash, session) },
			"DeleteSession":  func(ctx context.Context) error { return s.DeleteSession(ctx, session.Family) },
			"PutTweet":       func(ctx context.Context) error { return s.PutTweet(ctx, tweet) },
			"Tweet":          func(ctx context.Context) error { _, err := s.Tweet(ctx, tweet.ID); return err },
			"TweetsByUser":   func(ctx context.Context) error { _, err := s.TweetsByUser(ctx, u.Username, uuid.Nil, 1); return err },
			"PutFollow":      func(ctx context.Context) error { return s.PutFollow(ctx, follow) },
			"DeleteFollow":   func(ctx context.Context) error { return s.DeleteFollow(ctx, follow) },
			"Followers":      func(ctx context.Context) error { _, err := s.Followers(ctx, other, 0, "", 1); return err },
			"Followings":     func(ctx context.Context) error { _, err := s.Followings(ctx, u.Username, "", 1); return err },
			"PutFeedItem":    func(ctx context.Context) error { return s.PutFeedItem(ctx, tweet, []string{other}) },
			"PutFeedItems":   func(ctx context.Context) error { return s.PutFeedItems(ctx, other, []twtr.Tweet{tweet}) },
			"DeleteFeedItem": func(ctx context.Context) error { return s.DeleteFeedItem(ctx, other, tweet.ID, now()) },
			"Feed":           func(ctx context.Context) error { _, err := s.Feed(ctx, other, uuid.Nil, 1); return err },
		} {
			require.ErrorIs(t, call(cancelled), context.Canceled, method)
			require.ErrorIs(t, call(late), context.DeadlineExceeded, method)
		}
		_, err := s.User(t.Context(), u.Username)
		requireCode(t, twtr.NotFound, err)
		_, err = s.Session(t.Context(), session.Family)
		requireCode(t, twtr.NotFound, err)
		_, err = s.Tweet(t.Context(), tweet.ID)
		requireCode(t, twtr.NotFound, err)
		require.Empty(t, followersOf(t, s, other, 10))
		require.Empty(t, feed(t, s, other))
	}},
}
