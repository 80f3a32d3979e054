package twtr

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// DeliveryState is how far a tweet's delivery has come.
type DeliveryState string

// The states. A delivery whose receipt isn't there yet is running.
const (
	DeliveryRunning    DeliveryState = "running"
	DeliveryComplete   DeliveryState = "complete"
	DeliveryRetracting DeliveryState = "retracting" // the tweet is deleted, and being taken out of the feeds
	DeliveryRetracted  DeliveryState = "retracted"
)

// Stage orders the states: one of a later stage replaces one of an earlier.
func (s DeliveryState) Stage() int {
	return slices.Index([]DeliveryState{DeliveryRunning, DeliveryComplete, DeliveryRetracting, DeliveryRetracted}, s)
}

// Receipt is what is known of a tweet's delivery, for as long as the store lasts. It is written when the delivery has come
// to another state than [DeliveryRunning].
type Receipt struct {
	TweetID  uuid.UUID
	Username string // the author
	State    DeliveryState
	// Delivered counts the feed items that were written.
	Delivered int64
	// CompletedAt is when the tweet was delivered or, later, retracted; UTC, whole milliseconds, zero before.
	CompletedAt time.Time
}

// Delivery says how far a tweet's way to its author's followers has come. It is what a delivery's heartbeats carry, and
// what it is resumed from after a crash.
type Delivery struct {
	// Left are the buckets that still have followers to deliver to; none when the delivery is complete.
	Left []BucketCursor `json:"left,omitempty"`
	// Delivered counts the feed items written. A page of followers that was cut short by a crash is written, and
	// counted, once more.
	Delivered int64 `json:"delivered"`
	// Deleted says that it ended because the tweet was deleted meanwhile.
	Deleted bool `json:"deleted,omitempty"`
	// Missing and Extra are, in an audit, as in [Audit]; Delivered then counts the feeds that were looked at.
	Missing int64 `json:"missing,omitempty"`
	Extra   int64 `json:"extra,omitempty"`
}

// Audit is what a comparison of feeds with what they should hold has found.
type Audit struct {
	// Looked counts the feeds that were looked at, or in the audit of one feed the users that its reader follows.
	Looked int64 `json:"looked"`
	// Missing counts the items that should be in a feed and are not.
	Missing int64 `json:"missing"`
	// Extra counts the items of deleted tweets, or of somebody whom the reader doesn't follow.
	Extra int64 `json:"extra"`
}

// BucketCursor is a place among the followers of one bucket.
type BucketCursor struct {
	Bucket int `json:"bucket"`
	// After is the last follower delivered to; empty before the first.
	After string `json:"after,omitempty"`
}

// NewDelivery is a delivery that has all its followers before it.
func NewDelivery() Delivery {
	left := make([]BucketCursor, FollowerBuckets)
	for b := range left {
		left[b].Bucket = b
	}
	return Delivery{Left: left}
}
