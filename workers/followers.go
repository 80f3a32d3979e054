package workers

import (
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

func registerFollowers(r worker.Registry, deps Dependencies) {
	r.RegisterWorkflow(workflows.Follow)
	r.RegisterWorkflow(workflows.Unfollow)
	r.RegisterActivity(&activities.Followers{Store: deps.Store})
}
