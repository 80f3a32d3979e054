package workers

import (
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

func registerFeeds(r worker.Registry, deps Dependencies) {
	// Pinned: each runs one activity, which takes minutes at most.
	r.RegisterWorkflowWithOptions(workflows.RebuildFeed, pinned)
	r.RegisterWorkflowWithOptions(workflows.AuditDelivery, pinned)
	// Pinned: it audits a hundred deliveries.
	r.RegisterWorkflowWithOptions(workflows.AuditRecent, pinned)
	deps.Feeds.Metrics = deps.Metrics
	r.RegisterActivity(activities.NewFeeds(deps.Store, deps.Feeds))
	r.RegisterActivity(&activities.Samples{Recent: deps.recent})
}
