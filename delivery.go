package twtr

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// DeliveryState is the stage that a tweet's delivery has reached.
type DeliveryState string

// The states. A delivery that has no receipt yet is running.
const (
	DeliveryRunning    DeliveryState = "running"
	DeliveryComplete   DeliveryState = "complete"
	DeliveryRetracting DeliveryState = "retracting" // the tweet is deleted, and is being removed from feeds
	DeliveryRetracted  DeliveryState = "retracted"
)

// Stage orders the states: a later stage replaces an earlier one.
func (s DeliveryState) Stage() int {
	return slices.Index([]DeliveryState{DeliveryRunning, DeliveryComplete, DeliveryRetracting, DeliveryRetracted}, s)
}

// Receipt is the permanent record of a tweet's delivery. It is written when the delivery leaves [DeliveryRunning].
type Receipt struct {
	TweetID  uuid.UUID
	Username string // the author
	State    DeliveryState
	// Delivered counts the feed items that were written.
	Delivered int64
	// Failed counts the feeds that the store refused to write, in the delivery or, later, in the retraction.
	Failed int64
	// CompletedAt is when the tweet was delivered or, later, retracted; UTC, whole milliseconds, zero before.
	CompletedAt time.Time
}

// Progress is the progress of a walk over an author's followers: the heartbeat of its activity, from which a retry resumes,
// and the activity's result.
type Progress struct {
	// Left are the buckets that still have followers to visit; none when the walk is complete.
	Left []BucketCursor `json:"left,omitempty"`
	// Done counts the feeds written. A page of followers that a crash interrupts is written, and counted, again.
	Done int64 `json:"done"`
	// Failed counts the feeds that the store refused to write, and FailedReaders are the first of them, at most
	// [MaxFailedReaders].
	Failed        int64    `json:"failed,omitempty"`
	FailedReaders []string `json:"failedReaders,omitempty"`
	// Followers is about how many followers the author has, for people who watch; 0 if that is not known. Only a walk that begins,
	// and finds more than one page, reads it.
	Followers int64 `json:"followers,omitempty"`
}

// MaxFailedReaders bounds how many readers [Progress] names of those whose feeds could not be written.
const MaxFailedReaders = 5

// BucketCursor is a position among the followers of one bucket.
type BucketCursor struct {
	Bucket int `json:"bucket"`
	// After is the last follower visited; empty before the first.
	After string `json:"after,omitempty"`
}

// NewProgress returns the progress of a walk that has visited no follower.
func NewProgress() Progress {
	left := make([]BucketCursor, FollowerBuckets)
	for b := range left {
		left[b].Bucket = b
	}
	return Progress{Left: left}
}

// Audit is the result of comparing feeds with what they should hold.
type Audit struct {
	// Checked counts the feeds that were compared or, in the audit of one feed, the users whom its reader follows.
	Checked int64 `json:"checked"`
	// Missing counts the items that should be in a feed and are not.
	Missing int64 `json:"missing"`
	// Extra counts the items of deleted tweets, or of users whom the reader does not follow.
	Extra int64 `json:"extra"`
	// Failed counts those of both that a repair could not correct, because the store refuses them.
	Failed int64 `json:"failed,omitempty"`
}
