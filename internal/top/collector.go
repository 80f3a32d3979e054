package top

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/inspect"
	"github.com/twtr-dev/twtr/workflows"
)

// Request says which running deliveries a snapshot has.
type Request struct {
	Newest bool // first; otherwise the oldest
	Offset int
	Limit  int // at most [MaxDeliveries]
}

// The calls to Temporal for one snapshot are bounded, however many workflows run: some 10 to count and list, two for each task queue,
// and one for each delivery that is shown. While more than one call lists run, some 20 more find the oldest.
const (
	// MaxDeliveries is how many deliveries a snapshot has at most.
	MaxDeliveries = 40
	// maxOthers is how many running workflows of other types are looked at: those that have run longest.
	maxOthers = 5
	// maxCompleted is how many receipts are read.
	maxCompleted = 5
	// countsKept is how long a user's number of followers is not read again.
	countsKept = time.Minute
)

const (
	notDeliveries = "WorkflowType != 'PostTweet'"
	completed     = inspect.Deliveries + " AND ExecutionStatus = 'Completed'"
)

// Collector takes snapshots. Its methods must not be called concurrently.
type Collector struct {
	Temporal client.Client
	Queues   *inspect.Queues
	// Store opens the store, or returns the one that is open.
	Store func() (twtr.Store, error)

	last      time.Time // when the snapshot before was taken; zero: never
	delivered map[string]int64
	newest    time.Time // end of the newest completed delivery of the snapshot before, by Temporal's clock
	counts    map[string]count
}

// count is about how many followers a user has.
type count struct {
	n  int64
	at time.Time
}

// Collect takes a snapshot. What cannot be found out is missing, and why is in its problems.
func (c *Collector) Collect(ctx context.Context, r Request) Snapshot {
	s := &Snapshot{At: time.Now(), Rate: -1}
	p := &problems{}
	store, err := c.Store()
	p.add("store", err)
	g := &errgroup.Group{}
	var deliveriesFailing, othersFailing []inspect.Failure
	g.Go(func() error {
		deliveriesFailing = c.running(ctx, s, r, store, p)
		return nil
	})
	g.Go(func() error {
		othersFailing = c.others(ctx, s, p)
		return nil
	})
	g.Go(func() error {
		c.completed(ctx, s, store, p)
		return nil
	})
	g.Go(func() error {
		queues, err := c.queues(ctx)
		s.Queues = queues
		p.add("Temporal", err)
		return nil
	})
	_ = g.Wait() // none returns an error
	s.Failures = append(deliveriesFailing, othersFailing...)
	s.Problems = p.texts
	c.last = s.At
	return *s
}

// problems collects errors; of several with one cause it keeps the first.
type problems struct {
	mu    sync.Mutex
	texts []string
}

func (p *problems) add(dependency string, err error) {
	if err == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.texts {
		if strings.HasPrefix(text, dependency+": ") {
			return
		}
	}
	p.texts = append(p.texts, fmt.Sprintf("%s: %v", dependency, err))
}

// running finds the running deliveries, and returns their failing activities.
func (c *Collector) running(ctx context.Context, s *Snapshot, r Request, store twtr.Store, p *problems) []inspect.Failure {
	all, n, err := inspect.Running(ctx, c.Temporal, inspect.Deliveries)
	p.add("Temporal", err)
	s.Running = n
	if r.Newest {
		slices.Reverse(all)
	}
	shown := all[min(r.Offset, len(all)):]
	shown = shown[:min(len(shown), r.Limit, MaxDeliveries)]
	described, err := inspect.Describe(ctx, c.Temporal, shown)
	p.add("Temporal", err)
	var failures []inspect.Failure
	delivered := map[string]int64{}
	for i, d := range described {
		if d == nil { // it has ended
			continue
		}
		info := shown[i]
		one := Delivery{WorkflowID: info.GetExecution().GetWorkflowId(), Age: s.At.Sub(info.GetStartTime().AsTime()), Rate: -1, State: state(d)}
		if author, ok := info.GetSearchAttributes().GetIndexedFields()[workflows.Author.GetName()]; ok {
			p.add("Temporal", converter.GetDefaultDataConverter().FromPayload(author, &one.Author))
		}
		one.Delivered, err = workflows.DeliveredSoFar(d)
		p.add("Temporal", err)
		if before, ok := c.delivered[one.WorkflowID]; ok && !c.last.IsZero() {
			// A step that is retried resumes from an older heartbeat.
			one.Rate = max(0, float64(one.Delivered-before)/s.At.Sub(c.last).Seconds())
		}
		delivered[one.WorkflowID] = one.Delivered
		if store != nil {
			followers, err := c.followers(ctx, store, one.Author)
			p.add("store", err)
			one.Total = max(followers, one.Delivered) // counts lag
		}
		s.Deliveries = append(s.Deliveries, one)
		failures = append(failures, inspect.Failures(d)...)
	}
	c.delivered = delivered
	return failures
}

// others counts the running workflows of other types, and returns the failing activities of those that have run longest.
func (c *Collector) others(ctx context.Context, s *Snapshot, p *problems) (failures []inspect.Failure) {
	all, n, err := inspect.Running(ctx, c.Temporal, notDeliveries)
	p.add("Temporal", err)
	s.Others = n
	described, err := inspect.Describe(ctx, c.Temporal, all[:min(len(all), maxOthers)])
	p.add("Temporal", err)
	for _, d := range described {
		failures = append(failures, inspect.Failures(d)...)
	}
	return failures
}

// state says what a running workflow does or waits for.
func state(d *workflowservice.DescribeWorkflowExecutionResponse) string {
	if d.GetWorkflowExtendedInfo().GetPauseInfo() != nil {
		return "paused"
	}
	if task := d.GetPendingWorkflowTask(); task != nil {
		if task.GetAttempt() > 1 {
			return fmt.Sprintf("task attempt %d", task.GetAttempt())
		}
		if task.GetState() == enums.PENDING_WORKFLOW_TASK_STATE_SCHEDULED {
			return "waits for worker"
		}
	}
	steps := map[enums.PendingActivityState]int{}
	var attempt int32
	for _, activity := range d.GetPendingActivities() {
		steps[activity.GetState()]++
		if activity.GetLastFailure() != nil {
			attempt = max(attempt, activity.GetAttempt())
		}
	}
	switch started := steps[enums.PENDING_ACTIVITY_STATE_STARTED]; {
	case attempt > 0:
		return fmt.Sprintf("attempt %d", attempt)
	case steps[enums.PENDING_ACTIVITY_STATE_PAUSED]+steps[enums.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED] > 0:
		return "activity paused"
	case started > 1:
		return fmt.Sprintf("%d steps", started)
	case started == 1:
		return "1 step"
	case steps[enums.PENDING_ACTIVITY_STATE_SCHEDULED] > 0:
		return "waits for worker"
	}
	return "begins a step"
}

// followers is about how many followers the user has.
func (c *Collector) followers(ctx context.Context, store twtr.Store, username string) (int64, error) {
	if known, ok := c.counts[username]; ok && time.Since(known.at) < countsKept {
		return known.n, nil
	}
	counts, err := store.FollowerCounts(ctx, username)
	if err != nil {
		return 0, err
	}
	if c.counts == nil || len(c.counts) > 10*MaxDeliveries {
		c.counts = map[string]count{}
	}
	c.counts[username] = count{int64(twtr.CountOf(counts)), time.Now()}
	return c.counts[username].n, nil
}

// completed finds the newest deliveries that have completed, and how many did since the snapshot before. Temporal's clock alone
// decides which those are.
func (c *Collector) completed(ctx context.Context, s *Snapshot, store twtr.Store, p *problems) {
	page, err := c.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: completed, PageSize: inspect.Listed})
	if err != nil {
		p.add("Temporal", err)
		return
	}
	var since int64
	newest := c.newest
	for i, info := range page.GetExecutions() {
		closed := info.GetCloseTime().AsTime()
		took := closed.Sub(info.GetStartTime().AsTime())
		s.Lags = append(s.Lags, took)
		if closed.After(c.newest) {
			since++
		}
		if closed.After(newest) {
			newest = closed
		}
		if i < maxCompleted {
			one, err := receipt(ctx, store, info)
			p.add("store", err)
			one.Took = took
			s.Completed = append(s.Completed, one)
		}
	}
	slices.Sort(s.Lags)
	if !c.last.IsZero() {
		if since == inspect.Listed { // or more
			n, err := c.Temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
				Query: fmt.Sprintf("%s AND CloseTime > '%s'", completed, c.newest.Format(time.RFC3339Nano))})
			p.add("Temporal", err)
			since = max(since, n.GetCount())
		}
		s.Rate = float64(since) / s.At.Sub(c.last).Seconds()
	}
	c.newest = newest
}

// receipt reads what a completed delivery did.
func receipt(ctx context.Context, store twtr.Store, info *workflowpb.WorkflowExecutionInfo) (Completed, error) {
	done := Completed{Delivered: -1, Failed: -1}
	if author, ok := info.GetSearchAttributes().GetIndexedFields()[workflows.Author.GetName()]; ok {
		if err := converter.GetDefaultDataConverter().FromPayload(author, &done.Author); err != nil {
			return done, err
		}
	}
	if store == nil {
		return done, nil
	}
	var id uuid.UUID
	attribute := info.GetSearchAttributes().GetIndexedFields()[workflows.TweetID.GetName()]
	if err := converter.GetDefaultDataConverter().FromPayload(attribute, &id); err != nil {
		return done, err
	}
	stored, err := store.Receipt(ctx, id)
	if twtr.ErrorCode(err) == twtr.NotFound { // of a deleted account
		return done, nil
	}
	if err == nil {
		done.Delivered, done.Failed = stored.Delivered, stored.Failed
	}
	return done, err
}

// queues describes each task queue.
func (c *Collector) queues(ctx context.Context) (queues []Queue, err error) {
	states, err := c.Queues.All(ctx)
	if err != nil {
		return nil, err
	}
	part := func(name string, kind enums.TaskQueueType) QueueKind {
		s := states[inspect.Queue{Name: name, Type: kind}]
		return QueueKind{Backlog: s.Backlog(), Age: s.Age(), Pollers: len(s.Live), Throttled: s.GetStats().GetRateLimitingActive()}
	}
	for _, name := range c.Queues.Names {
		queues = append(queues, Queue{name, part(name, enums.TASK_QUEUE_TYPE_WORKFLOW), part(name, enums.TASK_QUEUE_TYPE_ACTIVITY)})
	}
	return queues, nil
}
