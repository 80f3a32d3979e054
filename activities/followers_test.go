package activities_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

func TestAFollowThatWasOneTooManyStaysSoWhenItIsTriedAgain(t *testing.T) {
	s := newStore(t)
	a := &activities.Followers{Store: s}
	at := time.Now()
	for i := range twtr.MaxFollowings {
		f := twtr.Follow{Follower: "bob", Followee: fmt.Sprintf("star-%d", i), At: at}
		require.NoError(t, s.PutFollow(t.Context(), f))
	}
	require.NoError(t, a.StoreFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "star-0", At: at.Add(time.Second)}), "whom bob follows")
	ann := twtr.Follow{Follower: "bob", Followee: "ann", At: at.Add(time.Second)}
	require.Equal(t, twtr.Invalid, twtr.ErrorCode(a.StoreFollow(t.Context(), ann)))
	// As a try does that found others written meanwhile; then somebody makes room, and the same is tried again.
	require.NoError(t, s.DeleteFollow(t.Context(), ann))
	require.NoError(t, a.RemoveFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "star-1", At: at.Add(time.Second)}))
	require.Equal(t, twtr.Invalid, twtr.ErrorCode(a.StoreFollow(t.Context(), ann)))
	_, err := s.Follow(t.Context(), "bob", "ann")
	require.Equal(t, twtr.NotFound, twtr.ErrorCode(err))
	ann.At = ann.At.Add(time.Second)
	require.NoError(t, a.StoreFollow(t.Context(), ann))
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
