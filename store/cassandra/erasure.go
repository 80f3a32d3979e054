package cassandra

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

// A removal has the time of what it removes, or a later one. So it wins whatever the clock of the process said that wrote it, and
// whether it was written by a lightweight transaction, whose time is of a replica's clock.
const (
	selectTweetIDs   = `SELECT id FROM tweets_by_user WHERE username = ? AND id < ? LIMIT ?`
	deleteReceipt    = `DELETE FROM deliveries USING TIMESTAMP ? WHERE tweet_id = ?`
	selectItemsOf    = `SELECT tweet_id, writetime(author) FROM feed_items WHERE username = ? AND author = ? LIMIT ? ALLOW FILTERING`
	deleteUnfollow   = `DELETE FROM unfollows USING TIMESTAMP ? WHERE follower = ? AND followee = ?`
	selectUnfollows  = `SELECT follower, followee FROM unfollows WHERE follower = ? LIMIT ?`
	selectUnfollowed = `SELECT follower, followee FROM unfollows WHERE followee = ? LIMIT ?`
	deleteFollowers  = `DELETE FROM followers USING TIMESTAMP ? WHERE username = ? AND bucket IN ?`
)

// ownPartitions are what is kept under a user's name alone, one partition in each table: the statements that read the newest times
// in it, and the one that deletes it. The list of tweets is the last one, so that an erasure that stops can start again.
var ownPartitions = []struct {
	newest []string
	erase  string
}{
	{[]string{`SELECT max(writetime(body)) FROM feed_items WHERE username = ?`, `SELECT max(writetime(deleted)) FROM feed_items WHERE username = ?`,
		`SELECT writetime(kept) FROM feed_items WHERE username = ? LIMIT 1`},
		`DELETE FROM feed_items USING TIMESTAMP ? WHERE username = ?`},
	{[]string{`SELECT max(followed_at) FROM followings WHERE username = ?`}, `DELETE FROM followings USING TIMESTAMP ? WHERE username = ?`},
	{[]string{`SELECT max(writetime(version)) FROM follower_counts WHERE username = ?`}, `DELETE FROM follower_counts USING TIMESTAMP ? WHERE username = ?`},
	{[]string{`SELECT max(writetime(ended)) FROM sessions_by_user WHERE username = ?`}, `DELETE FROM sessions_by_user USING TIMESTAMP ? WHERE username = ?`},
	{[]string{`SELECT max(writetime(last)) FROM login_failures WHERE username = ?`}, `DELETE FROM login_failures USING TIMESTAMP ? WHERE username = ?`},
	{[]string{`SELECT max(writetime(expires_at)) FROM known_sources WHERE username = ?`}, `DELETE FROM known_sources USING TIMESTAMP ? WHERE username = ?`},
	{[]string{`SELECT max(writetime(expires_at)) FROM idempotency_keys WHERE username = ?`}, `DELETE FROM idempotency_keys USING TIMESTAMP ? WHERE username = ?`},
	// The write timestamps are in the order of the ids.
	{[]string{`SELECT writetime(body) FROM tweets_by_user WHERE username = ? LIMIT 1`}, `DELETE FROM tweets_by_user USING TIMESTAMP ? WHERE username = ?`},
}

const (
	// tweetsPerErasure is how many tweets one batch erases: with their receipts and their author's list 9 partitions, of which
	// Cassandra does not warn.
	tweetsPerErasure = 4
	// rowsPerErasure is how many rows to erase are read at a time.
	rowsPerErasure = 500
)

// TweetIDs implements [twtr.ErasureStore].
func (s *Store) TweetIDs(ctx context.Context, username string, before uuid.UUID, limit int) ([]uuid.UUID, error) {
	return list(ctx, s, func(row gocql.Scanner) (id uuid.UUID, err error) {
		err = row.Scan((*gocql.UUID)(&id))
		return id, err
	}, limit, selectTweetIDs, username, upperBound(before))
}

// EraseTweets implements [twtr.ErasureStore]. All times follow from the ids.
func (s *Store) EraseTweets(ctx context.Context, username string, ids []uuid.UUID) error {
	if err := ctx.Err(); err != nil { // also of no tweets
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(batchesPerCall)
	for some := range slices.Chunk(ids, tweetsPerErasure) {
		g.Go(func() error {
			var rows []gocql.BatchEntry
			for _, tweetID := range some {
				id, at := gocql.UUID(tweetID), twtr.TimeOf(tweetID).UnixMicro()
				rows = append(rows, row(deleteTweet, at, id), row(markTweetByUser, username, id, at+1),
					row(deleteReceipt, at+int64(twtr.DeliveryRetracted.Stage()), id))
			}
			return s.execBatch(gctx, rows...)
		})
	}
	return mapError(ctx, g.Wait())
}

// EraseFromFeed implements [twtr.ErasureStore]. Where there is nothing, it is one read.
func (s *Store) EraseFromFeed(ctx context.Context, reader, author string) error {
	type item struct {
		id gocql.UUID
		at int64
	}
	for {
		items, err := list(ctx, s, func(row gocql.Scanner) (i item, err error) {
			err = row.Scan(&i.id, &i.at)
			return i, err
		}, rowsPerErasure, selectItemsOf, reader, author)
		if err != nil {
			return err
		}
		now := time.Now().UnixMicro()
		err = s.writeToFeed(ctx, retractFeedItem, len(items), func(i int) []any {
			// Later than the put, and than one that is retried.
			return []any{max(now, items[i].at, twtr.TimeOf(uuid.UUID(items[i].id)).UnixMicro()) + 1, reader, items[i].id}
		})
		if err != nil || len(items) < rowsPerErasure {
			return err
		}
	}
}

// EraseFollow implements [twtr.ErasureStore]. What says the edge's time is removed last, so that a retry finds it.
func (s *Store) EraseFollow(ctx context.Context, follower, followee string) error {
	changed, err := s.FollowChanged(ctx, follower, followee)
	if err != nil {
		return err
	}
	at := max(time.Now().UnixMicro(), changed.At.UnixMicro())
	if err := s.exec(ctx, deleteFollower, at, followee, twtr.FollowerBucket(follower), follower); err != nil {
		return err
	}
	return s.execBatch(ctx,
		row(deleteFollowing, at, follower, followee),
		row(deleteUnfollow, at, follower, followee))
}

// EraseUser implements [twtr.ErasureStore].
func (s *Store) EraseUser(ctx context.Context, username string) error {
	for _, unfollows := range []string{selectUnfollows, selectUnfollowed} {
		if err := s.eraseUnfollows(ctx, unfollows, username); err != nil {
			return err
		}
	}
	if err := s.eraseSessions(ctx, username); err != nil {
		return err
	}
	// The times of these rows can't be read. [Store.EraseFollow] removed those of edges that were there.
	if err := s.exec(ctx, deleteFollowers, time.Now().UnixMicro(), username, allBuckets()); err != nil {
		return err
	}
	for _, partition := range ownPartitions {
		at := time.Now().UnixMicro()
		for _, newest := range partition.newest {
			var written int64
			if _, err := s.one(ctx, serial, newest, []any{username}, &written); err != nil {
				return err
			}
			at = max(at, written)
		}
		if err := s.exec(ctx, partition.erase, at, username); err != nil {
			return err
		}
	}
	return nil
}

// eraseUnfollows removes the memory of the former edges that the query finds.
func (s *Store) eraseUnfollows(ctx context.Context, query, username string) error {
	for {
		edges, err := list(ctx, s, func(row gocql.Scanner) (f twtr.Follow, err error) {
			err = row.Scan(&f.Follower, &f.Followee)
			return f, err
		}, rowsPerErasure, query, username)
		if err != nil {
			return err
		}
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(readsPerCall)
		for _, e := range edges {
			g.Go(func() error { return s.EraseFollow(gctx, e.Follower, e.Followee) })
		}
		if err := g.Wait(); err != nil || len(edges) < rowsPerErasure {
			return mapError(ctx, err)
		}
	}
}

// eraseSessions leaves of the user's sessions what is left of those that ended, which does not name the user. A session whose row
// is not there is ended, too: it may be about to be created.
func (s *Store) eraseSessions(ctx context.Context, username string) error {
	for before := uuid.Nil; ; {
		families, err := list(ctx, s, scanFamily, sessionsPage, selectSessionsByUser, username, upperBound(before))
		if err != nil {
			return err
		}
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(readsPerCall)
		for _, family := range families {
			g.Go(func() error {
				_, err := s.cas(gctx, endSession, sessionTTL, family)
				return err
			})
		}
		if err := g.Wait(); err != nil || len(families) < sessionsPage {
			return mapError(ctx, err)
		}
		before = uuid.UUID(families[len(families)-1])
	}
}

// trace is a way to find a row that names a user.
type trace struct {
	table, condition string
	// token is the table's partition key, if the condition does not say where the row is: the whole table is read.
	token string
}

// traces are all of them, in the order of their tables, but for those of users.
var traces = []trace{
	{"deliveries", "username = ?", "tweet_id"},
	{"feed_items", "username = ?", ""},
	{"feed_items", "author = ?", "username"},
	{"follower_counts", "username = ?", ""},
	{"followers", "username = ? AND bucket IN (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)", ""},
	{"followers", "follower = ?", "username, bucket"},
	{"followings", "username = ?", ""},
	{"followings", "followee = ?", "username"},
	{"idempotency_keys", "username = ?", ""},
	{"known_sources", "username = ?", ""},
	{"login_failures", "username = ?", ""},
	{"sessions", "username = ?", "family"},
	{"sessions_by_user", "username = ?", ""},
	{"tweets", "username = ?", "id"},
	{"tweets_by_user", "username = ?", ""},
	{"unfollows", "follower = ?", ""}, // by an index
	{"unfollows", "followee = ?", ""},
}

// Traces implements [twtr.ErasureStore].
func (s *Store) Traces(ctx context.Context, username string) ([]string, error) {
	var tables []string
	for _, t := range traces {
		found, err := s.find(ctx, t, username)
		if err != nil {
			return nil, err
		}
		if found {
			tables = append(tables, t.table)
		}
	}
	u, retired, err := s.user(ctx, username, serial)
	if err != nil && twtr.ErrorCode(err) != twtr.NotFound {
		return nil, err
	}
	if err == nil && (!retired || u.Email != "" || u.DisplayName != "" || u.PasswordHash != "") {
		tables = append(tables, "users")
	}
	return slices.Compact(tables), nil
}

// find reports whether there is a row that names the user.
func (s *Store) find(ctx context.Context, t trace, username string) (found bool, err error) {
	query := "SELECT * FROM " + t.table + " WHERE " + t.condition
	if t.token == "" {
		return s.exists(ctx, query+" LIMIT 1", username)
	}
	query += " AND token(" + t.token + ") > ? AND token(" + t.token + ") <= ? LIMIT 1 ALLOW FILTERING"
	err = sweep(func(after, to int64) (_ bool, err error) {
		found, err = s.exists(ctx, query, username, after, to)
		return found, err
	})
	return found, err
}

// exists reports whether the query finds a row. It is not retried: a smaller range is, and the whole by the caller.
func (s *Store) exists(ctx context.Context, query string, args ...any) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	err := s.session.Query(query, args...).WithContext(ctx).RetryPolicy(nil).MapScan(map[string]any{})
	if errors.Is(err, gocql.ErrNotFound) {
		return false, nil
	}
	return err == nil, mapError(ctx, err)
}

const (
	// quickRead is a read that could have been twice as long.
	quickRead = requestTimeout / 10
	// smallestSweep is a range that has a few partitions at most, in a table of hundreds of millions.
	smallestSweep = 1 << 36
)

// sweep calls read with one range of tokens after the other, (after, to], until it has read all or is done. Where a range is more
// than the store reads in one request, be it rows or tombstones, it takes smaller ones.
func sweep(read func(after, to int64) (done bool, err error)) error {
	size := uint64(math.MaxUint64)
	for after := int64(math.MinInt64); after < math.MaxInt64; {
		left := uint64(math.MaxInt64) - uint64(after)
		to := after + int64(min(size, left)) // both wrap around as they should
		began := time.Now()
		done, err := read(after, to)
		switch {
		case done:
			return nil
		case twtr.ErrorCode(err) == twtr.Unavailable && size > smallestSweep:
			size /= 4
			continue
		case err != nil:
			return err
		}
		if after = to; time.Since(began) < quickRead && size <= math.MaxUint64/2 {
			size *= 2
		}
	}
	return nil
}
