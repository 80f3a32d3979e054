package cassandra

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

// batches counts what is sent to Cassandra: the rows for each node, and those of the largest batch.
type batches struct {
	mu      sync.Mutex
	rows    map[string]int
	largest int
}

func (b *batches) ObserveBatch(_ context.Context, sent gocql.ObservedBatch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows[sent.Host.HostID()] += len(sent.Statements)
	b.largest = max(b.largest, len(sent.Statements))
}

func TestADeliveryGoesToTheNodesOfItsFeedsInBatchesTooSmallToBeWarnedOf(t *testing.T) {
	for content, most := range map[string]int{"hello": 10, strings.Repeat("😀", 280): 3} {
		c := testConfig(t)
		require.NoError(t, Migrate(t.Context(), c))
		sent := &batches{rows: map[string]int{}}
		c.adjust = func(cluster *gocql.ClusterConfig) { cluster.BatchObserver = sent }
		s := open(t, c)
		tweet, err := twtr.NewTweet(uuid.Must(uuid.NewV7()), "ann", twtr.Post{Content: content})
		require.NoError(t, err)
		readers, wanted := make([]string, 500), map[string]int{}
		row := s.session.Query(putFeedItem)
		for i := range readers {
			readers[i] = fmt.Sprintf("reader-%d", i)
			wanted[s.node(row.Bind(int64(1), tweet.Username, []byte(tweet.Body), readers[i], gocql.UUID(tweet.ID)))]++
		}
		require.NoError(t, s.PutFeedItem(t.Context(), tweet, readers))
		require.Equal(t, wanted, sent.rows)
		require.Equal(t, most, sent.largest)
		have, err := s.ReadersHavingFeedItem(t.Context(), tweet.ID, readers)
		require.NoError(t, err)
		require.Equal(t, readers, have)
	}
}

// idAt is a new UUIDv7 of that time.
func idAt(at time.Time) uuid.UUID {
	id, _ := twtr.NewTweetID(at) // it fails only if crypto/rand does, which ends the process
	return id
}

// atOnce calls do with each number below n, 32 at a time.
func atOnce(t *testing.T, n int, do func(i int) error) {
	var g errgroup.Group
	g.SetLimit(32)
	for i := range n {
		g.Go(func() error { return do(i) })
	}
	require.NoError(t, g.Wait())
}

// requireNoTombstones wants no warning of Cassandra, which by default warns of 1,000 tombstones in a read and refuses it at
// 100,000.
func requireNoTombstones(t *testing.T, s *Store, statement string, args ...any) {
	rows := s.session.Query(statement, args...).PageSize(5000).Iter()
	warnings := rows.Warnings()
	require.NoError(t, rows.Close())
	require.Empty(t, warnings)
}

func TestDeletionsLeaveListsReadable(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	s, ctx, at := open(t, c), t.Context(), time.Now().Add(-time.Hour)
	const deletions, keep = 20_000, 100
	first, err := twtr.NewTweet(idAt(at.Add(-time.Minute)), "ann", twtr.Post{Content: "hello"})
	require.NoError(t, err)
	require.NoError(t, s.PutTweet(ctx, first))
	atOnce(t, deletions, func(i int) error {
		id := idAt(at.Add(time.Duration(i) * time.Millisecond))
		if i < 5000 {
			if err := s.DeleteTweet(ctx, twtr.Tweet{ID: id, Username: "ann"}); err != nil {
				return err
			}
		}
		if i%512 == 0 { // as of 512 feeds that a delivery writes to it trims one
			if err := s.TrimFeed(ctx, "bob", keep); err != nil {
				return err
			}
		}
		return s.RetractFeedItem(ctx, id, []string{"bob"}, time.Now())
	})
	last := first
	last.ID = idAt(time.Now())
	require.NoError(t, s.PutFeedItem(ctx, last, []string{"bob"}))
	items, err := s.Feed(ctx, "bob", twtr.Window{}, 50)
	require.NoError(t, err)
	require.Equal(t, []twtr.Tweet{last}, items)
	requireNoTombstones(t, s, selectFeed, "bob", gocql.UUID(uuid.Max), gocql.UUID{}, 50)
	requireNoTombstones(t, s, selectFeedIDs, "bob", keep+1)
	tweets, err := s.TweetsByUser(ctx, "ann", twtr.Window{}, 50)
	require.NoError(t, err)
	require.Equal(t, []twtr.Tweet{first}, tweets)
	requireNoTombstones(t, s, selectTweetsByUser, "ann", gocql.UUID(uuid.Max), gocql.UUID{}, 50)
}
