// Package inspect asks Temporal what waits and what runs: the backlog and the pollers of task queues, the workflows that have run
// longest, and what fails in them.
package inspect

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"
)

// Gone is the time without a new poll from which a worker counts as gone: a poll takes up to a minute.
const Gone = 65 * time.Second

// concurrency bounds the calls in flight.
const concurrency = 8

// Queue is a task queue's part for one type of task.
type Queue struct {
	Name string
	Type enums.TaskQueueType
}

// State is a queue at one moment. GetPollers has the workers that have polled it in the last minutes.
type State struct {
	*workflowservice.DescribeTaskQueueResponse
	// Live are those of its pollers that are not [Gone].
	Live []*taskqueue.PollerInfo
}

// Backlog is about how many tasks wait for a worker.
func (s State) Backlog() int64 { return s.GetStats().GetApproximateBacklogCount() }

// Age is that of the oldest task that waits for a worker.
func (s State) Age() time.Duration { return s.GetStats().GetApproximateBacklogAge().AsDuration() }

// Queues are task queues of a namespace. Its methods may be called concurrently.
type Queues struct {
	// Names are the task queues that All looks at.
	Names []string

	client    client.Client
	namespace string

	mu    sync.Mutex
	polls map[Queue]map[string]poll // by the identity of the poller, as of the last look
}

// poll is the last one of a poller.
type poll struct {
	at   time.Time // by Temporal's clock
	seen time.Time // when it was new, by ours
}

// NewQueues are the task queues of the namespace that have these names.
func NewQueues(c client.Client, namespace string, names ...string) *Queues {
	return &Queues{Names: names, client: c, namespace: namespace, polls: map[Queue]map[string]poll{}}
}

// Look tells the state of one queue, whatever its name.
func (s *Queues) Look(ctx context.Context, q Queue) (State, error) {
	d, err := s.client.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: s.namespace, TaskQueue: &taskqueue.TaskQueue{Name: q.Name}, TaskQueueType: q.Type, ReportStats: true, ReportConfig: true})
	if err != nil {
		return State{}, err
	}
	return State{d, s.live(q, d.GetPollers(), time.Now())}, nil
}

// All tells the state of all queues, for both types of task.
func (s *Queues) All(ctx context.Context) (map[Queue]State, error) {
	all := map[Queue]State{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrency)
	for _, name := range s.Names {
		for _, kind := range []enums.TaskQueueType{enums.TASK_QUEUE_TYPE_WORKFLOW, enums.TASK_QUEUE_TYPE_ACTIVITY} {
			g.Go(func() error {
				q := Queue{name, kind}
				state, err := s.Look(ctx, q)
				mu.Lock()
				defer mu.Unlock()
				all[q] = state
				return err
			})
		}
	}
	return all, g.Wait()
}

// live returns the pollers that have polled lately: one that has ended stays listed for minutes. A poll that was not there at the last
// look is recent, whatever the clocks say. Only the first look at a queue compares Temporal's clock with ours.
func (s *Queues) live(q Queue, listed []*taskqueue.PollerInfo, now time.Time) (live []*taskqueue.PollerInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, looked := s.polls[q]
	last := map[string]poll{}
	for _, info := range listed {
		at := info.GetLastAccessTime().AsTime()
		one, known := before[info.GetIdentity()]
		switch {
		case !looked && at.Before(now):
			one = poll{at, at}
		case !known || at.After(one.at):
			one = poll{at, now}
		}
		last[info.GetIdentity()] = one
		if now.Sub(one.seen) < Gone {
			live = append(live, info)
		}
	}
	s.polls[q] = last
	return live
}
