// Package workers defines what runs on each domain's task queue: one file per domain, and the list of all.
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
	"github.com/twtr-dev/twtr/internal/temporalerr"
	"github.com/twtr-dev/twtr/workflows"
)

// Dependencies are what the activities need.
type Dependencies struct {
	Store twtr.Store
	// Unseal decrypts what the API sealed for a workflow; only the domain users needs it.
	Unseal func(workflowID string, sealed []byte, v any) error
	// Feeds configures the activities of the domain feeds.
	Feeds activities.FeedsConfig
	// Metrics of the activities; may be nil.
	Metrics *activities.Metrics
	// Events publishes the domain's events; nil: the worker publishes none.
	Events activities.Publisher
	// NameHold is how long the name of a deleted user stays taken.
	NameHold time.Duration
	// counts, histories, recent and steps are made from the worker's client.
	counts    activities.CountRequester
	histories activities.Histories
	recent    activities.Recent
	steps     activities.Steps
}

func (d Dependencies) events() *activities.Events { return &activities.Events{Publisher: d.Events} }

// domains are all domains, in the order in which they are listed.
var domains = []struct {
	queue    string
	register func(worker.Registry, Dependencies)
}{
	{workflows.UsersQueue, registerUsers},
	{workflows.TweetsQueue, registerTweets},
	{workflows.FollowersQueue, registerFollowers},
	{workflows.FeedsQueue, registerFeeds},
}

// Domains returns the names of all domains, which are also those of their task queues.
func Domains() []string {
	names := make([]string, len(domains))
	for i, d := range domains {
		names[i] = d.queue
	}
	return names
}

// DrainTimeout bounds how long a stopping worker waits for running activities.
const DrainTimeout = 10 * time.Second

// What happens to open runs of a workflow when a worker deployment gets a new version. It has no effect on unversioned workers,
// any of which may continue any run. A versioned worker must register every workflow with one of the two.
var (
	// pinned: they stay on the version they started on, whose workers must be kept until they have ended. For short runs.
	pinned = workflow.RegisterOptions{VersioningBehavior: workflow.VersioningBehaviorPinned}
	// autoUpgrade: they move to the new version with their next workflow task. For runs that may outlast an old version.
	autoUpgrade = workflow.RegisterOptions{VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade}
)

// Options configure a worker.
type Options struct {
	// Version is the version of a worker deployment that the worker belongs to. Temporal gives it work only once the version is
	// current or ramping. The zero version is an unversioned worker.
	Version worker.WorkerDeploymentVersion
	// MaxPollers is the maximum number of pollers of each kind, at least 2. A worker scales up from 2 while there is work.
	MaxPollers int
	// MaxActivities and MaxWorkflowTasks limit how many it runs concurrently.
	MaxActivities, MaxWorkflowTasks int
}

// New makes the worker of one domain. Once started, it polls only that domain's task queue.
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
		Interceptors:                           []interceptor.WorkerInterceptor{&temporalerr.Interceptor{}},
		WorkerStopTimeout:                      DrainTimeout,
		WorkflowTaskPollerBehavior:             pollers,
		ActivityTaskPollerBehavior:             pollers,
		MaxConcurrentActivityExecutionSize:     o.MaxActivities,
		MaxConcurrentWorkflowTaskExecutionSize: o.MaxWorkflowTasks,
		// Bounds how long the workflows of a killed worker wait before they continue on another one; the default is 5 s.
		StickyScheduleToStartTimeout: time.Second,
		// The interval at which heartbeats are sent. The default is 0.8 × the heartbeat timeout: a delivery would resume from four
		// seconds ago. Each heartbeat is a write on the server: sent every 200 ms by the 16 steps of a large delivery, they doubled
		// the time that other tweets took (docs/performance.md).
		MaxHeartbeatThrottleInterval: time.Second,
	})
	deps.counts = newCountRequests(c)
	deps.histories, deps.recent, deps.steps = histories{c}, recent{c}, steps{c}
	domains[i].register(w, deps)
	return w, nil
}

// RegisterWorkflows registers the workflows of all domains and no activity, for a replayer of histories.
func RegisterWorkflows(r worker.WorkflowRegistry) {
	for _, d := range domains {
		d.register(workflowsOnly{WorkflowRegistry: r}, Dependencies{})
	}
}

// workflowsOnly is a registry that ignores activities.
type workflowsOnly struct {
	worker.WorkflowRegistry
	worker.ActivityRegistry
	worker.NexusServiceRegistry
}

func (workflowsOnly) RegisterActivity(any) {}
