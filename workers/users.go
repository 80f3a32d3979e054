package workers

import (
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

func registerUsers(r worker.Registry, deps Dependencies) {
	// Pinned: they take a moment, so a newer version need not continue them.
	r.RegisterWorkflowWithOptions(workflows.CreateUser, pinned)
	r.RegisterWorkflowWithOptions(workflows.ChangePassword, pinned)
	// An erasure takes hours if there is much to erase.
	r.RegisterWorkflowWithOptions(workflows.DeleteUser, autoUpgrade)
	r.RegisterActivity(deps.events())
	r.RegisterActivity(&activities.Users{Store: deps.Store, Unseal: deps.Unseal, NameHold: deps.NameHold})
}
