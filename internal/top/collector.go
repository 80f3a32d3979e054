package top

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

// Request says which running deliveries a snapshot has.
type Request struct {
	Newest bool // first; otherwise the oldest
	Offset int
	Limit  int // at most [MaxDeliveries]
}

// The calls to Temporal for one snapshot are bounded, however many workflows run: some 10 to count and list, two for each task queue,
// and one for each delivery that is shown. While more than one call lists run, up to 2 × maxProbes more find the oldest.
const (
	// MaxDeliveries is how many deliveries a snapshot has at most.
	MaxDeliveries = 40
	// listed is how many workflows one call lists.
	listed = 200
	// maxProbes bounds the search for the workflows that have run longest.
	maxProbes = 12
	// maxOthers is how many running workflows of other types are looked at: those that have run longest.
	maxOthers = 5
	// maxCompleted is how many receipts are read.
	maxCompleted = 5
	// concurrency bounds the calls in flight.
	concurrency = 8
	// countsKept is how long a user's number of followers is not read again.
	countsKept = time.Minute
	// pollAge is the age of the last poll from which a worker counts as gone: a poll takes up to a minute.
	pollAge = 65 * time.Second
)

const (
	running       = " AND ExecutionStatus = 'Running'"
	deliveries    = "WorkflowType = 'PostTweet'"
	notDeliveries = "WorkflowType != 'PostTweet'"
	completed     = deliveries + " AND ExecutionStatus = 'Completed'"
)

// Collector takes snapshots. Its methods must not be called concurrently.
type Collector struct {
	Temporal  client.Client
	Namespace string
	Queues    []string
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
	var deliveriesFailing, othersFailing []Failure
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
func (c *Collector) running(ctx context.Context, s *Snapshot, r Request, store twtr.Store, p *problems) []Failure {
	all, n, err := c.list(ctx, deliveries)
	p.add("Temporal", err)
	s.Running = n
	if r.Newest {
		slices.Reverse(all)
	}
	shown := all[min(r.Offset, len(all)):]
	shown = shown[:min(len(shown), r.Limit, MaxDeliveries)]
	described, err := c.describe(ctx, shown)
	p.add("Temporal", err)
	var failures []Failure
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
		failures = append(failures, failing(d)...)
	}
	c.delivered = delivered
	return failures
}

// others counts the running workflows of other types, and returns the failing activities of those that have run longest.
func (c *Collector) others(ctx context.Context, s *Snapshot, p *problems) (failures []Failure) {
	all, n, err := c.list(ctx, notDeliveries)
	p.add("Temporal", err)
	s.Others = n
	described, err := c.describe(ctx, all[:min(len(all), maxOthers)])
	p.add("Temporal", err)
	for _, d := range described {
		failures = append(failures, failing(d)...)
	}
	return failures
}

// list returns running workflows, those that have run longest first, and how many there are. If there are more than one call lists,
// it returns the oldest, the newest, and some between them.
func (c *Collector) list(ctx context.Context, query string) (found []*workflowpb.WorkflowExecutionInfo, n int64, err error) {
	query += running
	page, err := c.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: listed})
	if err != nil {
		return nil, 0, err
	}
	found, n = page.GetExecutions(), int64(len(page.GetExecutions()))
	if len(page.GetNextPageToken()) > 0 && len(found) > 0 {
		total, err := c.Temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
		if err != nil {
			return nil, 0, err
		}
		n = total.GetCount()
		older, err := c.oldest(ctx, query, found)
		if err != nil {
			return nil, 0, err
		}
		found = append(found, older...)
	}
	slices.SortFunc(found, func(a, b *workflowpb.WorkflowExecutionInfo) int {
		return cmp.Or(a.GetStartTime().AsTime().Compare(b.GetStartTime().AsTime()),
			cmp.Compare(a.GetExecution().GetRunId(), b.GetExecution().GetRunId()))
	})
	found = slices.CompactFunc(found, func(a, b *workflowpb.WorkflowExecutionInfo) bool {
		return a.GetExecution().GetRunId() == b.GetExecution().GetRunId()
	})
	return found, n, nil
}

// oldest returns the workflows that have run longest, given the newest. Temporal lists the newest first, and not every visibility store
// can sort. So this looks for an age that some have reached, but no more than one call lists: four times the age each time until too
// few have, and then between the two.
func (c *Collector) oldest(ctx context.Context, query string, newest []*workflowpb.WorkflowExecutionInfo) (found []*workflowpb.WorkflowExecutionInfo, err error) {
	zero := newest[0].GetStartTime().AsTime()
	age := func(of []*workflowpb.WorkflowExecutionInfo) time.Duration {
		return max(time.Millisecond, zero.Sub(of[len(of)-1].GetStartTime().AsTime()))
	}
	reached, missed := age(newest), time.Duration(0) // by more than one call lists, and by none; 0: unknown
	for range maxProbes {
		probe := 4 * reached
		if missed > 0 {
			probe = time.Duration(math.Sqrt(float64(reached) * float64(missed)))
		}
		page, err := c.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: fmt.Sprintf("%s AND StartTime < '%s'", query, zero.Add(-probe).Format(time.RFC3339Nano)), PageSize: listed})
		if err != nil {
			return nil, err
		}
		found = append(found, page.GetExecutions()...)
		switch {
		case len(page.GetExecutions()) == 0:
			missed = probe
		case len(page.GetNextPageToken()) == 0:
			return found, nil
		default:
			reached = max(probe, age(page.GetExecutions()))
		}
	}
	return found, nil
}

// describe returns the descriptions of those workflows that still run, and nil for the others.
func (c *Collector) describe(ctx context.Context, all []*workflowpb.WorkflowExecutionInfo) ([]*workflowservice.DescribeWorkflowExecutionResponse, error) {
	described := make([]*workflowservice.DescribeWorkflowExecutionResponse, len(all))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrency)
	for i, info := range all {
		g.Go(func() error {
			d, err := c.Temporal.DescribeWorkflowExecution(ctx, info.GetExecution().GetWorkflowId(), info.GetExecution().GetRunId())
			if err == nil && d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
				described[i] = d
			}
			return err
		})
	}
	return described, g.Wait()
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

// failing returns the activities of a workflow that are being retried, and its workflow task if that is.
func failing(d *workflowservice.DescribeWorkflowExecutionResponse) (failures []Failure) {
	if task := d.GetPendingWorkflowTask(); task.GetAttempt() > 1 {
		failures = append(failures, Failure{
			WorkflowID: d.GetWorkflowExecutionInfo().GetExecution().GetWorkflowId(),
			Activity:   "workflow task",
			Attempt:    task.GetAttempt(),
			Error:      "the cause is in the log of the worker: a build that cannot continue the workflow, or a worker that died",
		})
	}
	for _, activity := range d.GetPendingActivities() {
		failure := activity.GetLastFailure()
		if failure == nil {
			continue
		}
		converter.DecodeCommonFailureAttributes(converter.GetDefaultDataConverter(), failure)
		failures = append(failures, Failure{
			WorkflowID: d.GetWorkflowExecutionInfo().GetExecution().GetWorkflowId(),
			Activity:   activity.GetActivityType().GetName(),
			Attempt:    activity.GetAttempt(),
			Error:      failure.GetMessage(),
		})
	}
	return failures
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
	page, err := c.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: completed, PageSize: listed})
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
		if since == listed { // or more
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
func (c *Collector) queues(ctx context.Context) ([]Queue, error) {
	queues := make([]Queue, len(c.Queues))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrency)
	for i, name := range c.Queues {
		queues[i].Name = name
		for kind, part := range map[enums.TaskQueueType]*QueueKind{
			enums.TASK_QUEUE_TYPE_WORKFLOW: &queues[i].Workflows,
			enums.TASK_QUEUE_TYPE_ACTIVITY: &queues[i].Activities,
		} {
			g.Go(func() (err error) {
				*part, err = c.queue(ctx, name, kind)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return queues, nil
}

func (c *Collector) queue(ctx context.Context, name string, kind enums.TaskQueueType) (QueueKind, error) {
	d, err := c.Temporal.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: c.Namespace, TaskQueue: &taskqueue.TaskQueue{Name: name}, TaskQueueType: kind, ReportStats: true})
	if err != nil {
		return QueueKind{}, err
	}
	q := QueueKind{
		Backlog:   d.GetStats().GetApproximateBacklogCount(),
		Age:       d.GetStats().GetApproximateBacklogAge().AsDuration(),
		Throttled: d.GetStats().GetRateLimitingActive(),
	}
	for _, poller := range d.GetPollers() {
		if time.Since(poller.GetLastAccessTime().AsTime()) < pollAge {
			q.Pollers++
		}
	}
	return q, nil
}
