package twtr

// Delivery says how far a tweet's way to its author's followers has come. It is what a delivery's heartbeats carry, and
// what it is resumed from after a crash.
type Delivery struct {
	// Left are the buckets that still have followers to deliver to; none when the delivery is complete.
	Left []BucketCursor `json:"left,omitempty"`
	// Delivered counts the feed items written. A page of followers that was cut short by a crash is written, and
	// counted, once more.
	Delivered int64 `json:"delivered"`
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
