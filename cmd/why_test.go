package cmd

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/deployment/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/failure/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

func poller(at time.Time, build string) *taskqueue.PollerInfo {
	p := &taskqueue.PollerInfo{LastAccessTime: timestamppb.New(at)}
	if build != "" {
		p.DeploymentOptions = &deployment.WorkerDeploymentOptions{DeploymentName: "twtr", BuildId: build, WorkerVersioningMode: enums.WORKER_VERSIONING_MODE_VERSIONED}
	}
	return p
}

func TestWhyTellsTheCausesOfAnActivityThatIsNotFinishedApart(t *testing.T) {
	scheduled := time.Now()
	before, after := poller(scheduled.Add(-time.Minute), ""), poller(scheduled.Add(time.Second), "")
	failures := temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{})
	outageError := failures.ErrorToFailure(temporal.NewApplicationError("the store does not answer", string(twtr.Unavailable)))
	running := enums.PENDING_ACTIVITY_STATE_STARTED
	beat := activities.WalkHeartbeat{Progress: twtr.Progress{Done: 500}, RowsPerSecond: 10}
	limitedTo10, err := converter.GetDefaultDataConverter().ToPayloads(beat)
	require.NoError(t, err)
	byHand := &workflow.PendingActivityInfo_PauseInfo{PausedBy: &workflow.PendingActivityInfo_PauseInfo_Manual_{
		Manual: &workflow.PendingActivityInfo_PauseInfo_Manual{Identity: "ann@desk", Reason: "it is too fast"},
	}}
	for name, test := range map[string]struct {
		activity *workflow.PendingActivityInfo
		queue    queue
		kind     kind
		why      string
	}{
		"nobody polls": {why: "No worker polls task queue feeds.", kind: noWorker},
		"nobody polls, after a failure": {
			activity: &workflow.PendingActivityInfo{LastFailure: outageError}, kind: noWorker, why: "No worker polls task queue feeds.",
		},
		"who polled has stopped": {queue: queue{pollers: []*taskqueue.PollerInfo{before}}, kind: noWorker,
			why: "No worker of task queue feeds has polled since the task was scheduled: they have stopped, or all their slots are in use."},
		"paused, and nobody polls": {activity: &workflow.PendingActivityInfo{Paused: true, PauseInfo: byHand}, kind: paused,
			why: "An operator paused activity 6 (ann@desk: it is too fast)."},
		"limited, after an outage": {activity: &workflow.PendingActivityInfo{State: running, HeartbeatDetails: limitedTo10, LastFailure: outageError},
			kind: limited, why: "The worker limits itself to 10 feed items a second (feed.rows_per_second)."},
		"an outage": {activity: &workflow.PendingActivityInfo{State: running, LastFailure: outageError}, kind: outage,
			why: "The store is unavailable, or too slow, for the workers of task queue feeds."},
		"a store that is too slow": {activity: &workflow.PendingActivityInfo{State: running, LastFailure: failures.ErrorToFailure(context.DeadlineExceeded)},
			kind: outage, why: "The store is unavailable, or too slow, for the workers of task queue feeds."},
		"an outage, before the next attempt": {queue: queue{pollers: []*taskqueue.PollerInfo{before}}, kind: outage,
			activity: &workflow.PendingActivityInfo{LastFailure: outageError, NextAttemptScheduleTime: timestamppb.New(scheduled.Add(time.Second))},
			why:      "The store is unavailable, or too slow, for the workers of task queue feeds."},
		"a refusal": {activity: &workflow.PendingActivityInfo{State: running, LastFailure: failures.ErrorToFailure(errors.New("cassandra: Key may not be empty"))},
			kind: failing, why: "Activity Deliver fails, and is retried until it succeeds: the store is available and refuses what it asks for."},
		"a worker that died": {activity: &workflow.PendingActivityInfo{State: running, LastFailure: &failure.Failure{
			FailureInfo: &failure.Failure_TimeoutFailureInfo{TimeoutFailureInfo: &failure.TimeoutFailureInfo{}}}},
			kind: progressing, why: "It is being worked on."},
		"a limit of the queue": {queue: queue{pollers: []*taskqueue.PollerInfo{after}, limit: 0.5}, kind: waiting,
			why: "Task queue feeds gives out 0.5 tasks a second (an operator's limit)."},
		"a backlog": {queue: queue{pollers: []*taskqueue.PollerInfo{after}}, kind: waiting, why: "It waits for its turn on a worker of task queue feeds."},
	} {
		a := test.activity
		if a == nil {
			a = &workflow.PendingActivityInfo{}
		}
		a.ActivityId, a.ActivityType, a.ScheduledTime = "6", &common.ActivityType{Name: "Deliver"}, timestamppb.New(scheduled)
		test.queue.name = "feeds"
		found := find("post-tweet/1", a, test.queue)
		require.Equal(t, test.kind, found.kind, name)
		require.Equal(t, test.why, found.why, name)
		require.NotEmpty(t, found.next, name)
	}
}

func TestOnlyWorkersOfTheVersionThatGetsTheTasksCount(t *testing.T) {
	v1 := &deployment.WorkerDeploymentVersion{DeploymentName: "twtr", BuildId: "v1"}
	pinned := &workflow.WorkflowExecutionVersioningInfo{Behavior: enums.VERSIONING_BEHAVIOR_PINNED, DeploymentVersion: v1}
	current := &taskqueue.TaskQueueVersioningInfo{CurrentDeploymentVersion: &deployment.WorkerDeploymentVersion{DeploymentName: "twtr", BuildId: "v2"}}
	for name, test := range map[string]struct {
		builds  []string
		run     *workflow.WorkflowExecutionVersioningInfo
		current *taskqueue.TaskQueueVersioningInfo
		pollers int
		why     string
	}{
		"unversioned":                   {builds: []string{""}, pollers: 1},
		"the version is not current":    {builds: []string{"v1"}, why: "Only workers of versions that are not current poll task queue feeds."},
		"the version is current":        {builds: []string{"v1", "v2", ""}, current: current, pollers: 1},
		"pinned to a version":           {builds: []string{"v1", "v2"}, run: pinned, current: current, pollers: 1},
		"pinned, of another deployment": {builds: []string{""}, run: pinned, pollers: 1},
		"pinned to a version that is gone": {builds: []string{"v2"}, run: pinned, current: current,
			why: "No worker of version v1 of twtr, to which the workflow is pinned, polls task queue feeds."},
	} {
		q := queue{name: "feeds"}
		for _, build := range test.builds {
			q.pollers = append(q.pollers, poller(time.Now(), build))
		}
		q.route(test.run, test.current)
		require.Len(t, q.pollers, test.pollers, name)
		if test.pollers == 0 {
			require.Equal(t, test.why, q.withoutWorker().why, name)
		}
	}
}
