package activities

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// Samples are the activities that choose what the scheduled workflows look at.
type Samples struct {
	Recent Recent
}

// Recent knows what was done lately.
type Recent interface {
	// Deliveries returns up to limit tweets, chosen at random, whose deliveries have completed since then.
	Deliveries(ctx context.Context, since time.Time, limit int) ([]uuid.UUID, error)
	// Buckets returns up to limit buckets, chosen at random, whose followers have changed since then.
	Buckets(ctx context.Context, since time.Time, limit int) ([]Bucket, error)
}

// SampleInput says since when, and how many.
type SampleInput struct {
	Since time.Time `json:"since"`
	Limit int       `json:"limit"`
}

// SampleDeliveries returns tweets that were delivered lately.
func (a *Samples) SampleDeliveries(ctx context.Context, in SampleInput) ([]uuid.UUID, error) {
	return a.Recent.Deliveries(ctx, in.Since, in.Limit)
}

// SampleBuckets returns buckets of followers that have changed lately.
func (a *Samples) SampleBuckets(ctx context.Context, in SampleInput) ([]Bucket, error) {
	return a.Recent.Buckets(ctx, in.Since, in.Limit)
}

// CheckedCount is the stored count of a bucket, and whether it differs from the number of followers.
type CheckedCount struct {
	Bucket
	Count   int   `json:"count"`
	Version int64 `json:"version"`
	Differs bool  `json:"differs"`
}

// CheckCount compares the count of a bucket with its followers. That they differ is no fault yet: a count comes after the change, of a
// large bucket half a minute after.
func (a *Followers) CheckCount(ctx context.Context, b Bucket) (CheckedCount, error) {
	stored, err := a.storedCount(ctx, b)
	if err != nil {
		return CheckedCount{}, err
	}
	n, err := a.Store.CountFollowers(ctx, b.Username, b.Bucket)
	return CheckedCount{Bucket: b, Count: stored.Count, Version: stored.Version, Differs: n != stored.Count}, err
}

// CorrectCount replaces a count that still differs, and reports whether it had to: not if the bucket was counted since the check, or its
// user is retired.
func (a *Followers) CorrectCount(ctx context.Context, c CheckedCount) (drifted bool, err error) {
	now, err := a.CheckCount(ctx, c.Bucket)
	if err != nil || !now.Differs || now.Version != c.Version {
		return false, err
	}
	drifted, err = a.replaceCount(ctx, twtr.FollowerCount{Username: c.Username, Bucket: c.Bucket.Bucket, Count: now.Count, Version: now.Version})
	if twtr.ErrorCode(err) == twtr.Conflict { // it is counted at this moment
		return false, nil
	}
	if drifted {
		a.Metrics.drift(ctx)
	}
	return drifted, err
}
