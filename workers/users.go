package workers

import (
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

func registerUsers(r worker.Registry, deps Dependencies) {
	r.RegisterWorkflow(workflows.CreateUser)
	r.RegisterActivity(&activities.Users{Store: deps.Store, Unseal: deps.Unseal})
}
