package activities

import (
	"context"

	"github.com/twtr-dev/twtr"
)

// Tweets are the activities of task queue tweets.
type Tweets struct {
	Store twtr.TweetStore
}

// StoreTweet makes the tweet durable and visible among its author's.
func (a *Tweets) StoreTweet(ctx context.Context, t twtr.Tweet) error {
	return a.Store.PutTweet(ctx, t)
}
