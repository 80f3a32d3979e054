package twtr

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Store keeps everything. Its engines are in store/cassandra and store/sqlite, and store/storetest asserts each sentence
// below on both. Wherever a method takes a time it is cut to whole microseconds.
//
// Every method returns the context's error when that ended first, and an [Unavailable] error when the engine is away or
// overloaded. Every write is idempotent: doing it again, also much later, changes nothing. A write is durable when it
// returns nil; when it returns another error than a [Conflict] it may have happened or not.
type Store interface {
	UserStore
	SessionStore
	IdempotencyStore
	TweetStore
	DeliveryStore
	FollowStore
	FeedStore

	// Ping returns nil if the engine answers.
	Ping(ctx context.Context) error
	// Close ends all connections. Nothing may be called after it.
	Close()
}

// UserStore keeps the users.
type UserStore interface {
	// CreateUser stores a new user. Of several who want one name at the same time exactly one gets it, the others a
	// [Conflict]. The one who has it gets nil again: who they are is decided by the password hash, which is salted.
	CreateUser(ctx context.Context, u User) error
	// User returns the user of that name, or a [NotFound].
	User(ctx context.Context, username string) (User, error)
}

// SessionStore keeps the sessions.
type SessionStore interface {
	// CreateSession stores a new session until it expires.
	CreateSession(ctx context.Context, s Session) error
	// Session returns the session of that family, or a [NotFound], also for one that has expired.
	Session(ctx context.Context, family uuid.UUID) (Session, error)
	// RotateSession replaces token hash and expiry of a stored session if its token hash is spent. It returns a
	// [Conflict] if it is another one, so that a token that several clients use at once is spent by exactly one of
	// them, and a [NotFound] if there is no such session, or it has expired. To rotate to the hash that is stored
	// already, as a retry does, is nil.
	RotateSession(ctx context.Context, spent []byte, s Session) error
	// DeleteSession removes the session of that family, if there is one.
	DeleteSession(ctx context.Context, family uuid.UUID) error
}

// IdempotencyStore keeps which tweet an Idempotency-Key stands for.
type IdempotencyStore interface {
	// ClaimIdempotencyKey stores the claim until it expires, unless the user's key is claimed already, and returns the
	// claim that holds: of several at once all get the same one.
	ClaimIdempotencyKey(ctx context.Context, c IdempotencyClaim) (IdempotencyClaim, error)
}

// TweetStore keeps the tweets.
type TweetStore interface {
	// PutTweet stores a tweet, unless it was deleted.
	PutTweet(ctx context.Context, t Tweet) error
	// DeleteTweet removes a tweet, if it is there, for good: no put brings it back.
	DeleteTweet(ctx context.Context, t Tweet) error
	// Tweet returns the tweet of that id, or a [NotFound].
	Tweet(ctx context.Context, id uuid.UUID) (Tweet, error)
	// TweetsByUser returns up to limit of the user's tweets with ids below before ([uuid.Nil]: from the newest on),
	// newest first; none, and no error, where there are none.
	TweetsByUser(ctx context.Context, username string, before uuid.UUID, limit int) ([]Tweet, error)
}

// DeliveryStore keeps the receipts of deliveries.
type DeliveryStore interface {
	// PutReceipt stores what a delivery has come to. States replace each other only in the order [DeliveryComplete],
	// [DeliveryRetracting], [DeliveryRetracted], in whatever order they reach the store. The first sets Delivered, which
	// the others leave; the first and the last set CompletedAt, of which the last one's stays.
	PutReceipt(ctx context.Context, r Receipt) error
	// Receipt returns the receipt of the tweet's delivery, or a [NotFound].
	Receipt(ctx context.Context, tweetID uuid.UUID) (Receipt, error)
}

// FollowStore keeps who follows whom.
type FollowStore interface {
	// PutFollow stores the edge, in both directions, unless a later [FollowStore.DeleteFollow] of it came before.
	PutFollow(ctx context.Context, f Follow) error
	// DeleteFollow removes the edge, in both directions, unless a later [FollowStore.PutFollow] of it came before.
	// At the same time the removal wins.
	DeleteFollow(ctx context.Context, f Follow) error
	// Follow returns the edge, with its time, or a [NotFound].
	Follow(ctx context.Context, follower, followee string) (Follow, error)
	// Followers returns up to limit names of the followers of username in that bucket, in the order of their bytes,
	// from the first one above after ("": from the first on).
	Followers(ctx context.Context, username string, bucket int, after string, limit int) ([]string, error)
	// SomeFollowers returns up to limit names of the followers of username, of any buckets, in no order.
	SomeFollowers(ctx context.Context, username string, limit int) ([]string, error)
	// Followings returns up to limit names of those whom username follows, in the order of their bytes, from the
	// first one above after ("": from the first on).
	Followings(ctx context.Context, username, after string, limit int) ([]string, error)

	// CountFollowers counts the followers of username in that bucket, by reading them all.
	CountFollowers(ctx context.Context, username string, bucket int) (int, error)
	// PutFollowerCount keeps a count, unless one as of a later time is kept. Of two as of the same time the greater stays.
	PutFollowerCount(ctx context.Context, c FollowerCount) error
	// FollowerCounts returns the counts that are kept of username, in the order of their buckets; a bucket that was
	// never counted has none.
	FollowerCounts(ctx context.Context, username string) ([]FollowerCount, error)
}

// FeedStore keeps the home feeds. Each put and each removal of an item is as of a time, and the later one counts, in
// whatever order they reach the store. At the same time the removal wins.
type FeedStore interface {
	// PutFeedItem writes the tweet into the feed of each reader, as of the tweet's time. On an error some may have it and
	// others not.
	PutFeedItem(ctx context.Context, t Tweet, readers []string) error
	// PutFeedItems writes several tweets into the feed of one reader, as of that time. On an error some may be in it and
	// others not.
	PutFeedItems(ctx context.Context, reader string, tweets []Tweet, at time.Time) error
	// DeleteFeedItem removes the tweet from the feed of each reader, as of that time, also where it isn't yet. On an
	// error some may have it still and others not.
	DeleteFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string, at time.Time) error
	// DeleteFeedItems removes several tweets from the feed of one reader, as of that time. On an error some may be in it
	// still and others not.
	DeleteFeedItems(ctx context.Context, reader string, tweetIDs []uuid.UUID, at time.Time) error
	// TrimFeed removes all but the newest keep items of the reader's feed. An older one that is put later may be there
	// until the next time.
	TrimFeed(ctx context.Context, reader string, keep int) error
	// HaveFeedItem returns those of the readers whose feeds hold the tweet, in the order they were given.
	HaveFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string) ([]string, error)
	// Feed returns up to limit items of the reader's feed with ids below before ([uuid.Nil]: from the newest on),
	// newest first; none, and no error, where there are none.
	Feed(ctx context.Context, reader string, before uuid.UUID, limit int) ([]Tweet, error)
}
