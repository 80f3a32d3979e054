package workers

import (
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

func registerTweets(r worker.Registry, deps Dependencies) {
	// Pinned: they take a second, and minutes for millions of followers, in activities of the queue feeds for which they only
	// wait. While the store is unavailable they take longer, and workers of their version must be kept.
	r.RegisterWorkflowWithOptions(workflows.PostTweet, pinned)
	r.RegisterWorkflowWithOptions(workflows.DeleteTweet, pinned)
	r.RegisterActivity(deps.events())
	r.RegisterActivity(&activities.Tweets{
		Store: deps.Store, Deliveries: deps.Store, Erasure: deps.Store,
		Histories: deps.histories, Steps: deps.steps, Metrics: deps.Metrics,
	})
}
