// Package storetest is the conformance suite of the store engines: each case asserts sentences of the contracts in package twtr.
package storetest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
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

// Run runs all cases, each with a store from open. Each uses names of its own, so open may return the same store again.
func Run(t *testing.T, open func(*testing.T) twtr.Store) {
	for _, cases := range [][]test{storeTests, userTests, sessionTests, loginTests, idempotencyTests, tweetTests, deliveryTests, followTests, feedTests, erasureTests} {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, open(t))
			})
		}
	}
}

// name is a username that no user has.
func name() string { return rand.Text()[:16] }

// inCases are two names that differ in case only, and that no user has.
func inCases() (upper, lower string) {
	upper = "A" + name()[1:]
	return upper, strings.ToLower(upper)
}

// now is a time as the store keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// idAt is a UUIDv7 of that millisecond whose other bits are those of n, so that ids of one time sort by n.
func idAt(at time.Time, n uint32) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16)
	binary.BigEndian.PutUint32(id[9:], n)
	id[6], id[8] = 0x70, 0x80
	return id
}

// someIDAt is a UUIDv7 of that millisecond whose other bits are random.
func someIDAt(at time.Time) uuid.UUID {
	random, id := uuid.New(), idAt(at, 0)
	copy(id[6:], random[6:])
	id[6] = 0x70 | id[6]&0x0f
	return id
}

// tweetAt is a tweet whose id is above those of lower n. The user is part of the id, because tests run at the same time in one store.
func tweetAt(username string, at time.Time, n uint32) twtr.Tweet {
	id := idAt(at, n)
	user := sha256.Sum256([]byte(username))
	copy(id[13:], user[:])
	return tweetOf(id, username, "tweet of "+username)
}

func tweetOf(id uuid.UUID, username, content string) twtr.Tweet {
	t, err := twtr.NewTweet(id, username, twtr.Post{Content: content})
	if err != nil {
		panic(err) // a string can always be marshaled
	}
	return t
}

func requireCode(t *testing.T, code twtr.Code, err error) {
	t.Helper()
	require.Equal(t, code, twtr.ErrorCode(err), "%v", err)
}

var storeTests = []test{
	{"an open store answers", func(t *testing.T, s twtr.Store) {
		require.NoError(t, s.Ping(t.Context()))
	}},
	{"an ended context ends every method with its error, and nothing is written", func(t *testing.T, s twtr.Store) {
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()

		there, missing := stockOf(name()), stockOf(name())
		require.NoError(t, there.put(t.Context(), s))
		for _, have := range []stock{there, missing} {
			for method, call := range have.calls(s) {
				require.ErrorIs(t, call(canceled), context.Canceled, method)
				require.ErrorIs(t, call(late), context.DeadlineExceeded, method)
			}
		}
		require.NoError(t, there.check(t.Context(), s))

		_, err := s.User(t.Context(), missing.user.Username)
		requireCode(t, twtr.NotFound, err)
		_, err = s.Session(t.Context(), missing.session.Family)
		requireCode(t, twtr.NotFound, err)
		ended, err := s.EndedSessions(t.Context(), now().Add(-time.Minute))
		require.NoError(t, err)
		require.NotContains(t, ended, there.session.Family)
		require.NotContains(t, ended, missing.session.Family)
		failed, err := s.LoginFailures(t.Context(), missing.failed.Username, missing.failed.Source)
		require.NoError(t, err)
		require.Equal(t, noFailures(missing.failed), failed)
		known, err := s.KnownSource(t.Context(), missing.failed.Username, missing.failed.Source)
		require.NoError(t, err)
		require.False(t, known)
		_, err = s.Tweet(t.Context(), missing.tweet.ID)
		requireCode(t, twtr.NotFound, err)
		tweets, err := s.TweetsByUser(t.Context(), missing.user.Username, twtr.Window{}, 10)
		require.NoError(t, err)
		require.Empty(t, tweets)
		_, err = s.Receipt(t.Context(), missing.tweet.ID)
		requireCode(t, twtr.NotFound, err)
		counts, err := s.FollowerCounts(t.Context(), missing.follow.Followee)
		require.NoError(t, err)
		require.Empty(t, counts)
		requireEdge(t, s, missing.follow, false)
		require.Empty(t, feed(t, s, missing.reader))
	}},
	{"32 concurrent clients each read what they wrote", func(t *testing.T, s twtr.Store) {
		for _, err := range race(32, func(int) error {
			mine := stockOf(name())
			for range 5 { // the same again changes nothing
				if err := mine.put(t.Context(), s); err != nil {
					return err
				}
				if err := mine.check(t.Context(), s); err != nil {
					return err
				}
			}
			return nil
		}) {
			require.NoError(t, err)
		}
	}},
}

// stock is one of each thing that a store keeps.
type stock struct {
	user    twtr.User
	session twtr.Session
	failed  twtr.LoginFailures
	tweet   twtr.Tweet
	claim   twtr.IdempotencyClaim
	receipt twtr.Receipt
	follow  twtr.Follow
	count   twtr.FollowerCount
	reader  string
}

func stockOf(username string) stock {
	id := uuid.Must(uuid.NewV7())
	return stock{
		user:    user(username),
		session: sessionOf(username),
		failed:  twtr.LoginFailures{Username: username, Source: "source", Count: 3, Last: now()},
		tweet:   tweetOf(id, username, "hello"),
		claim:   twtr.IdempotencyClaim{Username: username, Key: "key", TweetID: id, RequestHash: []byte("hash"), ExpiresAt: now().Add(time.Hour)},
		receipt: twtr.Receipt{TweetID: id, Username: username, State: twtr.DeliveryComplete, Delivered: 7, CompletedAt: now()},
		count:   twtr.FollowerCount{Username: username, Bucket: 3, Count: 5, Version: 1},
		follow:  twtr.Follow{Follower: username, Followee: name(), At: now(), Since: id, Requests: []string{"b", "a"}},
		reader:  name(),
	}
}

func (o stock) put(ctx context.Context, s twtr.Store) error {
	return errors.Join(
		s.CreateUser(ctx, o.user),
		s.CreateSession(ctx, o.session),
		ignore(twtr.Conflict, s.ReplaceLoginFailures(ctx, noFailures(o.failed), o.failed)), // as the second put gets
		s.PutKnownSource(ctx, o.user.Username, o.failed.Source),
		s.PutTweet(ctx, o.tweet),
		second(s.ClaimIdempotencyKey(ctx, o.claim)),
		s.PutReceipt(ctx, o.receipt),
		s.PutFollow(ctx, o.follow),
		s.PutFollowerCount(ctx, o.count),
		s.PutFeedItem(ctx, o.tweet, []string{o.reader}),
	)
}

// check returns an error unless the store has all of it, once.
func (o stock) check(ctx context.Context, s twtr.Store) error {
	user, userErr := s.User(ctx, o.user.Username)
	session, sessionErr := s.Session(ctx, o.session.Family)
	sessions, sessionsErr := s.SessionsByUser(ctx, o.user.Username, uuid.Nil, 10)
	failed, failedErr := s.LoginFailures(ctx, o.failed.Username, o.failed.Source)
	known, knownErr := s.KnownSource(ctx, o.failed.Username, o.failed.Source)
	tweet, tweetErr := s.Tweet(ctx, o.tweet.ID)
	tweets, tweetsErr := s.TweetsByUser(ctx, o.user.Username, twtr.Window{}, 10)
	feed, feedErr := s.Feed(ctx, o.reader, twtr.Window{}, 10)
	bucket := twtr.FollowerBucket(o.follow.Follower)
	followers, followersErr := s.Followers(ctx, o.follow.Followee, bucket, "", 10)
	followings, followingsErr := s.Followings(ctx, o.follow.Follower, "", 10)
	claim, claimErr := s.ClaimIdempotencyKey(ctx, o.claim)
	receipt, receiptErr := s.Receipt(ctx, o.tweet.ID)
	follow, followErr := s.Follow(ctx, o.follow.Follower, o.follow.Followee)
	counts, countsErr := s.FollowerCounts(ctx, o.count.Username)
	counted, countedErr := s.CountFollowers(ctx, o.follow.Followee, bucket)
	changed, changedErr := s.FollowChanged(ctx, o.follow.Follower, o.follow.Followee)
	following, followingErr := s.CountFollowings(ctx, o.follow.Follower)
	first, left, firstErr := s.FirstFollowers(ctx, o.follow.Followee, 100)
	floor, floorErr := s.FeedFloor(ctx, o.reader, 1)
	have, haveErr := s.ReadersHavingFeedItem(ctx, o.tweet.ID, []string{o.reader})
	if err := errors.Join(userErr, sessionErr, sessionsErr, failedErr, knownErr, tweetErr, tweetsErr, feedErr, followersErr, followingsErr,
		claimErr, receiptErr, followErr, countsErr, countedErr, haveErr, changedErr, followingErr, firstErr, floorErr); err != nil {
		return err
	}
	got := []any{user, session, sessions, failed, known, tweet, tweets, feed, followers, followings, claim, receipt, follow, counts, counted, have,
		changed, following, first, left, floor}
	want := []any{o.user, o.session, []twtr.Session{o.session}, o.failed, true, o.tweet, []twtr.Tweet{o.tweet}, []twtr.Tweet{o.tweet},
		[]string{o.follow.Follower}, []string{o.follow.Followee}, o.claim, o.receipt, o.follow, []twtr.FollowerCount{o.count}, 1, []string{o.reader},
		twtr.Follow{At: o.follow.At, Requests: o.follow.Requests}, 1, []string{o.follow.Follower}, []twtr.BucketCursor(nil), o.tweet.ID}
	if !reflect.DeepEqual(want, got) {
		return fmt.Errorf("want %v, got %v", want, got)
	}
	return nil
}

func second[T any](_ T, err error) error { return err }

// ignore returns err, but nil in place of an error of that code.
func ignore(code twtr.Code, err error) error {
	if twtr.ErrorCode(err) == code {
		return nil
	}
	return err
}

// calls are all methods that take a context; each call would change or read the stock.
func (o stock) calls(s twtr.Store) map[string]func(context.Context) error {
	follower, later := o.follow.Follower, o.follow
	later.At = later.At.Add(time.Second)
	return map[string]func(context.Context) error{
		"Ping":          s.Ping,
		"CreateUser":    func(ctx context.Context) error { return s.CreateUser(ctx, o.user) },
		"User":          func(ctx context.Context) error { _, err := s.User(ctx, o.user.Username); return err },
		"CreateSession": func(ctx context.Context) error { return s.CreateSession(ctx, o.session) },
		"Session":       func(ctx context.Context) error { _, err := s.Session(ctx, o.session.Family); return err },
		"RotateSession": func(ctx context.Context) error { return s.RotateSession(ctx, o.session.TokenHash, rotated(o.session)) },
		"SetPassword": func(ctx context.Context) error {
			return s.SetPassword(ctx, o.user.Username, o.user.PasswordHash, "other")
		},
		"RetireUser":      func(ctx context.Context) error { return s.RetireUser(ctx, o.user.Username) },
		"ReleaseUsername": func(ctx context.Context) error { return s.ReleaseUsername(ctx, o.user.Username, later.At) },
		"SessionsByUser": func(ctx context.Context) error {
			return second(s.SessionsByUser(ctx, o.user.Username, uuid.Nil, 1))
		},
		"EndSession":    func(ctx context.Context) error { return s.EndSession(ctx, o.session.Family, now()) },
		"EndedSessions": func(ctx context.Context) error { return second(s.EndedSessions(ctx, now())) },
		"LoginFailures": func(ctx context.Context) error { return second(s.LoginFailures(ctx, follower, "source")) },
		"ReplaceLoginFailures": func(ctx context.Context) error {
			return errors.Join(s.ReplaceLoginFailures(ctx, o.failed, noFailures(o.failed)),
				s.ReplaceLoginFailures(ctx, noFailures(o.failed), o.failed))
		},
		"PutKnownSource": func(ctx context.Context) error { return s.PutKnownSource(ctx, follower, "source") },
		"KnownSource":    func(ctx context.Context) error { return second(s.KnownSource(ctx, follower, "source")) },
		"PutTweet":       func(ctx context.Context) error { return s.PutTweet(ctx, o.tweet) },
		"Tweet":          func(ctx context.Context) error { _, err := s.Tweet(ctx, o.tweet.ID); return err },
		"TweetsByUser":   func(ctx context.Context) error { _, err := s.TweetsByUser(ctx, follower, twtr.Window{}, 1); return err },
		"PutFollow":      func(ctx context.Context) error { return s.PutFollow(ctx, o.follow) },
		"DeleteFollow":   func(ctx context.Context) error { return s.DeleteFollow(ctx, later) },
		"Followers":      func(ctx context.Context) error { _, err := s.Followers(ctx, o.follow.Followee, 0, "", 1); return err },
		"FirstFollowers": func(ctx context.Context) error {
			_, _, err := s.FirstFollowers(ctx, o.follow.Followee, 1)
			return err
		},
		"FollowChanged":   func(ctx context.Context) error { return second(s.FollowChanged(ctx, follower, o.follow.Followee)) },
		"CountFollowings": func(ctx context.Context) error { return second(s.CountFollowings(ctx, follower)) },
		"FeedFloor":       func(ctx context.Context) error { return second(s.FeedFloor(ctx, o.reader, 1)) },
		"Followings":      func(ctx context.Context) error { _, err := s.Followings(ctx, follower, "", 1); return err },
		"PutFeedItem":     func(ctx context.Context) error { return s.PutFeedItem(ctx, o.tweet, []string{o.reader}) },
		"PutFeedItems":    func(ctx context.Context) error { return s.PutFeedItems(ctx, o.reader, []twtr.Tweet{o.tweet}, later.At) },
		"RetractFeedItem": func(ctx context.Context) error {
			return s.RetractFeedItem(ctx, o.tweet.ID, []string{o.reader}, later.At)
		},
		"DeleteFeedItems": func(ctx context.Context) error {
			return s.DeleteFeedItems(ctx, o.reader, []uuid.UUID{o.tweet.ID}, later.At)
		},
		"TrimFeed": func(ctx context.Context) error { return s.TrimFeed(ctx, o.reader, 0) },
		"ReadersHavingFeedItem": func(ctx context.Context) error {
			return second(s.ReadersHavingFeedItem(ctx, o.tweet.ID, []string{o.reader}))
		},
		"ClaimIdempotencyKey": func(ctx context.Context) error { return second(s.ClaimIdempotencyKey(ctx, o.claim)) },
		"DeleteTweet":         func(ctx context.Context) error { return s.DeleteTweet(ctx, o.tweet) },
		"PutReceipt": func(ctx context.Context) error {
			return s.PutReceipt(ctx, twtr.Receipt{TweetID: o.tweet.ID, State: twtr.DeliveryRetracting})
		},
		"Receipt":        func(ctx context.Context) error { return second(s.Receipt(ctx, o.tweet.ID)) },
		"Follow":         func(ctx context.Context) error { return second(s.Follow(ctx, follower, o.follow.Followee)) },
		"CountFollowers": func(ctx context.Context) error { return second(s.CountFollowers(ctx, o.follow.Followee, 0)) },
		"PutFollowerCount": func(ctx context.Context) error {
			return s.PutFollowerCount(ctx, twtr.FollowerCount{Username: follower, Bucket: 3, Count: 9, Version: 2})
		},
		"FollowerCounts": func(ctx context.Context) error { return second(s.FollowerCounts(ctx, follower)) },
		"TweetIDs":       func(ctx context.Context) error { return second(s.TweetIDs(ctx, follower, uuid.Nil, 1)) },
		"EraseTweets":    func(ctx context.Context) error { return s.EraseTweets(ctx, follower, []uuid.UUID{o.tweet.ID}) },
		"EraseFromFeed":  func(ctx context.Context) error { return s.EraseFromFeed(ctx, o.reader, follower) },
		"EraseFollow":    func(ctx context.Context) error { return s.EraseFollow(ctx, follower, o.follow.Followee) },
		"EraseUser":      func(ctx context.Context) error { return s.EraseUser(ctx, follower) },
		"Traces":         func(ctx context.Context) error { return second(s.Traces(ctx, follower)) },
		"Feed":           func(ctx context.Context) error { _, err := s.Feed(ctx, o.reader, twtr.Window{}, 1); return err },
	}
}
