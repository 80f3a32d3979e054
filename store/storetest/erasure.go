package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func tracesOf(t *testing.T, s twtr.Store, username string) []string {
	t.Helper()
	tables, err := s.Traces(t.Context(), username)
	require.NoError(t, err)
	return tables
}

func requireTraces(t *testing.T, s twtr.Store, username string, tables ...string) {
	t.Helper()
	got := tracesOf(t, s, username)
	if len(tables) == 0 {
		require.Empty(t, got)
		return
	}
	require.True(t, slices.IsSorted(got), got)
	require.Subset(t, got, tables, "an engine may have more tables")
}

func tweetIDs(t *testing.T, s twtr.Store, username string) []uuid.UUID {
	t.Helper()
	ids, err := s.TweetIDs(t.Context(), username, uuid.Nil, 1000)
	require.NoError(t, err)
	return ids
}

func idsOf(tweets []twtr.Tweet) (ids []uuid.UUID) {
	for _, tweet := range tweets {
		ids = append(ids, tweet.ID)
	}
	return ids
}

// clocks are what those of the processes that wrote something may have said.
var clocks = []time.Duration{-time.Hour, 0, time.Hour}

// life is what a user may have left in the store, by clocks that are ahead or behind.
type life struct {
	user           twtr.User
	tweets         []twtr.Tweet // newest first
	receipts       []twtr.Receipt
	sessions       []twtr.Session
	failed         twtr.LoginFailures
	claim          twtr.IdempotencyClaim
	reader, author string // who have follows both ways with the user
	former         string // who had
	follows        []twtr.Follow
	unfollows      []twtr.Follow
	theirs         twtr.Tweet // the author's
}

func lifeOf(username string, ahead time.Duration) life {
	at := now().Add(ahead)
	o := stockOf(username)
	l := life{user: o.user, failed: o.failed, claim: o.claim, reader: name(), author: name(), former: name(),
		sessions: []twtr.Session{sessionOf(username), sessionOf(username), sessionOf(username)}}
	for i := range l.sessions {
		l.sessions[i].Family = someIDAt(at)
	}
	l.failed.Last = at
	l.theirs = tweetAt(l.author, at, 1)
	for n := range uint32(9) {
		l.tweets = append(l.tweets, tweetAt(username, at.Add(-time.Duration(n)*time.Minute), n))
	}
	for _, tweet := range l.tweets {
		for _, state := range []twtr.DeliveryState{twtr.DeliveryComplete, twtr.DeliveryRetracting, twtr.DeliveryRetracted} {
			l.receipts = append(l.receipts, twtr.Receipt{TweetID: tweet.ID, Username: username, State: state, Delivered: 1, CompletedAt: at})
		}
	}
	for _, other := range []string{l.reader, l.author} {
		l.follows = append(l.follows, twtr.Follow{Follower: other, Followee: username, At: at}, twtr.Follow{Follower: username, Followee: other, At: at})
	}
	l.unfollows = []twtr.Follow{{Follower: l.former, Followee: username, At: at}, {Follower: username, Followee: l.former, At: at}}
	return l
}

// put stores all of it. The last third of the tweets is deleted, and the last session ended.
func (l life) put(t *testing.T, s twtr.Store) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, s.CreateUser(ctx, l.user))
	for _, session := range l.sessions {
		require.NoError(t, s.CreateSession(ctx, session))
	}
	require.NoError(t, s.EndSession(ctx, l.sessions[2].Family, now()))
	require.NoError(t, s.ReplaceLoginFailures(ctx, noFailures(l.failed), l.failed))
	require.NoError(t, s.PutKnownSource(ctx, l.user.Username, "source"))
	require.NoError(t, second(s.ClaimIdempotencyKey(ctx, l.claim)))
	l.putTweets(t, s)
	for _, tweet := range l.tweets[6:] {
		require.NoError(t, s.DeleteTweet(ctx, tweet))
		require.NoError(t, s.RetractFeedItem(ctx, tweet.ID, []string{l.reader}, now()))
	}
	require.NoError(t, s.PutFeedItem(ctx, l.theirs, []string{l.user.Username, l.reader}))
	for _, f := range l.unfollows {
		require.NoError(t, s.PutFollow(ctx, twtr.Follow{Follower: f.Follower, Followee: f.Followee, At: f.At.Add(-time.Second)}))
		require.NoError(t, s.DeleteFollow(ctx, f))
	}
	for _, f := range l.follows {
		require.NoError(t, s.PutFollow(ctx, f))
	}
	for bucket := range 3 {
		require.NoError(t, s.PutFollowerCount(ctx, twtr.FollowerCount{Username: l.user.Username, Bucket: bucket, Count: 5, Version: 1}))
	}
}

// putTweets is also what is put late, as by a delivery that was not known to run.
func (l life) putTweets(t *testing.T, s twtr.Store) {
	t.Helper()
	ctx := t.Context()
	for _, tweet := range l.tweets {
		require.NoError(t, s.PutTweet(ctx, tweet))
		require.NoError(t, s.PutFeedItem(ctx, tweet, []string{l.reader}))
	}
	for _, receipt := range l.receipts {
		require.NoError(t, s.PutReceipt(ctx, receipt))
	}
	require.NoError(t, s.PutFeedItems(ctx, l.reader, l.tweets[:1], l.tweets[0].CreatedAt().Add(time.Minute)))
}

// erase erases all of it, as long as it is fewer than a page.
func (l life) erase(t *testing.T, s twtr.Store) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, s.RetireUser(ctx, l.user.Username))
	require.NoError(t, s.EraseFromFeed(ctx, l.reader, l.user.Username))
	require.NoError(t, s.EraseTweets(ctx, l.user.Username, tweetIDs(t, s, l.user.Username)))
	for _, f := range l.follows {
		require.NoError(t, s.EraseFollow(ctx, f.Follower, f.Followee))
	}
	require.NoError(t, s.EraseUser(ctx, l.user.Username))
}

// requireNoTweets wants the user's tweets to be nowhere.
func (l life) requireNoTweets(t *testing.T, s twtr.Store) {
	t.Helper()
	for _, tweet := range l.tweets {
		_, err := s.Tweet(t.Context(), tweet.ID)
		requireCode(t, twtr.NotFound, err)
		_, err = s.Receipt(t.Context(), tweet.ID)
		requireCode(t, twtr.NotFound, err)
	}
	tweets, err := s.TweetsByUser(t.Context(), l.user.Username, twtr.Window{}, 100)
	require.NoError(t, err)
	require.Empty(t, tweets)
}

var erasureTests = []test{
	{"ids of tweets are listed newest first, each once over all pages, also of deleted and erased ones", func(t *testing.T, s twtr.Store) {
		l := lifeOf(name(), 0)
		require.Empty(t, tweetIDs(t, s, l.user.Username))
		l.put(t, s)
		require.NoError(t, s.PutTweet(t.Context(), tweetAt(name(), now(), 1)))
		for range 2 {
			for _, limit := range []int{1, 2, 9, 10} {
				var got []uuid.UUID
				for before := uuid.Nil; ; before = got[len(got)-1] {
					page, err := s.TweetIDs(t.Context(), l.user.Username, before, limit)
					require.NoError(t, err)
					got = append(got, page...)
					if len(page) < limit {
						break
					}
				}
				require.Equal(t, idsOf(l.tweets), got, "pages of %d", limit)
			}
			require.NoError(t, s.EraseTweets(t.Context(), l.user.Username, idsOf(l.tweets)))
		}
		require.NoError(t, s.EraseUser(t.Context(), l.user.Username))
		require.Empty(t, tweetIDs(t, s, l.user.Username))
	}},
	{"erased tweets and their receipts are gone for good, and the others stay", func(t *testing.T, s twtr.Store) {
		for _, ahead := range clocks {
			l, ctx := lifeOf(name(), ahead), t.Context()
			l.put(t, s)
			kept := l
			kept.tweets = append([]twtr.Tweet{l.tweets[0]}, l.tweets[3:6]...)
			require.NoError(t, s.EraseTweets(ctx, l.user.Username, nil))
			require.NoError(t, s.EraseTweets(ctx, l.user.Username, idsOf(l.tweets[1:3])))
			require.NoError(t, s.EraseTweets(ctx, l.user.Username, idsOf(l.tweets[6:])))
			tweets, err := s.TweetsByUser(ctx, l.user.Username, twtr.Window{}, 100)
			require.NoError(t, err)
			require.Equal(t, kept.tweets, tweets)
			for _, tweet := range kept.tweets {
				require.NoError(t, second(s.Tweet(ctx, tweet.ID)))
				require.NoError(t, second(s.Receipt(ctx, tweet.ID)))
			}
			for range 2 {
				require.NoError(t, s.EraseTweets(ctx, l.user.Username, idsOf(l.tweets)))
				l.requireNoTweets(t, s)
				l.putTweets(t, s)
				require.NoError(t, s.DeleteTweet(ctx, l.tweets[0]))
				l.requireNoTweets(t, s)
			}
		}
	}},
	{"what is erased from a feed is gone for good, with the author's name, and the rest stays", func(t *testing.T, s twtr.Store) {
		for _, ahead := range clocks {
			l, ctx, other, before := lifeOf(name(), ahead), t.Context(), name(), now()
			l.put(t, s)
			// As a reader whose clock is behind has it.
			require.NoError(t, s.PutFeedItems(ctx, other, l.tweets[:1], l.tweets[0].CreatedAt().Add(-time.Hour)))
			// A mark whose tweet was put later.
			require.NoError(t, s.PutFeedItems(ctx, l.reader, l.tweets[6:7], now().Add(2*time.Hour)))
			// As a feed may be after a removal.
			require.NoError(t, s.DeleteFeedItems(ctx, l.reader, []uuid.UUID{l.tweets[5].ID}, now().Add(2*time.Hour)))
			require.NoError(t, s.EraseTweets(ctx, l.user.Username, idsOf(l.tweets)))
			require.NoError(t, s.EraseFromFeed(ctx, name(), l.user.Username), "an empty feed")
			require.NoError(t, s.EraseFromFeed(ctx, l.reader, name()), "nothing")
			require.Equal(t, sorted(append(slices.Clone(l.tweets[:5]), l.theirs)), feed(t, s, l.reader))
			for range 2 {
				require.NoError(t, s.EraseFromFeed(ctx, l.reader, l.user.Username))
				require.Equal(t, []twtr.Tweet{l.theirs}, feed(t, s, l.reader))
				l.putTweets(t, s)
				require.Equal(t, []twtr.Tweet{l.theirs}, feed(t, s, l.reader))
				have, err := s.ReadersHavingFeedItem(ctx, l.tweets[0].ID, []string{l.reader, other})
				require.NoError(t, err)
				require.Equal(t, []string{other}, have)
			}
			l.erase(t, s)
			requireTraces(t, s, l.user.Username, "feed_items") // the other reader's
			require.NoError(t, s.EraseFromFeed(ctx, other, l.user.Username))
			require.NoError(t, s.PutFeedItem(ctx, l.tweets[0], []string{other}))
			require.NoError(t, s.PutFeedItems(ctx, l.reader, l.tweets[1:2], before))
			requireTraces(t, s, l.user.Username)
			require.Equal(t, []twtr.Tweet{l.theirs}, feed(t, s, l.reader))
		}
	}},
	{"the mark of a retracted tweet does not name its author", func(t *testing.T, s twtr.Store) {
		tweet, reader := tweetAt(name(), now(), 1), name()
		require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{reader}))
		requireTraces(t, s, tweet.Username, "feed_items")
		require.NoError(t, s.RetractFeedItem(t.Context(), tweet.ID, []string{reader}, now()))
		requireTraces(t, s, tweet.Username)
	}},
	{"2,500 items of an author are erased from a feed", func(t *testing.T, s twtr.Store) {
		author, reader, at := name(), name(), now()
		kept := tweetAt(name(), at, 9999)
		require.NoError(t, s.PutFeedItem(t.Context(), kept, []string{reader}))
		for n := uint32(0); n < 2500; n += 100 {
			var tweets []twtr.Tweet
			for i := range uint32(100) {
				tweets = append(tweets, tweetAt(author, at, n+i))
			}
			require.NoError(t, s.PutFeedItems(t.Context(), reader, tweets, at))
		}
		require.NoError(t, s.EraseFromFeed(t.Context(), reader, author))
		require.Equal(t, []twtr.Tweet{kept}, feed(t, s, reader))
		requireTraces(t, s, author)
	}},
	{"an erased edge leaves nothing in either direction, nor the memory of a removal, and the others stay", func(t *testing.T, s twtr.Store) {
		for _, ahead := range clocks {
			l, ctx := lifeOf(name(), ahead), t.Context()
			l.put(t, s)
			for range 2 {
				for _, f := range append(l.follows[:2:2], l.unfollows...) {
					require.NoError(t, s.EraseFollow(ctx, f.Follower, f.Followee))
					requireEdge(t, s, f, false)
					changed, err := s.FollowChanged(ctx, f.Follower, f.Followee)
					require.NoError(t, err)
					require.Equal(t, twtr.Follow{}, changed)
				}
			}
			for _, f := range l.follows[2:] {
				requireEdge(t, s, f, true)
			}
			requireTraces(t, s, l.former)
			again := l.follows[0]
			again.At = now().Add(2 * time.Hour)
			require.NoError(t, s.PutFollow(ctx, again))
			requireEdge(t, s, again, true)
		}
	}},
	{"an erased user leaves no trace, whatever the clocks said, and the others stay", func(t *testing.T, s twtr.Store) {
		for _, ahead := range clocks {
			l, other := lifeOf(name(), ahead), stockOf(name())
			other.follow.Followee = l.author
			require.NoError(t, other.put(t.Context(), s))
			l.put(t, s)
			for range 2 {
				l.erase(t, s)
				requireTraces(t, s, l.user.Username)
				l.putTweets(t, s)
				require.NoError(t, s.DeleteTweet(t.Context(), l.tweets[0]))
				requireTraces(t, s, l.user.Username)
			}
			_, err := s.User(t.Context(), l.user.Username)
			requireCode(t, twtr.NotFound, err)
			requireCode(t, twtr.Conflict, s.CreateUser(t.Context(), l.user))
			requireTraces(t, s, l.former)
			l.requireNoTweets(t, s)
			for _, session := range l.sessions {
				_, err := s.Session(t.Context(), session.Family)
				requireCode(t, twtr.NotFound, err)
			}
			require.Empty(t, feed(t, s, l.user.Username))
			require.Equal(t, []twtr.Tweet{l.theirs}, feed(t, s, l.reader))
			for _, f := range append(l.follows, l.unfollows...) {
				requireEdge(t, s, f, false)
			}
			require.NoError(t, other.check(t.Context(), s))
			require.NoError(t, s.EraseUser(t.Context(), name()), "a user that never was")
		}
	}},
	{"more than one page of everything is erased with a user", func(t *testing.T, s twtr.Store) {
		username, ctx, at := name(), t.Context(), now()
		const n = 2100
		requireAll(t, 16, n, func(i int) error {
			f := twtr.Follow{Follower: username, Followee: name(), At: at}
			if i%2 == 0 {
				f.Follower, f.Followee = f.Followee, f.Follower
			}
			if err := s.PutFollow(ctx, f); err != nil {
				return err
			}
			f.At = at.Add(time.Second)
			if err := s.DeleteFollow(ctx, f); err != nil || i >= 250 {
				return err
			}
			claim := stockOf(username).claim
			claim.Key = name()
			if err := second(s.ClaimIdempotencyKey(ctx, claim)); err != nil {
				return err
			}
			return s.CreateSession(ctx, sessionOf(username))
		})
		requireTraces(t, s, username, "idempotency_keys", "sessions")
		require.NoError(t, s.EraseUser(ctx, username))
		requireTraces(t, s, username)
	}},
	{"a user who takes an erased name writes as any other", func(t *testing.T, s twtr.Store) {
		l, ctx := lifeOf(name(), 30*time.Second), t.Context()
		l.put(t, s)
		l.erase(t, s)
		require.NoError(t, s.ReleaseUsername(ctx, l.user.Username, now()))
		later := now().Add(time.Minute)
		o := stockOf(l.user.Username)
		o.user.CreatedAt = later
		o.session.Family = someIDAt(later)
		o.tweet = tweetAt(l.user.Username, later, 1)
		o.claim.TweetID, o.receipt.TweetID = o.tweet.ID, o.tweet.ID
		o.follow.Followee, o.follow.At = l.reader, later
		o.count.Bucket = 1
		o.reader = l.reader
		require.NoError(t, s.DeleteFeedItems(ctx, l.reader, []uuid.UUID{l.theirs.ID}, later))
		require.NoError(t, o.put(ctx, s))
		require.NoError(t, o.check(ctx, s))
		require.Equal(t, []uuid.UUID{o.tweet.ID}, tweetIDs(t, s, l.user.Username))
		back := twtr.Follow{Follower: l.reader, Followee: l.user.Username, At: later}
		require.NoError(t, s.PutFollow(ctx, back))
		requireEdge(t, s, back, true)
		theirs := tweetAt(l.author, later, 1)
		require.NoError(t, s.PutFeedItem(ctx, theirs, []string{l.user.Username}))
		require.NoError(t, s.PutFeedItems(ctx, l.user.Username, []twtr.Tweet{l.theirs}, later))
		require.Equal(t, []twtr.Tweet{theirs, l.theirs}, feed(t, s, l.user.Username))
	}},
	{"traces of a user are found wherever they are, until they are erased", func(t *testing.T, s twtr.Store) {
		l, ctx := lifeOf(name(), 0), t.Context()
		requireTraces(t, s, l.user.Username)
		l.put(t, s)
		requireTraces(t, s, l.user.Username, "deliveries", "feed_items", "follower_counts", "followers", "followings", "idempotency_keys",
			"known_sources", "login_failures", "sessions", "tweets", "tweets_by_user", "users")
		require.NoError(t, s.RetireUser(ctx, l.user.Username))
		require.NotContains(t, tracesOf(t, s, l.user.Username), "users")
		require.NoError(t, s.EraseUser(ctx, l.user.Username))
		left := tracesOf(t, s, l.user.Username)
		require.Subset(t, left, []string{"deliveries", "feed_items", "tweets"}, "others' rows are no longer found")
		require.NotContains(t, left, "tweets_by_user")
		require.NoError(t, s.EraseTweets(ctx, l.user.Username, idsOf(l.tweets)))
		require.NotContains(t, tracesOf(t, s, l.user.Username), "tweets")
		require.NotContains(t, tracesOf(t, s, l.user.Username), "deliveries")
	}},
}
