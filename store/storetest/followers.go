package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

// followersOf reads all buckets to their ends, in pages, and checks that each name is in its bucket and in order.
func followersOf(t *testing.T, s twtr.Store, username string, limit int) []string {
	t.Helper()
	var all []string
	for bucket := range twtr.FollowerBuckets {
		inBucket := names(t, limit, func(after string) ([]string, error) {
			return s.Followers(t.Context(), username, bucket, after, limit)
		})
		for _, follower := range inBucket {
			require.Equal(t, bucket, twtr.FollowerBucket(follower))
		}
		all = append(all, inBucket...)
	}
	slices.Sort(all)
	return all
}

func followingsOf(t *testing.T, s twtr.Store, username string, limit int) []string {
	t.Helper()
	return names(t, limit, func(after string) ([]string, error) { return s.Followings(t.Context(), username, after, limit) })
}

func names(t *testing.T, limit int, read func(after string) ([]string, error)) []string {
	t.Helper()
	var all []string
	for after := ""; ; {
		page, err := read(after)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), limit)
		all = append(all, page...)
		if len(page) < limit {
			require.True(t, slices.IsSorted(all), "in the order of their bytes")
			return all
		}
		after = page[len(page)-1]
	}
}

// requireEdge asserts that the edge is there in both directions, or in none.
func requireEdge(t *testing.T, s twtr.Store, f twtr.Follow, there bool) {
	t.Helper()
	require.Equal(t, there, slices.Contains(followersOf(t, s, f.Followee, 100), f.Follower), "follower")
	require.Equal(t, there, slices.Contains(followingsOf(t, s, f.Follower, 100), f.Followee), "following")
}

var followTests = []test{
	{"the first followers and those that are left are all followers, each once", func(t *testing.T, s twtr.Store) {
		for _, n := range []int{0, 1, 5, 40, 300} {
			followee, at := name(), now()
			requireAll(t, 16, n+1, func(i int) error { // the last one does not stay
				return s.PutFollow(t.Context(), twtr.Follow{Follower: fmt.Sprintf("f%d", i), Followee: followee, At: at})
			})
			require.NoError(t, s.DeleteFollow(t.Context(), twtr.Follow{Follower: fmt.Sprintf("f%d", n), Followee: followee, At: at}))
			want := followersOf(t, s, followee, 1000)
			require.Len(t, want, n)
			for _, limit := range []int{1, 2, 15, 16, 17, 40, 100, 1000, 5000} {
				all, left, err := s.FirstFollowers(t.Context(), followee, limit)
				require.NoError(t, err)
				require.LessOrEqual(t, len(all), limit)
				if limit >= twtr.FollowerBuckets*(n+1) {
					require.Empty(t, left, "%d of %d", limit, n)
				}
				order := map[int][]string{}
				for _, follower := range all {
					bucket := twtr.FollowerBucket(follower)
					order[bucket] = append(order[bucket], follower)
				}
				for _, inBucket := range order {
					require.True(t, slices.IsSorted(inBucket), "in the order of their bytes")
				}
				for i, cursor := range left {
					require.True(t, i == 0 || left[i-1].Bucket < cursor.Bucket, "each bucket once")
					rest, err := s.Followers(t.Context(), followee, cursor.Bucket, cursor.After, 1000)
					require.NoError(t, err)
					all = append(all, rest...)
				}
				slices.Sort(all)
				require.Equal(t, want, all, "%d of %d", limit, n)
			}
		}
	}},
	{"a new user has no followers, and follows no one", func(t *testing.T, s twtr.Store) {
		n, err := s.CountFollowings(t.Context(), name())
		require.NoError(t, err)
		require.Zero(t, n)
		require.Empty(t, followersOf(t, s, name(), 10))
		require.Empty(t, followingsOf(t, s, name(), 10))
	}},
	{"the later of a put and a removal wins, in whatever order they come", func(t *testing.T, s twtr.Store) {
		f := twtr.Follow{Follower: name(), Followee: name(), At: now()}
		at := func(d time.Duration) twtr.Follow {
			f := f
			f.At = f.At.Add(d)
			return f
		}
		put := func(d time.Duration) { require.NoError(t, s.PutFollow(t.Context(), at(d))) }
		remove := func(d time.Duration) { require.NoError(t, s.DeleteFollow(t.Context(), at(d))) }

		put(0)
		put(0)
		requireEdge(t, s, f, true)
		remove(-time.Microsecond)
		requireEdge(t, s, f, true)
		remove(0) // at the same time the removal wins
		requireEdge(t, s, f, false)
		put(0)
		put(-time.Second)
		requireEdge(t, s, f, false)
		put(time.Microsecond)
		requireEdge(t, s, f, true)
		remove(time.Second)
		remove(time.Second)
		put(2 * time.Microsecond)
		requireEdge(t, s, f, false)
		put(2 * time.Second)
		requireEdge(t, s, f, true)
	}},
	{"a time counts to the microsecond", func(t *testing.T, s twtr.Store) {
		f := twtr.Follow{Follower: name(), Followee: name(), At: now().Add(400 * time.Nanosecond)}
		require.NoError(t, s.PutFollow(t.Context(), f))
		f.At = f.At.Truncate(time.Microsecond)
		require.NoError(t, s.DeleteFollow(t.Context(), f))
		requireEdge(t, s, f, false)
	}},
	{"an edge has a direction, and names in their case", func(t *testing.T, s twtr.Store) {
		upper, lower := inCases()
		f := twtr.Follow{Follower: upper, Followee: lower, At: now()}
		back := twtr.Follow{Follower: lower, Followee: upper, At: now()}
		require.NoError(t, s.PutFollow(t.Context(), f))
		requireEdge(t, s, f, true)
		requireEdge(t, s, back, false)
		require.NoError(t, s.DeleteFollow(t.Context(), back))
		requireEdge(t, s, f, true)
	}},
	{"names come in the order of their bytes", func(t *testing.T, s twtr.Store) {
		u := name()
		var want []string
		for _, first := range "-09AMZ_amz" { // in the order of their bytes
			for n := range 20 {
				other := fmt.Sprintf("%c%s%02d", first, u[:8], n)
				want = append(want, other)
				require.NoError(t, s.PutFollow(t.Context(), twtr.Follow{Follower: other, Followee: u, At: now()}))
				require.NoError(t, s.PutFollow(t.Context(), twtr.Follow{Follower: u, Followee: other, At: now()}))
			}
		}
		require.Equal(t, want, followersOf(t, s, u, 3))
		require.Equal(t, want, followingsOf(t, s, u, 3))
		require.Equal(t, want, followingsOf(t, s, u, 1000))
	}},
	{"removals leave no gap in the pages", func(t *testing.T, s twtr.Store) {
		follower := name()
		var want []string
		for n := range 60 {
			f := twtr.Follow{Follower: follower, Followee: fmt.Sprintf("%s-%02d", follower[:8], n), At: now()}
			require.NoError(t, s.PutFollow(t.Context(), f))
			if n%3 > 0 {
				require.NoError(t, s.DeleteFollow(t.Context(), f))
			} else {
				want = append(want, f.Followee)
			}
		}
		require.Equal(t, want, followingsOf(t, s, follower, 4))
	}},
	{"a removal of what was never there keeps an older put dead", func(t *testing.T, s twtr.Store) {
		f := twtr.Follow{Follower: name(), Followee: name(), At: now()}
		require.NoError(t, s.DeleteFollow(t.Context(), f))
		for _, d := range []time.Duration{-time.Second, 0} {
			older := f
			older.At = f.At.Add(d)
			require.NoError(t, s.PutFollow(t.Context(), older))
			requireEdge(t, s, f, false)
		}
		f.At = f.At.Add(time.Microsecond)
		require.NoError(t, s.PutFollow(t.Context(), f))
		requireEdge(t, s, f, true)
	}},
	{"10,000 followers are paged each once", func(t *testing.T, s twtr.Store) {
		followee, at := name(), now()
		want := make([]string, 10_000)
		for i := range want {
			want[i] = fmt.Sprintf("%s-%05d", followee[:8], i)
		}
		const writers = 16
		for _, err := range race(writers, func(w int) error {
			for i := w; i < len(want); i += writers {
				if err := s.PutFollow(t.Context(), twtr.Follow{Follower: want[i], Followee: followee, At: at}); err != nil {
					return err
				}
			}
			return nil
		}) {
			require.NoError(t, err)
		}
		require.Equal(t, want, followersOf(t, s, followee, 70))
	}},
	{"followings are paged each once", func(t *testing.T, s twtr.Store) {
		follower := name()
		var want []string
		for range 100 {
			f := twtr.Follow{Follower: follower, Followee: name(), At: now()}
			require.NoError(t, s.PutFollow(t.Context(), f))
			want = append(want, f.Followee)
		}
		slices.Sort(want)
		require.Equal(t, want, followingsOf(t, s, follower, 7))
		require.Equal(t, want, followingsOf(t, s, follower, 50))
	}},
	{"an edge has the time of its newest put, to the microsecond", func(t *testing.T, s twtr.Store) {
		f := twtr.Follow{Follower: name(), Followee: name(), At: now().Add(123 * time.Microsecond)}
		_, err := s.Follow(t.Context(), f.Follower, f.Followee)
		requireCode(t, twtr.NotFound, err)
		later := f
		later.At = f.At.Add(time.Microsecond)
		for _, put := range []twtr.Follow{f, later, f} {
			require.NoError(t, s.PutFollow(t.Context(), put))
		}
		got, err := s.Follow(t.Context(), f.Follower, f.Followee)
		require.NoError(t, err)
		require.Equal(t, later, got)
		_, err = s.Follow(t.Context(), f.Followee, f.Follower)
		requireCode(t, twtr.NotFound, err)
		require.NoError(t, s.DeleteFollow(t.Context(), later))
		_, err = s.Follow(t.Context(), f.Follower, f.Followee)
		requireCode(t, twtr.NotFound, err)
	}},
	{"the followers in a bucket are counted, however many", func(t *testing.T, s twtr.Store) {
		followee, bucket, n := name(), 5, 0
		var in []string
		for i := 0; len(in) < 5200; i++ {
			if follower := fmt.Sprintf("%s-%d", followee[:6], i); twtr.FollowerBucket(follower) == bucket {
				in = append(in, follower)
			}
		}
		for _, err := range race(16, func(k int) error {
			for i := k; i < len(in); i += 16 {
				if err := s.PutFollow(t.Context(), twtr.Follow{Follower: in[i], Followee: followee, At: now()}); err != nil {
					return err
				}
			}
			return nil
		}) {
			require.NoError(t, err)
		}
		require.NoError(t, s.DeleteFollow(t.Context(), twtr.Follow{Follower: in[7], Followee: followee, At: now().Add(time.Second)}))
		n, err := s.CountFollowers(t.Context(), followee, bucket)
		require.NoError(t, err)
		require.Equal(t, len(in)-1, n)
		n, err = s.CountFollowers(t.Context(), followee, bucket+1)
		require.NoError(t, err)
		require.Zero(t, n)
	}},
	{"the followings of a user are counted", func(t *testing.T, s twtr.Store) {
		f := twtr.Follow{Follower: name(), At: now()}
		for n := range 40 {
			f.Followee = name()
			require.NoError(t, s.PutFollow(t.Context(), f))
			if n%4 == 0 {
				require.NoError(t, s.DeleteFollow(t.Context(), f))
			}
		}
		n, err := s.CountFollowings(t.Context(), f.Follower)
		require.NoError(t, err)
		require.Equal(t, 30, n)
	}},
	{"an edge was changed at the time of its newest put or removal, in whatever order they come", func(t *testing.T, s twtr.Store) {
		type change struct {
			remove bool
			d      time.Duration
		}
		at := now()
		for _, changes := range [][]change{
			{{false, 0}},
			{{true, 0}}, // of what was never there
			{{false, 0}, {true, time.Microsecond}},
			{{true, time.Microsecond}, {false, 0}},
			{{true, 0}, {false, time.Microsecond}},
			{{false, time.Microsecond}, {true, 0}},
			{{false, 0}, {true, 0}},
			{{false, 0}, {true, 2 * time.Second}, {false, time.Second}, {true, time.Second}},
			{{true, 3 * time.Second}, {false, 4 * time.Second}, {true, 2 * time.Second}, {false, 0}},
		} {
			f := twtr.Follow{Follower: name(), Followee: name()}
			got, err := s.FollowChanged(t.Context(), f.Follower, f.Followee)
			require.NoError(t, err)
			require.Equal(t, twtr.Follow{}, got)
			for _, c := range slices.Concat(changes, changes) {
				f.At, f.Since = at.Add(c.d), idAt(at.Add(c.d), 1)
				f.Requests = []string{fmt.Sprint(c), "the one before"}
				if c.remove {
					require.NoError(t, s.DeleteFollow(t.Context(), f))
				} else {
					require.NoError(t, s.PutFollow(t.Context(), f))
				}
			}
			newest := slices.MaxFunc(changes, func(a, b change) int { return int(a.d - b.d) })
			got, err = s.FollowChanged(t.Context(), f.Follower, f.Followee)
			require.NoError(t, err)
			// At the same time the removal wins.
			for _, c := range changes {
				if c.d == newest.d && c.remove {
					newest = c
				}
			}
			f.At, f.Since, f.Requests = at.Add(newest.d), idAt(at.Add(newest.d), 1), []string{fmt.Sprint(newest), "the one before"}
			require.Equal(t, twtr.Follow{At: f.At, Requests: f.Requests}, got, "%v", changes)
			stored, err := s.Follow(t.Context(), f.Follower, f.Followee)
			if newest.remove {
				requireCode(t, twtr.NotFound, err)
			} else {
				require.NoError(t, err)
				require.Equal(t, f, stored, "%v", changes)
			}
			got, err = s.FollowChanged(t.Context(), f.Followee, f.Follower)
			require.NoError(t, err)
			require.Equal(t, twtr.Follow{}, got)
		}
	}},
	{"a count replaces the one of the version before it, and no other", func(t *testing.T, s twtr.Store) {
		username := name()
		put := func(bucket, count int, version int64) error {
			return s.PutFollowerCount(t.Context(), twtr.FollowerCount{Username: username, Bucket: bucket, Count: count, Version: version})
		}
		requireCode(t, twtr.Conflict, put(2, 5, 2)) // there is no version 1
		require.NoError(t, put(15, 300, 1))
		for range 2 { // the same again changes nothing
			require.NoError(t, put(2, 500, 1))
			requireCode(t, twtr.Conflict, put(2, 501, 1))
		}
		for range 2 {
			require.NoError(t, put(2, 0, 2))
			requireCode(t, twtr.Conflict, put(2, 3, 2))
			requireCode(t, twtr.Conflict, put(2, 500, 1)) // too late
			requireCode(t, twtr.Conflict, put(2, 3, 4))
		}
		require.NoError(t, put(0, 7, 1))
		require.NoError(t, put(2, 9, 3))
		got, err := s.FollowerCounts(t.Context(), username)
		require.NoError(t, err)
		require.Equal(t, []twtr.FollowerCount{
			{Username: username, Bucket: 0, Count: 7, Version: 1},
			{Username: username, Bucket: 2, Count: 9, Version: 3},
			{Username: username, Bucket: 15, Count: 300, Version: 1},
		}, got)
		got, err = s.FollowerCounts(t.Context(), name())
		require.NoError(t, err)
		require.Empty(t, got)
	}},
	{"of concurrent counts of one version one is stored", func(t *testing.T, s twtr.Store) {
		username := name()
		for version := int64(1); version <= 2; version++ {
			winner := requireOneWinner(t, race(5, func(i int) error {
				return s.PutFollowerCount(t.Context(), twtr.FollowerCount{Username: username, Bucket: 1, Count: i, Version: version})
			}))
			got, err := s.FollowerCounts(t.Context(), username)
			require.NoError(t, err)
			require.Equal(t, []twtr.FollowerCount{{Username: username, Bucket: 1, Count: winner, Version: version}}, got)
		}
	}},
}
