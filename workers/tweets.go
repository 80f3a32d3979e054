package workers

import (
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

func registerTweets(r worker.Registry, deps Dependencies) {
	// Over in a second for nearly every author, and in minutes for one with millions of followers. What takes those is an
	// activity of the queue feeds; the workflow itself only waits, and can be left with the version it began on. If the store
	// is away it lasts as long as that does, and the old version must be kept until it is back.
	r.RegisterWorkflowWithOptions(workflows.PostTweet, pinned)
	r.RegisterWorkflowWithOptions(workflows.DeleteTweet, pinned)
	r.RegisterActivity(&activities.Tweets{Store: deps.Store, Deliveries: deps.Store})
}
