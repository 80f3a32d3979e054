package cassandra

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gocql/gocql"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

// batches notes what goes to Cassandra: how many rows to each node, and at most in a batch.
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
		cluster, sent := c.cluster(c.Keyspace), &batches{rows: map[string]int{}}
		cluster.BatchObserver = sent
		session, err := c.open(cluster)
		require.NoError(t, err)
		s := &Store{session: session, route: cluster.PoolConfig.HostSelectionPolicy, batches: make(chan struct{}, batchesAtATime)}
		t.Cleanup(s.Close)
		tweet, err := twtr.NewTweet("ann", content)
		require.NoError(t, err)
		readers, wanted := make([]string, 500), map[string]int{}
		row := session.Query(insertFeedItem)
		for i := range readers {
			readers[i] = fmt.Sprintf("reader-%d", i)
			wanted[s.node(row.Bind(readers[i], gocql.UUID(tweet.ID), tweet.Username, tweet.Content, int64(1)))]++
		}
		require.NoError(t, s.PutFeedItem(t.Context(), tweet, readers))
		require.Equal(t, wanted, sent.rows)
		require.Equal(t, most, sent.largest)
		have, err := s.HaveFeedItem(t.Context(), tweet.ID, readers)
		require.NoError(t, err)
		require.Equal(t, readers, have)
	}
}
