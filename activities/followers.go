package activities

import (
	"context"

	"github.com/twtr-dev/twtr"
)

// Followers are the activities of task queue followers.
type Followers struct {
	Store twtr.FollowStore
}

// StoreFollow writes the edge from follower to followee, in both directions.
func (a *Followers) StoreFollow(ctx context.Context, f twtr.Follow) error {
	return a.Store.PutFollow(ctx, f)
}
