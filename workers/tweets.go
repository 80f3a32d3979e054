package workers

import (
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

func registerTweets(r worker.Registry, deps Dependencies) {
	r.RegisterWorkflow(workflows.PostTweet)
	r.RegisterWorkflow(workflows.DeleteTweet)
	r.RegisterActivity(&activities.Tweets{Store: deps.Store, Deliveries: deps.Store})
}
