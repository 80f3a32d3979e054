package storetest

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

// sorted are the tweets, newest first.
func sorted(tweets []twtr.Tweet) []twtr.Tweet {
	all := slices.Clone(tweets)
	slices.SortFunc(all, func(a, b twtr.Tweet) int { return strings.Compare(string(b.ID[:]), string(a.ID[:])) })
	return all
}

func shuffled(tweets []twtr.Tweet) []twtr.Tweet {
	all := slices.Clone(tweets)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// pages reads a list of tweets to its end, and calls between after each page.
func pages(t *testing.T, read func(w twtr.Window, limit int) ([]twtr.Tweet, error), limit int, between func()) []twtr.Tweet {
	t.Helper()
	var all []twtr.Tweet
	var w twtr.Window
	for {
		page, err := read(w, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), limit)
		all = append(all, page...)
		if len(page) < limit {
			return all
		}
		w.Before = page[len(page)-1].ID
		between()
	}
}

var contents = []string{
	"plain",
	" leading and trailing \n\t",
	"quotes ' \" ` \\ and $1 ? :name %s",
	"nul \x00 inside",
	"e\u0301 is not é",
	"مرحبا بالعالم, שלום",
	"👩‍👩‍👧‍👦",
	strings.Repeat("𝔘", twtr.MaxContent),
}

// newestFirst is the list's part of a contract that tweets by user and feeds share; put writes one tweet into the list.
func newestFirst(t *testing.T, put func(twtr.Tweet) error, read func(w twtr.Window, limit int) ([]twtr.Tweet, error), author string) {
	t.Helper()
	empty, err := read(twtr.Window{}, 10)
	require.NoError(t, err)
	require.Empty(t, empty)

	at := now()
	var tweets []twtr.Tweet
	for n := range uint32(50) { // of one millisecond
		tweets = append(tweets, tweetAt(author, at, n))
	}
	for range 50 {
		tweets = append(tweets, tweetOf(someIDAt(at.Add(-time.Millisecond)), author, "some"))
	}
	for range 50 { // as they are made
		id, err := twtr.NewTweetID(time.Now())
		require.NoError(t, err)
		tweets = append(tweets, tweetOf(id, author, "as made"))
	}
	for i, content := range contents {
		tweets = append(tweets, tweetOf(idAt(at.Add(-time.Hour), uint32(i)), author, content))
	}
	for _, tweet := range shuffled(tweets) {
		require.NoError(t, put(tweet))
		require.NoError(t, put(tweet), "the same again")
	}
	want := sorted(tweets)
	all, err := read(twtr.Window{}, 1000)
	require.NoError(t, err)
	require.Equal(t, want, all)
	require.Equal(t, tweets[149].ID, all[0].ID, "what was made last")

	some, err := read(twtr.Window{}, 3)
	require.NoError(t, err)
	require.Equal(t, want[:3], some)
	some, err = read(twtr.Window{Before: want[4].ID}, 3)
	require.NoError(t, err)
	require.Equal(t, want[5:8], some)
	none, err := read(twtr.Window{Before: want[len(want)-1].ID}, 3)
	require.NoError(t, err)
	require.Empty(t, none)
	some, err = read(twtr.Window{Before: idAt(at, 50)}, 1) // an id that no tweet has
	require.NoError(t, err)
	require.Equal(t, tweets[49:50], some)

	for _, c := range []struct {
		w     twtr.Window
		limit int
		want  []twtr.Tweet
	}{
		{twtr.Window{After: want[4].ID}, 1000, want[:4]},
		{twtr.Window{After: want[4].ID}, 3, want[:3]},
		{twtr.Window{After: want[9].ID, Before: want[4].ID}, 1000, want[5:9]},
		{twtr.Window{After: want[9].ID, Before: want[4].ID}, 2, want[5:7]},
		{twtr.Window{After: want[4].ID, Before: want[4].ID}, 1000, nil},
		{twtr.Window{After: want[0].ID}, 1000, nil},
		{twtr.Window{After: idAt(at.Add(-2*time.Hour), 0)}, 1000, want}, // an id that no tweet has
	} {
		some, err := read(c.w, c.limit)
		require.NoError(t, err)
		if len(c.want) == 0 {
			require.Empty(t, some)
		} else {
			require.Equal(t, c.want, some)
		}
	}

	// While pages are read newer tweets come in, which are not seen, and older ones, which are seen once.
	n := uint32(0)
	paged := pages(t, read, 7, func() {
		n++
		newer, older := tweetAt(author, at.Add(time.Hour), n), tweetAt(author, at.Add(-2*time.Hour), 1000-n)
		require.NoError(t, put(newer))
		require.NoError(t, put(older))
		want = append(want, older)
	})
	require.Equal(t, sorted(want), paged)
}

// deletable is above the numbers of the tweets that other cases make at the same time: a deletion applies to any tweet of that id.
const deletable = 1 << 20

var tweetTests = []test{
	{"a tweet comes back byte for byte", func(t *testing.T, s twtr.Store) {
		author := name()
		var tweets []twtr.Tweet
		for _, content := range contents {
			tweets = append(tweets, tweetOf(uuid.Must(uuid.NewV7()), author, content))
		}
		for _, body := range []string{`{}`, ` { "content" : "\u003c<\u00e9é\ud83d\ude00" } `, `{"b":1,"a":1.00,"b":2e400}`} {
			tweets = append(tweets, twtr.Tweet{ID: uuid.Must(uuid.NewV7()), Username: author, Body: json.RawMessage(body)})
		}
		for _, tweet := range tweets {
			require.NoError(t, s.PutTweet(t.Context(), tweet))
			require.NoError(t, s.PutFeedItem(t.Context(), tweet, []string{author}))
			got, err := s.Tweet(t.Context(), tweet.ID)
			require.NoError(t, err)
			require.Equal(t, tweet, got)
		}
		got, err := s.TweetsByUser(t.Context(), author, twtr.Window{}, 100)
		require.NoError(t, err)
		require.Equal(t, sorted(tweets), got)
		require.Equal(t, sorted(tweets), feed(t, s, author))
	}},
	{"an unknown tweet is not found", func(t *testing.T, s twtr.Store) {
		_, err := s.Tweet(t.Context(), uuid.Must(uuid.NewV7()))
		requireCode(t, twtr.NotFound, err)
	}},
	{"a user's tweets are listed newest first, and each once over all pages", func(t *testing.T, s twtr.Store) {
		author := name()
		newestFirst(t,
			func(tweet twtr.Tweet) error { return s.PutTweet(t.Context(), tweet) },
			func(w twtr.Window, limit int) ([]twtr.Tweet, error) {
				return s.TweetsByUser(t.Context(), author, w, limit)
			}, author)
	}},
	{"tweets of names that differ in case are apart", func(t *testing.T, s twtr.Store) {
		upper, lower := inCases()
		for _, author := range []string{upper, lower} {
			tweet := stockOf(author).tweet
			require.NoError(t, s.PutTweet(t.Context(), tweet))
			tweets, err := s.TweetsByUser(t.Context(), author, twtr.Window{}, 10)
			require.NoError(t, err)
			require.Equal(t, []twtr.Tweet{tweet}, tweets)
		}
	}},
	{"a tweet that was deleted is gone for good, also if it is put afterwards", func(t *testing.T, s twtr.Store) {
		author, at := name(), now()
		kept, deleted, late := tweetAt(author, at, deletable+1), tweetAt(author, at, deletable+2), tweetAt(author, at, deletable+3)
		for _, tweet := range []twtr.Tweet{kept, deleted} {
			require.NoError(t, s.PutTweet(t.Context(), tweet))
		}
		for range 2 {
			require.NoError(t, s.DeleteTweet(t.Context(), deleted))
			require.NoError(t, s.DeleteTweet(t.Context(), late)) // before it is put
			for _, tweet := range []twtr.Tweet{deleted, late} {
				require.NoError(t, s.PutTweet(t.Context(), tweet))
				_, err := s.Tweet(t.Context(), tweet.ID)
				requireCode(t, twtr.NotFound, err)
			}
			got, err := s.TweetsByUser(t.Context(), author, twtr.Window{}, 10)
			require.NoError(t, err)
			require.Equal(t, []twtr.Tweet{kept}, got)
			got1, err := s.Tweet(t.Context(), kept.ID)
			require.NoError(t, err)
			require.Equal(t, kept, got1)
		}
	}},
	{"tweets of an author who deleted many are listed, each once over all pages", func(t *testing.T, s twtr.Store) {
		author, at := name(), now()
		var kept []twtr.Tweet
		const n = 1000
		requireAll(t, 16, n, func(i int) error {
			tweet := tweetAt(author, at.Add(-time.Duration(i)*time.Second), deletable)
			if err := s.PutTweet(t.Context(), tweet); err != nil || keeps(i) {
				return err
			}
			return s.DeleteTweet(t.Context(), twtr.Tweet{ID: tweet.ID, Username: author}) // without its body
		})
		for i := range n {
			if keeps(i) {
				kept = append(kept, tweetAt(author, at.Add(-time.Duration(i)*time.Second), deletable))
			}
		}
		for _, limit := range []int{1, 3, len(kept), len(kept) + 1, 1000} {
			require.Equal(t, kept, pages(t, func(w twtr.Window, limit int) ([]twtr.Tweet, error) {
				return s.TweetsByUser(t.Context(), author, w, limit)
			}, limit, func() {}))
		}
	}},
}

// keeps picks 10 tweets of 1,000: one is the newest, one the oldest, some are alone among hundreds of deleted ones.
func keeps(i int) bool { return i == 0 || i >= 300 && i < 306 || i == 700 || i > 997 }

// requireAll calls do with each number below n, some at a time, and wants no error.
func requireAll(t *testing.T, atATime, n int, do func(i int) error) {
	t.Helper()
	for _, err := range race(atATime, func(w int) error {
		for i := w; i < n; i += atATime {
			if err := do(i); err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
}
