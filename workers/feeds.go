package workers

import (
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

// pagesInHand bounds how many pages of followers the deliveries of one process have in hand: enough to keep the store
// busy, few enough that each is written well within its window.
const pagesInHand = 32

func registerFeeds(r worker.Registry, deps Dependencies) {
	r.RegisterWorkflow(workflows.RebuildFeed)
	r.RegisterWorkflow(workflows.AuditDelivery)
	r.RegisterActivity(&activities.Feeds{
		Tweets:     deps.Store,
		Deliveries: deps.Store,
		Follows:    deps.Store,
		Store:      deps.Store,
		Pages:      make(chan struct{}, pagesInHand),
		MaxItems:   deps.MaxFeedItems,
	})
}
