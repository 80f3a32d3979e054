package twtr

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Store keeps everything. Its engines are in store/cassandra and store/sqlite; store/storetest asserts each sentence
// below on both. Wherever a method takes a time it is cut to whole microseconds.
//
// Every method returns the context's error if the context ends first, and an [Unavailable] error if the engine is unavailable
// or overloaded. Every write is idempotent: repeating it, even much later, changes nothing. A write that returns nil is
// durable. After any error other than [Conflict] the outcome of a write is unknown. An error that is neither of these means that
// the engine refuses what is written or asked, and would again.
type Store interface {
	UserStore
	SessionStore
	LoginStore
	IdempotencyStore
	TweetStore
	DeliveryStore
	FollowStore
	FeedStore
	ErasureStore

	// Ping returns nil if the engine answers.
	Ping(ctx context.Context) error
	// Close ends all connections. No method may be called after it.
	Close()
}

// UserStore keeps the users.
type UserStore interface {
	// CreateUser stores a new user. Of several concurrent calls for one name exactly one succeeds, the others return
	// [Conflict]. Repeating the winning call returns nil, as long as the password is the same: the caller is recognized by its
	// salted hash. The name of a retired user is taken until it is released, and then free for users whose CreatedAt is not
	// before the release.
	CreateUser(ctx context.Context, u User) error
	// User returns the user of that name, or [NotFound] if there is none, or a retired one.
	User(ctx context.Context, username string) (User, error)
	// SetPassword replaces the user's password hash if it is the old one. It returns [Conflict] if it is neither the old nor
	// the new one, and [NotFound] if there is no such user.
	SetPassword(ctx context.Context, username, oldHash, newHash string) error
	// RetireUser removes the user's e-mail address, display name and password hash, and keeps the name taken. For a name that
	// has no user, or a retired one, it does nothing.
	RetireUser(ctx context.Context, username string) error
	// ReleaseUsername lets the name of a retired user be taken from that time on; of several times the earliest counts. For any
	// other name it does nothing.
	ReleaseUsername(ctx context.Context, username string, from time.Time) error
}

// SessionStore keeps the sessions.
type SessionStore interface {
	// CreateSession stores a new session until it expires.
	CreateSession(ctx context.Context, s Session) error
	// Session returns the session of that family, or [NotFound] if there is none, or it has ended or expired.
	Session(ctx context.Context, family uuid.UUID) (Session, error)
	// SessionsByUser returns up to limit of the user's sessions with families below before ([uuid.Nil]: the newest), newest
	// first, without those that have ended or expired.
	SessionsByUser(ctx context.Context, username string, before uuid.UUID, limit int) ([]Session, error)
	// RotateSession replaces the token hash, RefreshedAt and ExpiresAt of a stored session if its token hash is spent. It
	// returns [Conflict] if the stored hash is another one, so that of several clients that use one token exactly one succeeds,
	// and [NotFound] if there is no such session, or it has ended or expired. Rotating to the hash that is stored already, as a
	// retry does, returns nil and changes nothing.
	RotateSession(ctx context.Context, spent []byte, s Session) error
	// EndSession ends the session of that family for good, whether it is there or not, and remembers for [EndedSessionsKept]
	// that it ended at that time.
	EndSession(ctx context.Context, family uuid.UUID, at time.Time) error
	// EndedSessions returns the families of the sessions that ended at or after that time and are still remembered, in no order. It
	// may return some that ended before, and includes those whose end is up to two minutes ahead of the clock of this process.
	EndedSessions(ctx context.Context, since time.Time) ([]uuid.UUID, error)
}

// LoginStore keeps what protects accounts from guessing.
type LoginStore interface {
	// LoginFailures returns the failures of log-ins to the account from the source; a Count of 0, and a zero Last, if none are stored.
	LoginFailures(ctx context.Context, username, source string) (LoginFailures, error)
	// ReplaceLoginFailures stores replacement in place of old, as that was read, until [LoginFailuresKept] after its Last. It returns
	// [Conflict] if something other than old is stored, so that of several callers that read the same exactly one succeeds. A
	// replacement with a Count of 0 removes what is stored.
	ReplaceLoginFailures(ctx context.Context, old, replacement LoginFailures) error
	// PutKnownSource remembers for [KnownSourceKept] that the account's owner logged in from that source.
	PutKnownSource(ctx context.Context, username, source string) error
	// KnownSource reports whether a log-in of the account's owner from that source is remembered.
	KnownSource(ctx context.Context, username, source string) (bool, error)
}

// IdempotencyStore keeps which tweet an Idempotency-Key stands for.
type IdempotencyStore interface {
	// ClaimIdempotencyKey stores the claim until it expires, unless the user's key is claimed already, and returns the
	// claim that holds. Concurrent calls all get the same one.
	ClaimIdempotencyKey(ctx context.Context, c IdempotencyClaim) (IdempotencyClaim, error)
}

// TweetStore keeps the tweets.
type TweetStore interface {
	// PutTweet stores a tweet, unless it was deleted.
	PutTweet(ctx context.Context, t Tweet) error
	// DeleteTweet removes a tweet for good, also one that is not there yet: no put brings it back. The tweet's body is not
	// needed. However many tweets an author deletes, their list can be read.
	DeleteTweet(ctx context.Context, t Tweet) error
	// Tweet returns the tweet of that id, or [NotFound].
	Tweet(ctx context.Context, id uuid.UUID) (Tweet, error)
	// TweetsByUser returns up to limit of the user's tweets in the window, newest first; none, and no error, if there are none.
	TweetsByUser(ctx context.Context, username string, w Window, limit int) ([]Tweet, error)
}

// DeliveryStore keeps the receipts of deliveries.
type DeliveryStore interface {
	// PutReceipt stores the state of a delivery. States replace each other only in the order [DeliveryComplete],
	// [DeliveryRetracting], [DeliveryRetracted], in whatever order they reach the store. The first one sets Delivered, which
	// the others leave; the first and the last one set CompletedAt and Failed, and the last one's stay.
	PutReceipt(ctx context.Context, r Receipt) error
	// Receipt returns the receipt of the tweet's delivery, or [NotFound].
	Receipt(ctx context.Context, tweetID uuid.UUID) (Receipt, error)
}

// FollowStore keeps who follows whom.
type FollowStore interface {
	// PutFollow stores the edge, in both directions, with its Since and Requests, unless a later [FollowStore.DeleteFollow] of it
	// came before.
	PutFollow(ctx context.Context, f Follow) error
	// DeleteFollow removes the edge, in both directions, and remembers its Requests, unless a later [FollowStore.PutFollow] of it
	// came before. At the same time the removal wins.
	DeleteFollow(ctx context.Context, f Follow) error
	// Follow returns the edge as it was put, or [NotFound]. If an earlier version of twtr has put it without Since, Since is the
	// smallest id of a tweet of that time.
	Follow(ctx context.Context, follower, followee string) (Follow, error)
	// FollowChanged returns the time and the requests of the newest put or removal of the edge, and nothing else of it; a zero
	// time if there is none. Removals are remembered for at least a day.
	FollowChanged(ctx context.Context, follower, followee string) (Follow, error)
	// Followers returns up to limit names of the followers of username in that bucket, in the order of their bytes,
	// from the first one above after ("": from the first one).
	Followers(ctx context.Context, username string, bucket int, after string, limit int) ([]string, error)
	// FirstFollowers returns up to limit names of the followers of username, and the buckets that may have more: those
	// above a cursor's After were not returned, and all others were. Each bucket's names are in the order of their bytes.
	FirstFollowers(ctx context.Context, username string, limit int) (names []string, left []BucketCursor, err error)
	// Followings returns up to limit names of the users whom username follows, in the order of their bytes, from the
	// first one above after ("": from the first one).
	Followings(ctx context.Context, username, after string, limit int) ([]string, error)
	// CountFollowings counts the users whom username follows.
	CountFollowings(ctx context.Context, username string) (int, error)

	// CountFollowers counts the followers of username in that bucket, by reading them all.
	CountFollowers(ctx context.Context, username string, bucket int) (int, error)
	// PutFollowerCount stores a bucket's count in place of the one of the version before it. It returns [Conflict] if
	// another version is stored, unless that is this very count.
	PutFollowerCount(ctx context.Context, c FollowerCount) error
	// FollowerCounts returns the stored counts of username, in the order of their buckets; a bucket that was never counted
	// has none.
	FollowerCounts(ctx context.Context, username string) ([]FollowerCount, error)
}

// FeedStore keeps the home feeds. Each put and each removal of an item has a time, and the one with the later time wins, in whatever
// order they reach the store. If both have the same time, the removal wins. What is retracted stays so, whatever is put.
type FeedStore interface {
	// PutFeedItem writes the tweet into the feed of each reader; the time is the tweet's. On an error some readers may have
	// it and others not.
	PutFeedItem(ctx context.Context, t Tweet, readers []string) error
	// PutFeedItems writes several tweets into the feed of one reader. On an error some may be in it and others not.
	PutFeedItems(ctx context.Context, reader string, tweets []Tweet, at time.Time) error
	// RetractFeedItem marks the tweet as deleted in the feed of each reader, also where it is not yet: no put brings it back
	// that has an earlier time, and none at all while the mark is there. The tweet's author and text are removed, unless
	// they were put at a later time. [FeedStore.TrimFeed] removes marks, as it removes items. Marks leave no tombstones: whatever
	// authors delete, their readers' feeds can be read. On an error some readers may still see the tweet and others not.
	RetractFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string, at time.Time) error
	// DeleteFeedItems removes several tweets from the feed of one reader. On an error some may still be in it and others not.
	DeleteFeedItems(ctx context.Context, reader string, tweetIDs []uuid.UUID, at time.Time) error
	// TrimFeed removes all but the newest keep rows of the reader's feed; items and marks of retracted ones both count. An
	// older item that is put after the trim stays until the next one.
	TrimFeed(ctx context.Context, reader string, keep int) error
	// FeedFloor returns the id below which a tweet may be absent from the reader's feed because of its length: that of the keep-th
	// newest row, as TrimFeed counts them, or of the oldest row that a trim has kept, whichever is newer. It is [uuid.Nil] if
	// there are fewer rows and the feed was never trimmed.
	FeedFloor(ctx context.Context, reader string, keep int) (uuid.UUID, error)
	// ReadersHavingFeedItem returns those of the readers whose feeds hold the tweet, in the order they were given.
	ReadersHavingFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string) ([]string, error)
	// FeedRows returns up to limit rows of the reader's feed in the window, newest first, without their texts: items, and marks of
	// retracted ones that no trim has removed.
	FeedRows(ctx context.Context, reader string, w Window, limit int) ([]FeedRow, error)
	// Feed returns up to limit items of the reader's feed in the window, newest first; none, and no error, if there are none.
	Feed(ctx context.Context, reader string, w Window, limit int) ([]Tweet, error)
}

// ErasureStore erases what the store has of a user who is retired. The caller makes sure that the user, and the workflows that act
// for them, have stopped writing. Whatever the clocks of the processes that wrote it said, what it erases is gone; nothing that
// is put late brings back a tweet, its receipt or its feed items. A user who takes the name a minute later writes as any other.
type ErasureStore interface {
	// TweetIDs returns up to limit ids of the user's tweets below before ([uuid.Nil]: the newest), newest first, also of the
	// deleted ones.
	TweetIDs(ctx context.Context, username string, before uuid.UUID, limit int) ([]uuid.UUID, error)
	// EraseTweets removes the user's tweets of those ids and their receipts. Until [ErasureStore.EraseUser] the ids are still
	// among the user's, so that an erasure that is interrupted can start again.
	EraseTweets(ctx context.Context, username string, ids []uuid.UUID) error
	// EraseFromFeed retracts everything of that author from the reader's feed. The marks that stay do not name the author.
	EraseFromFeed(ctx context.Context, reader, author string) error
	// EraseFollow removes the edge in both directions, and, unlike [FollowStore.DeleteFollow], the memory of it.
	EraseFollow(ctx context.Context, follower, followee string) error
	// EraseUser removes everything that is kept under the user's name: the list of tweets, the feed, followers, followings and
	// counts, the memory of former edges, sessions, failed log-ins and known sources, and idempotency keys. The name stays
	// taken. It comes last: after it, tweets, edges and items in the feeds of others can't be found by the user.
	EraseUser(ctx context.Context, username string) error
	// Traces returns the names of the tables that hold anything of the user, also in rows of others, in alphabetical order. The
	// taken name is no trace. It reads the whole store.
	Traces(ctx context.Context, username string) ([]string, error)
}
