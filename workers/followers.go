package workers

import (
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workflows"
)

func registerFollowers(r worker.Registry, deps Dependencies) {
	// A run takes seconds, but each new wish of the pair joins it and prolongs it, up to the 2,000 updates that the server
	// allows: pinned, one busy pair would keep an old version from draining for hours. The price is that a change of this
	// workflow must let open runs go on (workflow.GetVersion), as without versioning; the recorded histories check it.
	r.RegisterWorkflowWithOptions(workflows.Follow, autoUpgrade)
	r.RegisterWorkflowWithOptions(workflows.Unfollow, autoUpgrade)
	r.RegisterActivity(&activities.Followers{Store: deps.Store})
}
