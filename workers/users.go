package workers

import (
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

func registerUsers(r worker.Registry, deps Dependencies) {
	// Over in a moment: nothing is gained by another version's going on with it.
	r.RegisterWorkflowWithOptions(workflows.CreateUser, pinned)
	r.RegisterActivity(&activities.Users{Store: deps.Store, Unseal: deps.Unseal})
}
