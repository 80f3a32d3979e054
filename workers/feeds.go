package workers

import (
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

// pagesInHand bounds how many pages of followers the deliveries of one process have in hand, the small and the large ones
// each: enough to keep the store busy, few enough that each is written well within its window.
const pagesInHand = 32

func registerFeeds(r worker.Registry, deps Dependencies) {
	// One activity each, minutes at most.
	r.RegisterWorkflowWithOptions(workflows.RebuildFeed, pinned)
	r.RegisterWorkflowWithOptions(workflows.AuditDelivery, pinned)
	r.RegisterActivity(&activities.Feeds{
		Tweets:     deps.Store,
		Deliveries: deps.Store,
		Follows:    deps.Store,
		Store:      deps.Store,
		Pages:      make(chan struct{}, pagesInHand),
		LargePages: make(chan struct{}, pagesInHand),
		Rate:       deps.FeedRate,
		MaxItems:   deps.MaxFeedItems,
	})
}
