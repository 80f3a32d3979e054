package activities

import (
	"context"

	"github.com/twtr-dev/twtr"
)

// Tweets are the activities of task queue tweets.
type Tweets struct {
	Store      twtr.TweetStore
	Deliveries twtr.DeliveryStore
	Erasure    twtr.ErasureStore
	Histories  Histories
	Steps      Steps
	Metrics    *Metrics // may be nil
}

// StoreTweet makes the tweet durable and visible in its author's list.
func (a *Tweets) StoreTweet(ctx context.Context, t twtr.Tweet) error {
	return a.Store.PutTweet(ctx, t)
}

// DeleteTweet removes the tweet for good. It writes the receipt first, so that the tweet's author is known at any time.
func (a *Tweets) DeleteTweet(ctx context.Context, t twtr.Tweet) error {
	receipt := twtr.Receipt{TweetID: t.ID, Username: t.Username, State: twtr.DeliveryRetracting}
	if err := a.Deliveries.PutReceipt(ctx, receipt); err != nil {
		return err
	}
	return a.Store.DeleteTweet(ctx, t)
}

// StoreReceipt writes the state of a delivery.
func (a *Tweets) StoreReceipt(ctx context.Context, r twtr.Receipt) error {
	err := a.Deliveries.PutReceipt(ctx, r)
	if err == nil && r.State == twtr.DeliveryComplete {
		a.Metrics.complete(ctx, r)
	}
	return err
}
