package cassandra

import (
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func newSession(username string) twtr.Session {
	return twtr.Session{
		Family:    uuid.Must(uuid.NewV7()),
		Username:  username,
		TokenHash: []byte("hash"),
		ExpiresAt: time.Now().Add(30 * 24 * time.Hour),
	}
}

func TestRowsOfSessionsAreKeptForAsLongAsTheyMustBe(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	s := open(t, c)
	live, ended, at := newSession("ann"), newSession("ann"), time.Now()
	for _, session := range []twtr.Session{live, ended} {
		require.NoError(t, s.CreateSession(t.Context(), session))
	}
	longer := live
	longer.TokenHash, longer.ExpiresAt = []byte("next"), time.Now().Add(60*24*time.Hour)
	require.NoError(t, s.RotateSession(t.Context(), live.TokenHash, longer))
	require.NoError(t, s.EndSession(t.Context(), ended.Family, at))
	const days = 24 * 60 * 60
	for _, row := range []struct {
		query    string
		args     []any
		min, max int
	}{
		{"SELECT TTL(username) FROM sessions WHERE family = ?", []any{gocql.UUID(live.Family)}, 60*days - 60, 60*days + 2},
		{"SELECT TTL(client) FROM sessions WHERE family = ?", []any{gocql.UUID(live.Family)}, 60*days - 60, 60*days + 2},
		{"SELECT TTL(ended) FROM sessions WHERE family = ?", []any{gocql.UUID(ended.Family)}, 90 * days, 91 * days},
		{"SELECT TTL(ended) FROM sessions_by_user WHERE username = 'ann' AND family = ?", []any{gocql.UUID(live.Family)}, 90 * days, 91 * days},
	} {
		var seconds int
		require.NoError(t, s.session.Query(row.query, row.args...).Scan(&seconds))
		require.GreaterOrEqual(t, seconds, row.min, row.query)
		require.LessOrEqual(t, seconds, row.max, row.query)
	}
}

func TestAnEndedSessionLeavesNothingButItsFamilyAndIsNotReadByTheList(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	s := open(t, c)
	session := newSession("ann")
	require.NoError(t, s.CreateSession(t.Context(), session))
	require.NoError(t, s.EndSession(t.Context(), session.Family, time.Now()))
	require.NoError(t, s.CreateSession(t.Context(), session), "a late retry")
	row := map[string]any{}
	require.NoError(t, s.session.Query("SELECT * FROM sessions WHERE family = ?", gocql.UUID(session.Family)).MapScan(row))
	for column, value := range row {
		switch column {
		case "family":
			require.Equal(t, gocql.UUID(session.Family), value)
		case "ended":
			require.Equal(t, true, value)
		default:
			require.Empty(t, value, column)
		}
	}
	families, err := list(t.Context(), s, scanFamily, 10, selectSessionsByUser, "ann", upperBound(uuid.Nil))
	require.NoError(t, err)
	require.Empty(t, families)
}

func TestASessionWhoseCreationStoppedHalfWayIsNotListed(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	s := open(t, c)
	whole, half := newSession("ann"), newSession("ann")
	require.NoError(t, s.CreateSession(t.Context(), whole))
	require.NoError(t, s.exec(t.Context(), insertSessionByUser, "ann", gocql.UUID(half.Family), twtr.TimeOf(half.Family).UnixMicro(), sessionTTL))
	for _, limit := range []int{1, 10} {
		sessions, err := s.SessionsByUser(t.Context(), "ann", uuid.Nil, limit)
		require.NoError(t, err)
		require.Len(t, sessions, 1)
		require.Equal(t, whole.Family, sessions[0].Family)
	}
}

func TestEndsOfSessionsExpire(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	s := open(t, c)
	// The last one that is remembered, and one that expires.
	kept, expired := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	at := time.Now().Add(-twtr.EndedSessionsKept)
	require.NoError(t, s.EndSession(t.Context(), kept, at))
	require.NoError(t, s.EndSession(t.Context(), expired, at.Add(-endsMargin)))
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, s.session.Query("SELECT count(*) FROM ended_sessions").Scan(&n))
		return n == 1
	}, 10*time.Second, 100*time.Millisecond)
	families, err := s.EndedSessions(t.Context(), at)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{kept}, families)
	_, err = s.Session(t.Context(), expired)
	require.Equal(t, twtr.NotFound, twtr.ErrorCode(err))
	require.NoError(t, s.CreateSession(t.Context(), twtr.Session{Family: expired, Username: "ann", TokenHash: []byte{1}, ExpiresAt: time.Now().Add(time.Hour)}))
	_, err = s.Session(t.Context(), expired)
	require.Equal(t, twtr.NotFound, twtr.ErrorCode(err), "it ended for good")
}
