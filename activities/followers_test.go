package activities_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/internal/telemetry"
)

// requests notes the counts that are requested.
type requests struct {
	mu  sync.Mutex
	all []activities.Bucket
}

func (r *requests) RequestCount(_ context.Context, b activities.Bucket) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, b)
	return nil
}

func storedCount(t *testing.T, s twtr.Store) twtr.FollowerCount {
	t.Helper()
	counts, err := s.FollowerCounts(t.Context(), "ann")
	require.NoError(t, err)
	require.Len(t, counts, 1)
	return counts[0]
}

func TestAnEdgeIsReadWithTheTimeOfItsLastChange(t *testing.T) {
	s := newStore(t)
	a := &activities.Followers{Store: s}
	pair, at := activities.Pair{Follower: "bob", Followee: "ann"}, time.Now().UTC().Truncate(time.Microsecond)
	read := func(want activities.Edge) {
		t.Helper()
		got, err := a.ReadEdge(t.Context(), pair)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	read(activities.Edge{})
	edge := twtr.Follow{Follower: "bob", Followee: "ann", At: at}
	signUp(t, s, "ann", "bob")
	require.NoError(t, a.StoreFollow(t.Context(), edge))
	read(activities.Edge{Follows: true, At: at, Followings: 1})
	edge.At = at.Add(time.Second)
	require.NoError(t, a.RemoveFollow(t.Context(), edge))
	read(activities.Edge{At: edge.At})
}

func TestNoOneFollowsOrIsFollowedByARetiredUserAndNoneOfTheirsAreCounted(t *testing.T) {
	s := newStore(t)
	a := &activities.Followers{Store: s, Counts: &requests{}}
	signUp(t, s, "ann", "bob")
	require.NoError(t, s.RetireUser(t.Context(), "ann"))
	edges := []twtr.Follow{{Follower: "bob", Followee: "ann", At: time.Now()}, {Follower: "ann", Followee: "bob", At: time.Now()}}
	for _, edge := range edges {
		require.EqualError(t, a.StoreFollow(t.Context(), edge), "there is no user ann")
		_, err := s.Follow(t.Context(), edge.Follower, edge.Followee)
		require.Equal(t, twtr.NotFound, twtr.ErrorCode(err))

		require.NoError(t, s.PutFollow(t.Context(), edge))
		require.NoError(t, a.RemoveFollow(t.Context(), edge))
		_, err = s.Follow(t.Context(), edge.Follower, edge.Followee)
		require.Equal(t, twtr.NotFound, twtr.ErrorCode(err))
	}
	require.NoError(t, a.Recount(t.Context(), activities.Bucket{Username: "ann", Bucket: 3}))
	require.NoError(t, a.Count(t.Context(), activities.Bucket{Username: "ann", Bucket: 3}))
	counts, err := s.FollowerCounts(t.Context(), "ann")
	require.NoError(t, err)
	require.Empty(t, counts)
}

func TestASmallBucketIsCountedAtOnceAndALargeOneOnRequest(t *testing.T) {
	s, r := newStore(t), &requests{}
	a := &activities.Followers{Store: s, Counts: r}
	signUp(t, s, "ann")
	bucket := activities.Bucket{Username: "ann", Bucket: 3}
	hot(t, s, 2)
	require.NoError(t, a.Recount(t.Context(), bucket))
	require.Equal(t, twtr.FollowerCount{Username: "ann", Bucket: 3, Count: 2, Version: 1}, storedCount(t, s))
	require.Empty(t, r.all)

	require.NoError(t, s.PutFollowerCount(t.Context(), twtr.FollowerCount{Username: "ann", Bucket: 3, Count: 20_000, Version: 2}))
	require.NoError(t, a.Recount(t.Context(), bucket))
	require.Equal(t, 20_000, storedCount(t, s).Count)
	require.Equal(t, []activities.Bucket{bucket}, r.all)
	require.NoError(t, a.Count(t.Context(), bucket))
	require.Equal(t, twtr.FollowerCount{Username: "ann", Bucket: 3, Count: 2, Version: 3}, storedCount(t, s))
}

// overtaken is a store in which another worker counts, with any clock, while this one does.
type overtaken struct {
	twtr.Store
	meanwhile func()
}

func (s *overtaken) CountFollowers(ctx context.Context, username string, bucket int) (int, error) {
	n, err := s.Store.CountFollowers(ctx, username, bucket)
	if meanwhile := s.meanwhile; meanwhile != nil {
		s.meanwhile = nil
		meanwhile()
	}
	return n, err
}

func TestACountThatHasDriftedIsCorrectedAndShowsInTheMetrics(t *testing.T) {
	s := newStore(t)
	all, err := telemetry.New("v1")
	require.NoError(t, err)
	metrics, err := activities.NewMetrics(all.Provider, "sqlite")
	require.NoError(t, err)
	a := &activities.Followers{Store: s, Metrics: metrics}
	signUp(t, s, "ann")
	hot(t, s, 2)
	requireCorrected := func(want bool, total int) {
		t.Helper()
		checked, err := a.CheckCount(t.Context(), activities.Bucket{Username: "ann", Bucket: 3})
		require.NoError(t, err)
		corrected, err := a.CorrectCount(t.Context(), checked)
		require.NoError(t, err)
		require.Equal(t, want, corrected)
		w := httptest.NewRecorder()
		all.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		require.Contains(t, w.Body.String(), fmt.Sprintf("\ntwtr_follows_counts_drifted_total %d\n", total))
	}
	requireCorrected(true, 1)
	require.Equal(t, 2, storedCount(t, s).Count)
	requireCorrected(false, 1)
	require.NoError(t, s.PutFollowerCount(t.Context(), twtr.FollowerCount{Username: "ann", Bucket: 3, Count: 20, Version: 2}))
	require.NoError(t, s.RetireUser(t.Context(), "ann"))
	requireCorrected(false, 1) // an erasure removes the followers one after the other
	require.Equal(t, 20, storedCount(t, s).Count)
}

func TestAnOlderCountNeverReplacesANewerOne(t *testing.T) {
	s, r := &overtaken{Store: newStore(t)}, &requests{}
	a := &activities.Followers{Store: s, Counts: r}
	signUp(t, s, "ann")
	bucket := activities.Bucket{Username: "ann", Bucket: 3}
	more := func(n int) func() {
		return func() {
			hot(t, s, n)
			require.NoError(t, a.Recount(t.Context(), bucket))
		}
	}
	hot(t, s, 2)
	s.meanwhile = more(5)
	require.NoError(t, a.Recount(t.Context(), bucket))
	require.Equal(t, 5, storedCount(t, s).Count)
	require.Equal(t, []activities.Bucket{bucket}, r.all, "the one that was overtaken is not sure that its change is counted")

	s.meanwhile = more(7)
	require.NoError(t, a.Count(t.Context(), bucket))
	require.Equal(t, 7, storedCount(t, s).Count)
}
