// Package workers says what each domain's task queue runs: a file a domain, and the list of all.
package workers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/internal/crossing"
	"github.com/twtr-dev/twtr/workflows"
)

// Dependencies are what the activities need.
type Dependencies struct {
	Store twtr.Store
	// Unseal opens a sealed user; only the domain users needs it.
	Unseal func(sealed []byte) (twtr.User, error)
	// MaxFeedItems is how many items a feed keeps; only the domain feeds needs it.
	MaxFeedItems int
	// FeedRate limits how many feeds a second a process writes; only the domain feeds needs it.
	FeedRate *activities.Rate
}

// domains are all, in the order in which they are listed to people.
var domains = []struct {
	queue    string
	register func(worker.Registry, Dependencies)
}{
	{workflows.UsersQueue, registerUsers},
	{workflows.TweetsQueue, registerTweets},
	{workflows.FollowersQueue, registerFollowers},
	{workflows.FeedsQueue, registerFeeds},
}

// Domains are the names of all domains, which are those of their task queues.
func Domains() []string {
	names := make([]string, len(domains))
	for i, d := range domains {
		names[i] = d.queue
	}
	return names
}

// DrainTimeout is for how long a worker that is stopped lets the activities in hand end.
const DrainTimeout = 10 * time.Second

// How open runs of a workflow take a new version of a worker deployment; of unversioned workers, whose runs always go on
// with whatever worker there is, it means nothing. The SDK refuses to version a workflow that is registered without either.
var (
	// pinned: with the version they began on, which must be kept until they have ended. For what ends by itself soon.
	pinned = workflow.RegisterOptions{VersioningBehavior: workflow.VersioningBehaviorPinned}
	// autoUpgrade: with the new version, from its next workflow task on. For what may last longer than an old version should.
	autoUpgrade = workflow.RegisterOptions{VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade}
)

// Options are how a worker runs.
type Options struct {
	// Version is the version of a worker deployment that it is one of, which Temporal gives work only once it is made the
	// current version, or ramped up. The zero version is an unversioned worker.
	Version worker.WorkerDeploymentVersion
	// MaxPollers is how many polls of each kind it has waiting at most, 2 at least; it has more than two only while they bring
	// work.
	MaxPollers int
	// MaxActivities, and MaxWorkflowTasks, are how many it runs at a time at most.
	MaxActivities, MaxWorkflowTasks int
}

// New makes the worker of one domain; it polls that domain's task queue alone, once it is started.
func New(c client.Client, domain string, o Options, deps Dependencies) (worker.Worker, error) {
	i := slices.Index(Domains(), domain)
	if i < 0 {
		return nil, fmt.Errorf("no domain %q: there are %s", domain, strings.Join(Domains(), ", "))
	}
	pollers := worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{
		InitialNumberOfPollers: 2, MinimumNumberOfPollers: 2, MaximumNumberOfPollers: o.MaxPollers,
	})
	w := worker.New(c, domain, worker.Options{
		DeploymentOptions:                      worker.DeploymentOptions{UseVersioning: o.Version != worker.WorkerDeploymentVersion{}, Version: o.Version},
		Interceptors:                           []interceptor.WorkerInterceptor{&crossing.Interceptor{}},
		WorkerStopTimeout:                      DrainTimeout,
		WorkflowTaskPollerBehavior:             pollers,
		ActivityTaskPollerBehavior:             pollers,
		MaxConcurrentActivityExecutionSize:     o.MaxActivities,
		MaxConcurrentWorkflowTaskExecutionSize: o.MaxWorkflowTasks,
		// After a worker was killed its workflows go on elsewhere after this; the default is 5 s.
		StickyScheduleToStartTimeout: time.Second,
		// Heartbeats go out at once but for this. By default the SDK sends one every 0.8 × the heartbeat timeout, and a delivery
		// would resume from four seconds ago. Each costs the server a write, of which a large delivery's 16 steps made so many
		// at 200 ms that others' tweets took twice as long (docs/performance.md).
		MaxHeartbeatThrottleInterval: time.Second,
	})
	domains[i].register(w, deps)
	return w, nil
}

// RegisterWorkflows registers the workflows of all domains; a replayer of histories needs no more.
func RegisterWorkflows(r worker.WorkflowRegistry) {
	for _, d := range domains {
		d.register(workflowsOnly{WorkflowRegistry: r}, Dependencies{})
	}
}

// workflowsOnly is a registry that leaves activities out.
type workflowsOnly struct {
	worker.WorkflowRegistry
	worker.ActivityRegistry
	worker.NexusServiceRegistry
}

func (workflowsOnly) RegisterActivity(any) {}
