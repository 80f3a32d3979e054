package telemetry

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/twtr-dev/twtr"
)

// Store returns the store with metrics of its calls and, unless traces are off, a span of each, by OpenTelemetry's semantic conventions
// for databases. A span holds no argument but how many rows a call is about, and the bucket: names, texts and hashes stay here.
func (m *Metrics) Store(s twtr.Store, engine string, traces *Traces) (twtr.Store, error) {
	calls, err := newStoreMetrics(m.Provider, engine)
	return &observedStore{Store: s, calls: calls, tracer: traces.Tracer(), engine: attribute.String("db.system.name", engine)}, err
}

type observedStore struct {
	twtr.Store
	calls  *storeMetrics
	tracer trace.Tracer // nil: traces are off
	engine attribute.KeyValue
}

const bucketAttribute = attribute.Key("twtr.followers.bucket")

// do makes a call that is about so many rows.
func (o *observedStore) do(ctx context.Context, method string, rows int, call func(context.Context) error, attributes ...attribute.KeyValue) error {
	if o.tracer == nil || !countCall(ctx) {
		return o.measure(ctx, method, rows, call)
	}
	attributes = append(attributes, o.engine, attribute.String("db.operation.name", method))
	if rows != 1 {
		attributes = append(attributes, attribute.Int("db.operation.batch.size", rows))
	}
	ctx, span := o.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	defer span.End()
	err := o.measure(ctx, method, rows, call)
	if err != nil && !twtr.ErrorCode(err).Permanent() {
		span.SetAttributes(attribute.String("error.type", outcome(err)))
		span.SetStatus(codes.Error, "")
	}
	return err
}

func (o *observedStore) measure(ctx context.Context, method string, rows int, call func(context.Context) error) error {
	began := time.Now()
	err := call(ctx)
	o.calls.record(ctx, method, rows, time.Since(began), err)
	return err
}

// get is do for a call with a result.
func get[T any](ctx context.Context, o *observedStore, method string, rows int, call func(context.Context) (T, error), attributes ...attribute.KeyValue) (result T, err error) {
	err = o.do(ctx, method, rows, func(ctx context.Context) (err error) {
		result, err = call(ctx)
		return err
	}, attributes...)
	return result, err
}

// countCall counts a call of an activity, and reports whether it has a span: only within one that is recorded, and not if the activity
// has made so many calls before.
func countCall(ctx context.Context) bool {
	calls, ok := ctx.Value(storeCallsKey{}).(*storeCalls)
	if ok && calls.made.Add(1) > calls.traced {
		return false
	}
	return trace.SpanFromContext(ctx).IsRecording()
}

func (o *observedStore) CreateUser(ctx context.Context, u twtr.User) error {
	return o.do(ctx, "CreateUser", 1, func(ctx context.Context) error { return o.Store.CreateUser(ctx, u) })
}

func (o *observedStore) User(ctx context.Context, username string) (twtr.User, error) {
	return get(ctx, o, "User", 1, func(ctx context.Context) (twtr.User, error) { return o.Store.User(ctx, username) })
}

func (o *observedStore) SetPassword(ctx context.Context, username, oldHash, newHash string) error {
	return o.do(ctx, "SetPassword", 1, func(ctx context.Context) error { return o.Store.SetPassword(ctx, username, oldHash, newHash) })
}

func (o *observedStore) RetireUser(ctx context.Context, username string) error {
	return o.do(ctx, "RetireUser", 1, func(ctx context.Context) error { return o.Store.RetireUser(ctx, username) })
}

func (o *observedStore) ReleaseUsername(ctx context.Context, username string, from time.Time) error {
	return o.do(ctx, "ReleaseUsername", 1, func(ctx context.Context) error { return o.Store.ReleaseUsername(ctx, username, from) })
}

func (o *observedStore) CreateSession(ctx context.Context, s twtr.Session) error {
	return o.do(ctx, "CreateSession", 1, func(ctx context.Context) error { return o.Store.CreateSession(ctx, s) })
}

func (o *observedStore) Session(ctx context.Context, family uuid.UUID) (twtr.Session, error) {
	return get(ctx, o, "Session", 1, func(ctx context.Context) (twtr.Session, error) { return o.Store.Session(ctx, family) })
}

func (o *observedStore) SessionsByUser(ctx context.Context, username string, before uuid.UUID, limit int) ([]twtr.Session, error) {
	return get(ctx, o, "SessionsByUser", 1, func(ctx context.Context) ([]twtr.Session, error) {
		return o.Store.SessionsByUser(ctx, username, before, limit)
	})
}

func (o *observedStore) RotateSession(ctx context.Context, spent []byte, s twtr.Session) error {
	return o.do(ctx, "RotateSession", 1, func(ctx context.Context) error { return o.Store.RotateSession(ctx, spent, s) })
}

func (o *observedStore) EndSession(ctx context.Context, family uuid.UUID, at time.Time) error {
	return o.do(ctx, "EndSession", 1, func(ctx context.Context) error { return o.Store.EndSession(ctx, family, at) })
}

func (o *observedStore) EndedSessions(ctx context.Context, since time.Time) ([]uuid.UUID, error) {
	return get(ctx, o, "EndedSessions", 1, func(ctx context.Context) ([]uuid.UUID, error) { return o.Store.EndedSessions(ctx, since) })
}

func (o *observedStore) LoginFailures(ctx context.Context, username, source string) (twtr.LoginFailures, error) {
	return get(ctx, o, "LoginFailures", 1, func(ctx context.Context) (twtr.LoginFailures, error) {
		return o.Store.LoginFailures(ctx, username, source)
	})
}

func (o *observedStore) ReplaceLoginFailures(ctx context.Context, old, replacement twtr.LoginFailures) error {
	return o.do(ctx, "ReplaceLoginFailures", 1, func(ctx context.Context) error { return o.Store.ReplaceLoginFailures(ctx, old, replacement) })
}

func (o *observedStore) PutKnownSource(ctx context.Context, username, source string) error {
	return o.do(ctx, "PutKnownSource", 1, func(ctx context.Context) error { return o.Store.PutKnownSource(ctx, username, source) })
}

func (o *observedStore) KnownSource(ctx context.Context, username, source string) (bool, error) {
	return get(ctx, o, "KnownSource", 1, func(ctx context.Context) (bool, error) { return o.Store.KnownSource(ctx, username, source) })
}

func (o *observedStore) ClaimIdempotencyKey(ctx context.Context, c twtr.IdempotencyClaim) (twtr.IdempotencyClaim, error) {
	return get(ctx, o, "ClaimIdempotencyKey", 1, func(ctx context.Context) (twtr.IdempotencyClaim, error) { return o.Store.ClaimIdempotencyKey(ctx, c) })
}

func (o *observedStore) PutTweet(ctx context.Context, t twtr.Tweet) error {
	return o.do(ctx, "PutTweet", 1, func(ctx context.Context) error { return o.Store.PutTweet(ctx, t) })
}

func (o *observedStore) DeleteTweet(ctx context.Context, t twtr.Tweet) error {
	return o.do(ctx, "DeleteTweet", 1, func(ctx context.Context) error { return o.Store.DeleteTweet(ctx, t) })
}

func (o *observedStore) Tweet(ctx context.Context, id uuid.UUID) (twtr.Tweet, error) {
	return get(ctx, o, "Tweet", 1, func(ctx context.Context) (twtr.Tweet, error) { return o.Store.Tweet(ctx, id) })
}

func (o *observedStore) TweetsByUser(ctx context.Context, username string, w twtr.Window, limit int) ([]twtr.Tweet, error) {
	return get(ctx, o, "TweetsByUser", 1, func(ctx context.Context) ([]twtr.Tweet, error) { return o.Store.TweetsByUser(ctx, username, w, limit) })
}

func (o *observedStore) PutReceipt(ctx context.Context, r twtr.Receipt) error {
	return o.do(ctx, "PutReceipt", 1, func(ctx context.Context) error { return o.Store.PutReceipt(ctx, r) })
}

func (o *observedStore) Receipt(ctx context.Context, tweetID uuid.UUID) (twtr.Receipt, error) {
	return get(ctx, o, "Receipt", 1, func(ctx context.Context) (twtr.Receipt, error) { return o.Store.Receipt(ctx, tweetID) })
}

func (o *observedStore) PutFollow(ctx context.Context, f twtr.Follow) error {
	return o.do(ctx, "PutFollow", 1, func(ctx context.Context) error { return o.Store.PutFollow(ctx, f) })
}

func (o *observedStore) DeleteFollow(ctx context.Context, f twtr.Follow) error {
	return o.do(ctx, "DeleteFollow", 1, func(ctx context.Context) error { return o.Store.DeleteFollow(ctx, f) })
}

func (o *observedStore) Follow(ctx context.Context, follower, followee string) (twtr.Follow, error) {
	return get(ctx, o, "Follow", 1, func(ctx context.Context) (twtr.Follow, error) { return o.Store.Follow(ctx, follower, followee) })
}

func (o *observedStore) FollowChanged(ctx context.Context, follower, followee string) (twtr.Follow, error) {
	return get(ctx, o, "FollowChanged", 1, func(ctx context.Context) (twtr.Follow, error) { return o.Store.FollowChanged(ctx, follower, followee) })
}

func (o *observedStore) Followers(ctx context.Context, username string, bucket int, after string, limit int) ([]string, error) {
	return get(ctx, o, "Followers", 1, func(ctx context.Context) ([]string, error) {
		return o.Store.Followers(ctx, username, bucket, after, limit)
	}, bucketAttribute.Int(bucket))
}

func (o *observedStore) FirstFollowers(ctx context.Context, username string, limit int) (names []string, left []twtr.BucketCursor, err error) {
	err = o.do(ctx, "FirstFollowers", 1, func(ctx context.Context) (err error) {
		names, left, err = o.Store.FirstFollowers(ctx, username, limit)
		return err
	})
	return names, left, err
}

func (o *observedStore) Followings(ctx context.Context, username, after string, limit int) ([]string, error) {
	return get(ctx, o, "Followings", 1, func(ctx context.Context) ([]string, error) { return o.Store.Followings(ctx, username, after, limit) })
}

func (o *observedStore) CountFollowings(ctx context.Context, username string) (int, error) {
	return get(ctx, o, "CountFollowings", 1, func(ctx context.Context) (int, error) { return o.Store.CountFollowings(ctx, username) })
}

func (o *observedStore) CountFollowers(ctx context.Context, username string, bucket int) (int, error) {
	return get(ctx, o, "CountFollowers", 1, func(ctx context.Context) (int, error) { return o.Store.CountFollowers(ctx, username, bucket) }, bucketAttribute.Int(bucket))
}

func (o *observedStore) PutFollowerCount(ctx context.Context, c twtr.FollowerCount) error {
	return o.do(ctx, "PutFollowerCount", 1, func(ctx context.Context) error { return o.Store.PutFollowerCount(ctx, c) })
}

func (o *observedStore) FollowerCounts(ctx context.Context, username string) ([]twtr.FollowerCount, error) {
	return get(ctx, o, "FollowerCounts", 1, func(ctx context.Context) ([]twtr.FollowerCount, error) { return o.Store.FollowerCounts(ctx, username) })
}

func (o *observedStore) PutFeedItem(ctx context.Context, t twtr.Tweet, readers []string) error {
	return o.do(ctx, "PutFeedItem", len(readers), func(ctx context.Context) error { return o.Store.PutFeedItem(ctx, t, readers) })
}

func (o *observedStore) PutFeedItems(ctx context.Context, reader string, tweets []twtr.Tweet, at time.Time) error {
	return o.do(ctx, "PutFeedItems", len(tweets), func(ctx context.Context) error { return o.Store.PutFeedItems(ctx, reader, tweets, at) })
}

func (o *observedStore) RetractFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string, at time.Time) error {
	return o.do(ctx, "RetractFeedItem", len(readers), func(ctx context.Context) error { return o.Store.RetractFeedItem(ctx, tweetID, readers, at) })
}

func (o *observedStore) DeleteFeedItems(ctx context.Context, reader string, tweetIDs []uuid.UUID, at time.Time) error {
	return o.do(ctx, "DeleteFeedItems", len(tweetIDs), func(ctx context.Context) error { return o.Store.DeleteFeedItems(ctx, reader, tweetIDs, at) })
}

func (o *observedStore) TrimFeed(ctx context.Context, reader string, keep int) error {
	return o.do(ctx, "TrimFeed", 1, func(ctx context.Context) error { return o.Store.TrimFeed(ctx, reader, keep) })
}

func (o *observedStore) FeedFloor(ctx context.Context, reader string, keep int) (uuid.UUID, error) {
	return get(ctx, o, "FeedFloor", 1, func(ctx context.Context) (uuid.UUID, error) { return o.Store.FeedFloor(ctx, reader, keep) })
}

func (o *observedStore) ReadersHavingFeedItem(ctx context.Context, tweetID uuid.UUID, readers []string) ([]string, error) {
	return get(ctx, o, "ReadersHavingFeedItem", len(readers), func(ctx context.Context) ([]string, error) {
		return o.Store.ReadersHavingFeedItem(ctx, tweetID, readers)
	})
}

func (o *observedStore) FeedRows(ctx context.Context, reader string, w twtr.Window, limit int) ([]twtr.FeedRow, error) {
	return get(ctx, o, "FeedRows", 1, func(ctx context.Context) ([]twtr.FeedRow, error) { return o.Store.FeedRows(ctx, reader, w, limit) })
}

func (o *observedStore) Feed(ctx context.Context, reader string, w twtr.Window, limit int) ([]twtr.Tweet, error) {
	return get(ctx, o, "Feed", 1, func(ctx context.Context) ([]twtr.Tweet, error) { return o.Store.Feed(ctx, reader, w, limit) })
}

func (o *observedStore) TweetIDs(ctx context.Context, username string, before uuid.UUID, limit int) ([]uuid.UUID, error) {
	return get(ctx, o, "TweetIDs", 1, func(ctx context.Context) ([]uuid.UUID, error) { return o.Store.TweetIDs(ctx, username, before, limit) })
}

func (o *observedStore) EraseTweets(ctx context.Context, username string, ids []uuid.UUID) error {
	return o.do(ctx, "EraseTweets", len(ids), func(ctx context.Context) error { return o.Store.EraseTweets(ctx, username, ids) })
}

func (o *observedStore) EraseFromFeed(ctx context.Context, reader, author string) error {
	return o.do(ctx, "EraseFromFeed", 1, func(ctx context.Context) error { return o.Store.EraseFromFeed(ctx, reader, author) })
}

func (o *observedStore) EraseFollow(ctx context.Context, follower, followee string) error {
	return o.do(ctx, "EraseFollow", 1, func(ctx context.Context) error { return o.Store.EraseFollow(ctx, follower, followee) })
}

func (o *observedStore) EraseUser(ctx context.Context, username string) error {
	return o.do(ctx, "EraseUser", 1, func(ctx context.Context) error { return o.Store.EraseUser(ctx, username) })
}

func (o *observedStore) Traces(ctx context.Context, username string) ([]string, error) {
	return get(ctx, o, "Traces", 1, func(ctx context.Context) ([]string, error) { return o.Store.Traces(ctx, username) })
}
