package workers

import (
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

func registerUsers(r worker.Registry, deps Dependencies) {
	// Pinned: it takes a moment, so a newer version need not continue it.
	r.RegisterWorkflowWithOptions(workflows.CreateUser, pinned)
	r.RegisterActivity(&activities.Users{Store: deps.Store, Unseal: deps.Unseal})
}
