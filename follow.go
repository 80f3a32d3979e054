package twtr

import (
	"hash/fnv"
	"time"
)

// Follow is the edge from a follower to the one they follow.
type Follow struct {
	Follower string
	Followee string
	// At is when the follower said so, UTC, whole microseconds. Of two sayings about one pair the later one counts,
	// in whatever order they reach the store.
	At time.Time
}

// Validate returns an [Invalid] error that names the rule that the follow breaks.
func (f Follow) Validate() error {
	if err := ValidateUsername("followingUsername", f.Followee); err != nil {
		return err
	}
	if f.Followee == f.Follower {
		return Errorf(Invalid, "followingUsername must not be your own name")
	}
	return nil
}

// MaxFollowings is how many users one may follow.
const MaxFollowings = 5000

// FollowerCount is how many followers a user has in one bucket, as counted then. A count is never changed by one: a change
// that is tried again would count twice.
type FollowerCount struct {
	Username string
	Bucket   int
	Count    int
	// At is when the counting began, UTC, whole microseconds: every edge that was there then is counted.
	At time.Time
}

// FollowerBuckets is into how many partitions the followers of one user are spread, so that no partition grows with
// fame: at 10 million followers each has some 600,000 short rows, well under Cassandra's advised 100 MB.
// It is part of the stored data: it can't be changed without moving every row.
const FollowerBuckets = 16

// FollowerBucket is the bucket, from 0 to [FollowerBuckets]-1, that a follower is kept in.
func FollowerBucket(follower string) int {
	h := fnv.New32a()
	h.Write([]byte(follower))
	return int(h.Sum32() % FollowerBuckets)
}
