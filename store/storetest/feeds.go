package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func feed(t *testing.T, s twtr.Store, reader string) []twtr.Tweet {
	t.Helper()
	items, err := s.Feed(t.Context(), reader, twtr.Window{}, 1000)
	require.NoError(t, err)
	return items
}

var feedTests = []test{
	{"a feed is read newest first, and each item once over all pages", func(t *testing.T, s twtr.Store) {
		author, reader := name(), name()
		newestFirst(t,
			func(tweet twtr.Tweet) error { return s.PutFeedItem(t.Context(), tweet, []string{reader}) },
			func(w twtr.Window, limit int) ([]twtr.Tweet, error) {
				return s.Feed(t.Context(), reader, w, limit)
			}, author)
	}},
	{"the rows of a feed are its items and marks, newest first, in a window", func(t *testing.T, s twtr.Store) {
		reader, author, at := name(), name(), now()
		var rows []twtr.FeedRow
		for n := range uint32(4) {
			tweet := tweetAt(author, at.Add(-time.Duration(n)*time.Second), n)
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{reader}))
			rows = append(rows, twtr.FeedRow{ID: tweet.ID, Author: author})
		}
		require.NoError(t, s.RetractFeedItem(t.Context(), rows[1].ID, []string{reader}, at))
		rows[1] = twtr.FeedRow{ID: rows[1].ID, Retracted: true}
		require.NoError(t, s.DeleteFeedItems(t.Context(), reader, []uuid.UUID{rows[3].ID}, at))
		for _, c := range []struct {
			window twtr.Window
			limit  int
			want   []twtr.FeedRow
		}{
			{twtr.Window{}, 10, rows[:3]},
			{twtr.Window{}, 2, rows[:2]},
			{twtr.Window{Before: rows[0].ID, After: rows[2].ID}, 10, rows[1:2]},
		} {
			got, err := s.FeedRows(t.Context(), reader, c.window, c.limit)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		}
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
	{"a late put does not bring back what was removed", func(t *testing.T, s twtr.Store) {
		reader, author, at := name(), name(), now()
		tweet, same, other := tweetAt(author, at, 1), tweetAt(author, at, 2), tweetAt(author, at, 3)
		remove := func(id uuid.UUID, d time.Duration) {
			require.NoError(t, s.DeleteFeedItems(t.Context(), reader, []uuid.UUID{id}, at.Add(d)))
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
		require.NoError(t, s.DeleteFeedItems(t.Context(), reader, []uuid.UUID{dead.ID}, at.Add(time.Second)))
		require.NoError(t, s.DeleteFeedItems(t.Context(), reader, []uuid.UUID{same.ID}, at))
		require.NoError(t, s.DeleteFeedItems(t.Context(), reader, []uuid.UUID{newer.ID}, at.Add(-time.Microsecond)))
		for _, tweet := range []twtr.Tweet{dead, same, newer} {
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{reader}))
		}
		require.Equal(t, []twtr.Tweet{newer}, feed(t, s, reader))
		require.NoError(t, s.PutFeedItems(t.Context(), reader, []twtr.Tweet{dead, same, newer}, at))
		require.Equal(t, []twtr.Tweet{newer}, feed(t, s, reader))
	}},
	{"what is retracted stays so, whatever its time, and whatever is put or removed at any time", func(t *testing.T, s twtr.Store) {
		at := now()
		for _, retracted := range []time.Duration{-time.Hour, 0, time.Hour} {
			reader, tweet, other := name(), tweetAt(name(), at, 1), tweetAt(name(), at, 2)
			retract := func() {
				require.NoError(t, s.RetractFeedItem(t.Context(), tweet.ID, []string{reader}, at.Add(retracted)))
			}
			put := func(d time.Duration) {
				require.NoError(t, s.PutFeedItems(t.Context(), reader, []twtr.Tweet{tweet, other}, at.Add(d)))
			}
			remove := func(d time.Duration) {
				require.NoError(t, s.DeleteFeedItems(t.Context(), reader, []uuid.UUID{tweet.ID}, at.Add(d)))
			}
			requireRetracted := func() {
				t.Helper()
				require.Equal(t, []twtr.Tweet{other}, feed(t, s, reader), "retracted at %v", retracted)
				have, err := s.ReadersHavingFeedItem(t.Context(), tweet.ID, []string{reader})
				require.NoError(t, err)
				require.Empty(t, have)
			}
			if retracted == 0 {
				remove(2 * time.Hour) // a removal that is newer than the mark doesn't hide it
				put(0)
			}
			retract()
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{reader}))
			for _, d := range []time.Duration{0, 2 * time.Hour, 4 * time.Hour} {
				put(d)
				requireRetracted()
				remove(d + time.Hour)
				put(d + time.Hour + time.Microsecond)
				requireRetracted()
			}
			retract()
			requireRetracted()
		}
	}},
	{"a retraction leaves the tweet's other readers, and the reader's other tweets", func(t *testing.T, s twtr.Store) {
		upper, lower := inCases()
		first, second := tweetAt(name(), now(), 1), tweetAt(name(), now(), 2)
		for _, tweet := range []twtr.Tweet{first, second} {
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{upper, lower}))
		}
		require.NoError(t, s.RetractFeedItem(t.Context(), first.ID, []string{upper}, now().Add(time.Second)))
		require.Equal(t, []twtr.Tweet{second}, feed(t, s, upper))
		require.Equal(t, []twtr.Tweet{second, first}, feed(t, s, lower))
	}},
	{"what is put at a time later than its removal is there again", func(t *testing.T, s twtr.Store) {
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
		require.NoError(t, s.RetractFeedItem(t.Context(), tweet.ID, nil, at.Add(time.Hour)))
		require.Equal(t, []twtr.Tweet{tweet}, feed(t, s, reader))
	}},
	{"one retraction takes a tweet from 1,500 readers, and one removal 250 tweets from one", func(t *testing.T, s twtr.Store) {
		at := now()
		tweet, kept := tweetAt(name(), at, 1), tweetAt(name(), at, 2)
		readers := make([]string, 1500)
		for i := range readers {
			readers[i] = fmt.Sprintf("%s-%04d", tweet.Username[:8], i)
		}
		for _, tweet := range []twtr.Tweet{tweet, kept} {
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, readers))
		}
		require.NoError(t, s.RetractFeedItem(t.Context(), tweet.ID, readers, at.Add(time.Second)))
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
	{"the readers who have an item come in the order in which they were given", func(t *testing.T, s twtr.Store) {
		tweet, other := tweetAt(name(), now(), 1), tweetAt(name(), now(), 2)
		readers := make([]string, 300)
		for i := range readers {
			readers[i] = fmt.Sprintf("%s-%04d", tweet.Username[:8], len(readers)-i)
		}
		have := append(append([]string(nil), readers[:100]...), readers[150:]...)
		require.NoError(t, s.PutFeedItem(t.Context(), tweet, have))
		require.NoError(t, s.PutFeedItem(t.Context(), other, readers))
		require.NoError(t, s.RetractFeedItem(t.Context(), tweet.ID, readers[200:], now().Add(time.Second)))
		got, err := s.ReadersHavingFeedItem(t.Context(), tweet.ID, readers)
		require.NoError(t, err)
		require.Equal(t, append(append([]string(nil), readers[:100]...), readers[150:200]...), got)
		got, err = s.ReadersHavingFeedItem(t.Context(), tweet.ID, nil)
		require.NoError(t, err)
		require.Empty(t, got)
	}},
	{"a trim keeps the newest rows, items and marks, and what was removed stays so", func(t *testing.T, s twtr.Store) {
		reader, bystander, at := name(), name(), now()
		var tweets []twtr.Tweet // newest first
		for n := range uint32(50) {
			tweets = append(tweets, tweetAt("ann", at.Add(-time.Duration(n)*time.Minute), n))
		}
		for _, tweet := range tweets {
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{reader, bystander}))
		}
		retracted, removed := []int{5, 41}, []int{7, 42}
		for i := range retracted {
			require.NoError(t, s.RetractFeedItem(t.Context(), tweets[retracted[i]].ID, []string{reader}, at))
			require.NoError(t, s.DeleteFeedItems(t.Context(), reader, []uuid.UUID{tweets[removed[i]].ID}, at))
		}
		const rows = 48
		requireFloor := func(keep int, want uuid.UUID) {
			t.Helper()
			floor, err := s.FeedFloor(t.Context(), reader, keep)
			require.NoError(t, err)
			require.Equal(t, want, floor)
		}
		requireFloor(5, tweets[4].ID)
		requireFloor(6, tweets[5].ID)
		requireFloor(7, tweets[6].ID)
		requireFloor(8, tweets[8].ID)
		requireFloor(rows, tweets[49].ID)
		requireFloor(rows+1, uuid.Nil)
		for _, keep := range []int{1000, rows} {
			require.NoError(t, s.TrimFeed(t.Context(), reader, keep))
			require.Len(t, feed(t, s, reader), rows-2)
		}
		require.NoError(t, s.TrimFeed(t.Context(), reader, rows-1))
		require.Len(t, feed(t, s, reader), rows-3)
		require.NoError(t, s.TrimFeed(t.Context(), reader, 10))
		requireFloor(10, tweets[10].ID)
		requireFloor(11, tweets[10].ID)
		want := slices.Concat(tweets[:5], tweets[6:7], tweets[8:11])
		require.Equal(t, want, feed(t, s, reader))
		require.NoError(t, s.TrimFeed(t.Context(), reader, 10))
		for _, i := range slices.Concat(retracted, removed) {
			require.NoError(t, s.PutFeedItem(t.Context(), tweets[i], []string{reader}))
		}
		require.Equal(t, want, feed(t, s, reader))
		require.Equal(t, tweets, feed(t, s, bystander))
		newer := tweetAt("ann", at.Add(time.Minute), 0)
		require.NoError(t, s.PutFeedItem(t.Context(), newer, []string{reader}))
		require.Equal(t, newer, feed(t, s, reader)[0])
		requireFloor(10, tweets[9].ID)
		require.NoError(t, s.TrimFeed(t.Context(), name(), 10))
	}},
	{"a trim removes rows of tweets that are ahead of the clock, and older ones that were put after a trim", func(t *testing.T, s twtr.Store) {
		reader, author, at := name(), name(), now().Add(time.Hour)
		kept, item, mark := tweetAt(author, at, 3), tweetAt(author, at, 2), tweetAt(author, at, 1)
		require.NoError(t, s.RetractFeedItem(t.Context(), mark.ID, []string{reader}, now()))
		require.NoError(t, s.PutFeedItem(t.Context(), item, []string{reader}))
		for range 2 {
			require.NoError(t, s.PutFeedItem(t.Context(), kept, []string{reader}))
			require.NoError(t, s.TrimFeed(t.Context(), reader, 1))
			require.Equal(t, []twtr.Tweet{kept}, feed(t, s, reader))
			floor, err := s.FeedFloor(t.Context(), reader, 2)
			require.NoError(t, err)
			require.Equal(t, kept.ID, floor)
			require.NoError(t, s.PutFeedItem(t.Context(), item, []string{reader}))
		}
	}},
	{"the floor of a feed never falls below a trim, whatever is removed or put afterwards", func(t *testing.T, s twtr.Store) {
		reader, at := name(), now()
		tweets := make([]twtr.Tweet, 20) // newest first
		var ids []uuid.UUID
		for i := range tweets {
			tweets[i] = tweetAt("ann", at.Add(-time.Duration(i)*time.Minute), 0)
			ids = append(ids, tweets[i].ID)
		}
		requireFloor := func(want uuid.UUID) {
			t.Helper()
			floor, err := s.FeedFloor(t.Context(), reader, 5)
			require.NoError(t, err)
			require.Equal(t, want, floor)
		}
		require.NoError(t, s.PutFeedItems(t.Context(), reader, tweets[:10], at))
		require.NoError(t, s.TrimFeed(t.Context(), reader, 5))
		requireFloor(ids[4])
		require.NoError(t, s.DeleteFeedItems(t.Context(), reader, ids[1:5], at.Add(time.Second)))
		requireFloor(ids[4])
		require.NoError(t, s.DeleteFeedItems(t.Context(), reader, ids[:1], at.Add(time.Second)))
		requireFloor(ids[4])
		require.Empty(t, feed(t, s, reader))

		older := tweets[10:]
		require.NoError(t, s.PutFeedItems(t.Context(), reader, older, now().Add(time.Minute)))
		requireFloor(ids[4])
		require.Equal(t, older, feed(t, s, reader))
		require.NoError(t, s.TrimFeed(t.Context(), reader, 5))
		requireFloor(ids[4])
		require.NoError(t, s.EraseUser(t.Context(), reader))
		requireFloor(uuid.Nil)
	}},
	{"items among any number of retracted ones are read, each once over all pages", func(t *testing.T, s twtr.Store) {
		reader, at := name(), now()
		var kept []twtr.Tweet
		tweets := make([]twtr.Tweet, 1000)
		for i := range tweets {
			tweets[i] = tweetAt("ann", at.Add(-time.Duration(i)*time.Second), 0)
			if keeps(i) {
				kept = append(kept, tweets[i])
			}
		}
		require.NoError(t, s.PutFeedItems(t.Context(), reader, tweets, at))
		requireAll(t, 16, len(tweets), func(i int) error {
			if keeps(i) {
				return nil
			}
			return s.RetractFeedItem(t.Context(), tweets[i].ID, []string{reader}, at)
		})
		for _, limit := range []int{1, 3, len(kept), len(kept) + 1, 1000} {
			require.Equal(t, kept, pages(t, func(w twtr.Window, limit int) ([]twtr.Tweet, error) {
				return s.Feed(t.Context(), reader, w, limit)
			}, limit, func() {}))
		}
		floor, err := s.FeedFloor(t.Context(), reader, 500)
		require.NoError(t, err)
		require.Equal(t, tweets[499].ID, floor)
		require.NoError(t, s.TrimFeed(t.Context(), reader, 500))
		require.Equal(t, kept[:7], feed(t, s, reader))
	}},
}
