package activities_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

// crowded is a store in which everybody follows so many others, too.
type crowded struct {
	twtr.Store
	others []string
}

func (s *crowded) Followings(ctx context.Context, username, after string, limit int) ([]string, error) {
	names, err := s.Store.Followings(ctx, username, after, limit)
	names = append(names, s.others...)
	return names[:min(limit, len(names))], err
}

func TestAFollowThatWasOneTooManyStaysSoWhenItIsTriedAgain(t *testing.T) {
	s := &crowded{Store: newStore(t), others: slices.Repeat([]string{"star"}, twtr.MaxFollowings-1)}
	a := &activities.Followers{Store: s}
	at := time.Now()
	edge := func(followee string, after time.Duration) twtr.Follow {
		return twtr.Follow{Follower: "bob", Followee: followee, At: at.Add(after)}
	}
	require.NoError(t, a.StoreFollow(t.Context(), edge("eve", 0)))
	require.NoError(t, a.StoreFollow(t.Context(), edge("eve", 1)), "whom bob follows")
	require.Equal(t, twtr.Invalid, twtr.ErrorCode(a.StoreFollow(t.Context(), edge("ann", 0))))
	// As a try does that found others written meanwhile; then somebody makes room, and the same is tried again.
	require.NoError(t, s.DeleteFollow(t.Context(), edge("ann", 0)))
	require.NoError(t, a.RemoveFollow(t.Context(), edge("eve", time.Second)))
	require.Equal(t, twtr.Invalid, twtr.ErrorCode(a.StoreFollow(t.Context(), edge("ann", 0))))
	_, err := s.Follow(t.Context(), "bob", "ann")
	require.Equal(t, twtr.NotFound, twtr.ErrorCode(err))
	require.NoError(t, a.StoreFollow(t.Context(), edge("ann", time.Second)))
}

func TestARecountOfALargeBucketWaitsUntilItIsTold(t *testing.T) {
	s := newStore(t)
	a := &activities.Followers{Store: s}
	changed := time.Now()
	recount := func(now bool) (left bool, count int) {
		left, err := a.Recount(t.Context(), activities.RecountInput{Username: "ann", Bucket: 3, Changed: changed, Now: now})
		require.NoError(t, err)
		counts, err := s.FollowerCounts(t.Context(), "ann")
		require.NoError(t, err)
		require.Len(t, counts, 1)
		return left, counts[0].Count
	}
	hot(t, s, 2)
	left, count := recount(false)
	require.False(t, left)
	require.Equal(t, 2, count)

	kept := twtr.FollowerCount{Username: "ann", Bucket: 3, Count: 20_000, At: time.Now()}
	require.NoError(t, s.PutFollowerCount(t.Context(), kept))
	left, count = recount(false)
	require.True(t, left, "it is large")
	require.Equal(t, 20_000, count)
	left, count = recount(true)
	require.False(t, left)
	require.Equal(t, 2, count)

	kept.At = changed.Add(time.Minute)
	require.NoError(t, s.PutFollowerCount(t.Context(), kept))
	left, count = recount(true)
	require.False(t, left, "somebody has counted since")
	require.Equal(t, 20_000, count)
}
