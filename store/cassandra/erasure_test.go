package cassandra

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/store/storetest"
)

func TestTracesAreFoundByEachColumnThatNamesAUser(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	s := open(t, c)
	values := map[string]string{"text": "'x'", "uuid": "uuid()", "blob": "0x00", "boolean": "false", "timestamp": "0"}
	var columns []storetest.Column
	rows := s.session.Query("SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = ?", c.Keyspace).Iter().Scanner()
	for rows.Next() {
		var column storetest.Column
		var kind string
		require.NoError(t, rows.Scan(&column.Table, &column.Name, &kind))
		if column.Table == "migration_lease" || column.Table == "schema_migrations" {
			continue
		}
		column.Text, column.Value = kind == "text", cmp.Or(values[kind], "1") // a number
		columns = append(columns, column)
	}
	require.NoError(t, rows.Err())
	storetest.RunTraces(t, s, columns, 18, func(statement string) { require.NoError(t, s.exec(t.Context(), statement)) })
}

func TestRowsOfAnyTimeAreErasedWithTheirUser(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	s, ctx, ahead := open(t, c), t.Context(), time.Now().Add(time.Hour).UnixMicro()
	tables := []string{"feed_items", "follower_counts", "followers", "followings", "idempotency_keys", "known_sources", "login_failures", "sessions_by_user", "tweets_by_user"}
	for _, statement := range []string{
		"INSERT INTO feed_items (username, tweet_id, deleted) VALUES ('ann', uuid(), true) USING TIMESTAMP ?",
		"INSERT INTO feed_items (username, tweet_id, author, body) VALUES ('ann', uuid(), 'x', 'x') USING TIMESTAMP ?",
		"INSERT INTO feed_items (username, kept) VALUES ('ann', uuid()) USING TIMESTAMP ?",
		"INSERT INTO follower_counts (username, bucket, count, version) VALUES ('ann', 1, 1, 1) USING TIMESTAMP ?",
		fmt.Sprintf("INSERT INTO followings (username, followee, followed_at) VALUES ('ann', 'x', %d) USING TIMESTAMP ?", ahead),
		"INSERT INTO idempotency_keys (username, key, tweet_id, request_hash, expires_at) VALUES ('ann', 'x', uuid(), 0x00, 0) USING TIMESTAMP ?",
		"INSERT INTO known_sources (username, source, expires_at) VALUES ('ann', 'x', 0) USING TIMESTAMP ?",
		"INSERT INTO login_failures (username, source, count, last) VALUES ('ann', 'x', 1, 0) USING TIMESTAMP ?",
		"INSERT INTO sessions_by_user (username, family, ended) VALUES ('ann', uuid(), false) USING TIMESTAMP ?",
		"INSERT INTO tweets_by_user (username, id, body) VALUES ('ann', now(), 'x') USING TIMESTAMP ?",
	} {
		require.NoError(t, s.exec(ctx, statement, ahead))
	}
	require.NoError(t, s.exec(ctx, "INSERT INTO followers (username, bucket, follower) VALUES ('ann', 1, 'x')"))
	for _, want := range [][]string{tables, nil} {
		got, err := s.Traces(ctx, "ann")
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.NoError(t, s.EraseUser(ctx, "ann"))
	}
	// A write that is still on its way to a replica.
	at := time.Now().UnixMicro()
	require.NoError(t, s.EraseUser(ctx, "bob"))
	require.NoError(t, s.exec(ctx, "INSERT INTO known_sources (username, source, expires_at) VALUES ('bob', 'x', 0) USING TIMESTAMP ?", at))
	got, err := s.Traces(ctx, "bob")
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestASweepReadsAllTokensOnceInRangesThatTheStoreCanRead(t *testing.T) {
	unavailable := &twtr.Error{Code: twtr.Unavailable}
	for name, most := range map[string]func(after int64) uint64{
		"one read":            func(int64) uint64 { return math.MaxUint64 },
		"a thousand":          func(int64) uint64 { return math.MaxUint64 / 1000 },
		"a part with so many": func(after int64) uint64 { return map[bool]uint64{true: 1 << 40, false: 1 << 60}[after>>44 == 5] },
	} {
		t.Run(name, func(t *testing.T) {
			next, reads, failures := int64(math.MinInt64), 0, 0
			require.NoError(t, sweep(func(after, to int64) (bool, error) {
				require.Equal(t, next, after)
				require.Greater(t, to, after)
				if uint64(to)-uint64(after) > most(after) {
					failures++
					return false, unavailable
				}
				reads++
				next = to
				return false, nil
			}))
			require.Equal(t, int64(math.MaxInt64), next)
			require.LessOrEqual(t, failures, reads)
		})
	}
}

func TestASweepEndsWithWhatItFindsAndWhatItCannotRead(t *testing.T) {
	unavailable := &twtr.Error{Code: twtr.Unavailable}
	reads := 0
	require.NoError(t, sweep(func(int64, int64) (bool, error) {
		if reads++; reads == 1 {
			return false, unavailable
		}
		return true, nil
	}))
	require.Equal(t, 2, reads)
	reads = 0
	require.ErrorIs(t, sweep(func(int64, int64) (bool, error) { reads++; return false, unavailable }), unavailable)
	require.Less(t, reads, 20)
	other := errors.New("other")
	require.ErrorIs(t, sweep(func(int64, int64) (bool, error) { reads++; return false, other }), other)
}
