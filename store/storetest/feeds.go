package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func feed(t *testing.T, s twtr.Store, reader string) []twtr.Tweet {
	t.Helper()
	items, err := s.Feed(t.Context(), reader, uuid.Nil, 1000)
	require.NoError(t, err)
	return items
}

var feedTests = []test{
	{"a feed is read newest first, and each item once over all pages", func(t *testing.T, s twtr.Store) {
		author, reader := name(), name()
		newestFirst(t,
			func(tweet twtr.Tweet) error { return s.PutFeedItem(t.Context(), tweet, []string{reader}) },
			func(before uuid.UUID, limit int) ([]twtr.Tweet, error) {
				return s.Feed(t.Context(), reader, before, limit)
			}, author)
	}},
	{"one put reaches 3,000 readers, and the same again changes nothing", func(t *testing.T, s twtr.Store) {
		tweet := tweetAt(name(), now(), 1)
		readers := make([]string, 3000)
		for i := range readers {
			readers[i] = fmt.Sprintf("%s-%04d", tweet.Username[:8], i)
		}
		require.NoError(t, s.PutFeedItem(t.Context(), tweet, nil))
		require.NoError(t, s.PutFeedItem(t.Context(), tweet, readers))
		require.NoError(t, s.PutFeedItem(t.Context(), tweet, readers[:100]))
		for _, reader := range readers {
			require.Equal(t, []twtr.Tweet{tweet}, feed(t, s, reader))
		}
	}},
	{"one put brings 100 tweets to a reader, among what is there", func(t *testing.T, s twtr.Store) {
		reader, author, at := name(), name(), now()
		var tweets []twtr.Tweet
		for n := range uint32(100) {
			tweets = append(tweets, tweetAt(author, at.Add(-time.Duration(n)*time.Minute), n))
		}
		other := tweetAt(name(), at.Add(-90*time.Second), 0)
		require.NoError(t, s.PutFeedItem(t.Context(), other, []string{reader}))
		require.NoError(t, s.PutFeedItems(t.Context(), reader, nil, at))
		require.NoError(t, s.PutFeedItems(t.Context(), reader, tweets, at))
		require.NoError(t, s.PutFeedItems(t.Context(), reader, tweets, at))
		require.Equal(t, sorted(append(tweets, other)), feed(t, s, reader))
	}},
	{"a put that is late does not bring back what was removed", func(t *testing.T, s twtr.Store) {
		reader, author, at := name(), name(), now()
		tweet, same, other := tweetAt(author, at, 1), tweetAt(author, at, 2), tweetAt(author, at, 3)
		remove := func(id uuid.UUID, d time.Duration) {
			require.NoError(t, s.DeleteFeedItem(t.Context(), id, []string{reader}, at.Add(d)))
		}
		put := func() {
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{reader}))
			require.NoError(t, s.PutFeedItems(t.Context(), reader, []twtr.Tweet{tweet, same, other}, at))
		}
		put()
		remove(tweet.ID, -time.Microsecond) // older than the tweet: nothing
		require.Equal(t, []twtr.Tweet{other, same, tweet}, feed(t, s, reader))
		remove(tweet.ID, time.Second)
		remove(tweet.ID, time.Second)
		remove(same.ID, 0) // at the same time the removal wins
		require.Equal(t, []twtr.Tweet{other}, feed(t, s, reader))
		put()
		require.Equal(t, []twtr.Tweet{other}, feed(t, s, reader))
	}},
	{"a removal of what was never there keeps a late put dead, unless the tweet is newer", func(t *testing.T, s twtr.Store) {
		reader, author, at := name(), name(), now()
		dead, same, newer := tweetAt(author, at, 1), tweetAt(author, at, 2), tweetAt(author, at, 3)
		require.NoError(t, s.DeleteFeedItem(t.Context(), dead.ID, []string{reader}, at.Add(time.Second)))
		require.NoError(t, s.DeleteFeedItems(t.Context(), reader, []uuid.UUID{same.ID}, at))
		require.NoError(t, s.DeleteFeedItem(t.Context(), newer.ID, []string{reader}, at.Add(-time.Microsecond)))
		for _, tweet := range []twtr.Tweet{dead, same, newer} {
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{reader}))
		}
		require.Equal(t, []twtr.Tweet{newer}, feed(t, s, reader))
		require.NoError(t, s.PutFeedItems(t.Context(), reader, []twtr.Tweet{dead, same, newer}, at))
		require.Equal(t, []twtr.Tweet{newer}, feed(t, s, reader))
	}},
	{"a removal leaves the tweet's other readers, and the reader's other tweets", func(t *testing.T, s twtr.Store) {
		upper, lower := inCases()
		first, second := tweetAt(name(), now(), 1), tweetAt(name(), now(), 2)
		for _, tweet := range []twtr.Tweet{first, second} {
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{upper, lower}))
		}
		require.NoError(t, s.DeleteFeedItem(t.Context(), first.ID, []string{upper}, now().Add(time.Second)))
		require.Equal(t, []twtr.Tweet{second}, feed(t, s, upper))
		require.Equal(t, []twtr.Tweet{second, first}, feed(t, s, lower))
	}},
	{"what is put as of a time later than its removal is there again", func(t *testing.T, s twtr.Store) {
		reader, at := name(), now()
		tweet, other := tweetAt(name(), at, 1), tweetAt(name(), at, 2)
		require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{reader}))
		require.NoError(t, s.DeleteFeedItems(t.Context(), reader, []uuid.UUID{tweet.ID, other.ID}, at.Add(time.Second)))
		require.Empty(t, feed(t, s, reader))
		require.NoError(t, s.PutFeedItems(t.Context(), reader, []twtr.Tweet{tweet}, at.Add(time.Second)))
		require.Empty(t, feed(t, s, reader), "at the same time the removal wins")
		require.NoError(t, s.PutFeedItems(t.Context(), reader, []twtr.Tweet{tweet}, at.Add(time.Second+time.Microsecond)))
		require.Equal(t, []twtr.Tweet{tweet}, feed(t, s, reader))
		require.NoError(t, s.DeleteFeedItems(t.Context(), reader, nil, at.Add(time.Hour)))
		require.NoError(t, s.DeleteFeedItem(t.Context(), tweet.ID, nil, at.Add(time.Hour)))
		require.Equal(t, []twtr.Tweet{tweet}, feed(t, s, reader))
	}},
	{"one removal takes a tweet from 1,500 readers, and 250 tweets from one", func(t *testing.T, s twtr.Store) {
		at := now()
		tweet, kept := tweetAt(name(), at, 1), tweetAt(name(), at, 2)
		readers := make([]string, 1500)
		for i := range readers {
			readers[i] = fmt.Sprintf("%s-%04d", tweet.Username[:8], i)
		}
		for _, tweet := range []twtr.Tweet{tweet, kept} {
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, readers))
		}
		require.NoError(t, s.DeleteFeedItem(t.Context(), tweet.ID, readers, at.Add(time.Second)))
		for _, reader := range readers {
			require.Equal(t, []twtr.Tweet{kept}, feed(t, s, reader))
		}
		reader, many, ids := name(), []twtr.Tweet(nil), []uuid.UUID(nil)
		for n := range uint32(251) {
			many = append(many, tweetAt("ann", at, n))
			ids = append(ids, many[n].ID)
		}
		require.NoError(t, s.PutFeedItems(t.Context(), reader, many, at))
		require.NoError(t, s.DeleteFeedItems(t.Context(), reader, ids[1:], at.Add(time.Second)))
		require.Equal(t, many[:1], feed(t, s, reader))
	}},
	{"who has an item is told in the order of the question", func(t *testing.T, s twtr.Store) {
		tweet, other := tweetAt(name(), now(), 1), tweetAt(name(), now(), 2)
		readers := make([]string, 300)
		for i := range readers {
			readers[i] = fmt.Sprintf("%s-%04d", tweet.Username[:8], len(readers)-i)
		}
		have := append(append([]string(nil), readers[:100]...), readers[150:]...)
		require.NoError(t, s.PutFeedItem(t.Context(), tweet, have))
		require.NoError(t, s.PutFeedItem(t.Context(), other, readers))
		require.NoError(t, s.DeleteFeedItem(t.Context(), tweet.ID, readers[200:], now().Add(time.Second)))
		got, err := s.HaveFeedItem(t.Context(), tweet.ID, readers)
		require.NoError(t, err)
		require.Equal(t, append(append([]string(nil), readers[:100]...), readers[150:200]...), got)
		got, err = s.HaveFeedItem(t.Context(), tweet.ID, nil)
		require.NoError(t, err)
		require.Empty(t, got)
	}},
	{"a feed that is cut keeps its newest items, and what was removed stays so", func(t *testing.T, s twtr.Store) {
		reader, bystander, at := name(), name(), now()
		var tweets []twtr.Tweet // newest first
		for n := range uint32(50) {
			tweets = append(tweets, tweetAt("ann", at.Add(-time.Duration(n)*time.Minute), n))
		}
		for _, tweet := range tweets {
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{reader, bystander}))
		}
		require.NoError(t, s.DeleteFeedItem(t.Context(), tweets[5].ID, []string{reader}, at))
		require.NoError(t, s.DeleteFeedItem(t.Context(), tweets[40].ID, []string{reader}, at))
		for _, keep := range []int{1000, 48} {
			require.NoError(t, s.TrimFeed(t.Context(), reader, keep))
			require.Len(t, feed(t, s, reader), 48)
		}
		require.NoError(t, s.TrimFeed(t.Context(), reader, 47))
		require.Len(t, feed(t, s, reader), 47)
		require.NoError(t, s.TrimFeed(t.Context(), reader, 10))
		want := append(append([]twtr.Tweet(nil), tweets[:5]...), tweets[6:11]...)
		require.Equal(t, want, feed(t, s, reader))
		require.NoError(t, s.TrimFeed(t.Context(), reader, 10))
		require.NoError(t, s.PutFeedItem(t.Context(), tweets[5], []string{reader}))
		require.NoError(t, s.PutFeedItem(t.Context(), tweets[40], []string{reader}))
		require.Equal(t, want, feed(t, s, reader))
		require.Equal(t, tweets, feed(t, s, bystander))
		newer := tweetAt("ann", at.Add(time.Minute), 0)
		require.NoError(t, s.PutFeedItem(t.Context(), newer, []string{reader}))
		require.Equal(t, newer, feed(t, s, reader)[0])
		require.NoError(t, s.TrimFeed(t.Context(), name(), 10))
	}},
}
