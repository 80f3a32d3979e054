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
		require.NoError(t, s.PutFeedItems(t.Context(), reader, nil))
		require.NoError(t, s.PutFeedItems(t.Context(), reader, tweets))
		require.NoError(t, s.PutFeedItems(t.Context(), reader, tweets))
		require.Equal(t, sorted(append(tweets, other)), feed(t, s, reader))
	}},
	{"a put that is late does not bring back what was removed", func(t *testing.T, s twtr.Store) {
		reader, author, at := name(), name(), now()
		tweet, same, other := tweetAt(author, at, 1), tweetAt(author, at, 2), tweetAt(author, at, 3)
		remove := func(id uuid.UUID, d time.Duration) {
			require.NoError(t, s.DeleteFeedItem(t.Context(), reader, id, at.Add(d)))
		}
		put := func() {
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{reader}))
			require.NoError(t, s.PutFeedItems(t.Context(), reader, []twtr.Tweet{tweet, same, other}))
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
		require.NoError(t, s.DeleteFeedItem(t.Context(), reader, dead.ID, at.Add(time.Second)))
		require.NoError(t, s.DeleteFeedItem(t.Context(), reader, same.ID, at))
		require.NoError(t, s.DeleteFeedItem(t.Context(), reader, newer.ID, at.Add(-time.Microsecond)))
		for _, tweet := range []twtr.Tweet{dead, same, newer} {
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{reader}))
		}
		require.Equal(t, []twtr.Tweet{newer}, feed(t, s, reader))
		require.NoError(t, s.PutFeedItems(t.Context(), reader, []twtr.Tweet{dead, same, newer}))
		require.Equal(t, []twtr.Tweet{newer}, feed(t, s, reader))
	}},
	{"a removal leaves the tweet's other readers, and the reader's other tweets", func(t *testing.T, s twtr.Store) {
		upper, lower := inCases()
		first, second := tweetAt(name(), now(), 1), tweetAt(name(), now(), 2)
		for _, tweet := range []twtr.Tweet{first, second} {
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{upper, lower}))
		}
		require.NoError(t, s.DeleteFeedItem(t.Context(), upper, first.ID, now().Add(time.Second)))
		require.Equal(t, []twtr.Tweet{second}, feed(t, s, upper))
		require.Equal(t, []twtr.Tweet{second, first}, feed(t, s, lower))
	}},
}
