package twtr

import (
	"hash/fnv"
	"time"

	"github.com/google/uuid"
)

// Follow is the edge from a follower to the user they follow.
type Follow struct {
	Follower string `json:"follower"`
	Followee string `json:"followee"`
	// At orders the changes of one edge, UTC, whole microseconds: the change with the latest At wins, in whatever order
	// they reach the store.
	At time.Time `json:"at"`
	// Since is the id of the oldest tweet that the follower's feed must have: the last of the followee's newest
	// [BackfillTweets] at the time of the follow, or [uuid.Nil] if they had fewer. It means nothing in a removal.
	Since uuid.UUID `json:"since"`
	// Requests are the ids of the requests that made the last changes, the newest first, at most [KeptRequests].
	Requests []string `json:"requests,omitempty"`
}

// KeptRequests is how many requests an edge remembers. A request that is sent again, because its answer was lost, is recognized
// unless so many others have changed the edge since.
const KeptRequests = 20

// Validate returns an [Invalid] error that names the rule that the follow breaks.
func (f Follow) Validate() error {
	if err := ValidateUsername("followingUsername", f.Followee); err != nil {
		return err
	}
	if f.Followee == f.Follower {
		return InvalidField("followingUsername", "must not be your own name")
	}
	return nil
}

// MaxFollowings is how many users one user may follow. It is checked before a follow is written, so requests for different
// users that arrive at the same time may together exceed it by as many as they are.
const MaxFollowings = 5000

// FollowerCount is the number of followers that a user has in one bucket. Counts are recomputed, never incremented: a
// retried increment would count twice.
type FollowerCount struct {
	Username string
	Bucket   int
	Count    int
	// Version is 1 for the bucket's first count, and 1 more for each count that replaces another.
	Version int64
}

// CountOf returns a user's number of followers: the sum of the counts of their buckets.
func CountOf(counts []FollowerCount) (n int) {
	for _, bucket := range counts {
		n += bucket.Count
	}
	return n
}

// FollowerBuckets is the number of partitions that the followers of one user are spread over, so that no partition grows
// with fame: at 10 million followers each has some 600,000 short rows, well under Cassandra's advised 100 MB.
// It is part of the stored data: it can't be changed without moving every row.
const FollowerBuckets = 16

// FollowerBucket returns the bucket, from 0 to [FollowerBuckets]-1, that a follower is kept in. It never changes for a name.
func FollowerBucket(follower string) int {
	h := fnv.New32a()
	h.Write([]byte(follower))
	return int(h.Sum32() % FollowerBuckets)
}
