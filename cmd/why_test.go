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
		p.DeploymentOptions = &deployment.WorkerDeploymentOptions{DeploymentName: "twtr", BuildId: build}
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
		activity workflow.PendingActivityInfo
		queue    queue
		kind     kind
		why      string
	}{
		"nobody polls": {why: "No worker polls task queue feeds.", kind: noWorker},
		"nobody polls, after a failure": {
			activity: workflow.PendingActivityInfo{LastFailure: outageError}, kind: noWorker, why: "No worker polls task queue feeds.",
		},
		"who polled has stopped": {queue: queue{pollers: []*taskqueue.PollerInfo{before}}, kind: noWorker,
			why: "No worker of task queue feeds has polled since the task was scheduled: they have stopped, or all their slots are in use."},
		"paused, and nobody polls": {activity: workflow.PendingActivityInfo{Paused: true, PauseInfo: byHand}, kind: paused,
			why: "An operator paused activity 6 (ann@desk: it is too fast)."},
		"limited, after an outage": {activity: workflow.PendingActivityInfo{State: running, HeartbeatDetails: limitedTo10, LastFailure: outageError},
			kind: limited, why: "The worker limits itself to 10 feed items a second (feed.rows_per_second)."},
		"an outage": {activity: workflow.PendingActivityInfo{State: running, LastFailure: outageError}, kind: outage,
			why: "The store is unavailable, or too slow, for the workers of task queue feeds."},
		"a store that is too slow": {activity: workflow.PendingActivityInfo{State: running, LastFailure: failures.ErrorToFailure(context.DeadlineExceeded)},
			kind: outage, why: "The store is unavailable, or too slow, for the workers of task queue feeds."},
		"an outage, before the next attempt": {queue: queue{pollers: []*taskqueue.PollerInfo{before}}, kind: outage,
			activity: workflow.PendingActivityInfo{LastFailure: outageError, NextAttemptScheduleTime: timestamppb.New(scheduled.Add(time.Second))},
			why:      "The store is unavailable, or too slow, for the workers of task queue feeds."},
		"a refusal": {activity: workflow.PendingActivityInfo{State: running, LastFailure: failures.ErrorToFailure(errors.New("cassandra: Key may not be empty"))},
			kind: failing, why: "Activity Deliver fails, and is retried until it succeeds: the store is available and refuses what it asks for."},
		"a worker that died": {activity: workflow.PendingActivityInfo{State: running, LastFailure: &failure.Failure{
			FailureInfo: &failure.Failure_TimeoutFailureInfo{TimeoutFailureInfo: &failure.TimeoutFailureInfo{}}}},
			kind: progressing, why: "It is being worked on."},
		"a limit of the queue": {queue: queue{pollers: []*taskqueue.PollerInfo{after}, limit: 0.5}, kind: waiting,
			why: "Task queue feeds gives out 0.5 tasks a second (an operator's limit)."},
		"a backlog": {queue: queue{pollers: []*taskqueue.PollerInfo{after}}, kind: waiting, why: "It waits for its turn on a worker of task queue feeds."},
	} {
		a := &test.activity
		a.ActivityId, a.ActivityType, a.ScheduledTime = "6", &common.ActivityType{Name: "Deliver"}, timestamppb.New(scheduled)
		test.queue.name = "feeds"
		found := find("post-tweet/1", a, test.queue)
		require.Equal(t, test.kind, found.kind, name)
		require.Equal(t, test.why, found.why, name)
		require.NotEmpty(t, found.next, name)
	}
}

func TestOnlyWorkersOfItsVersionCountForAPinnedWorkflow(t *testing.T) {
	v1 := &deployment.WorkerDeploymentVersion{DeploymentName: "twtr", BuildId: "v1"}
	q := queue{name: "tweets", pollers: []*taskqueue.PollerInfo{poller(time.Now(), "v2")}}
	q.pin(v1)
	require.Empty(t, q.pollers)
	require.Equal(t, "No worker of version v1 of twtr, to which the workflow is pinned, polls task queue tweets.", q.withoutWorker().why)
	q = queue{name: "tweets", pollers: []*taskqueue.PollerInfo{poller(time.Now(), "v2"), poller(time.Now(), "v1")}}
	q.pin(v1)
	require.Len(t, q.pollers, 1)
	q = queue{name: "feeds", pollers: []*taskqueue.PollerInfo{poller(time.Now(), "")}}
	q.pin(v1)
	require.Len(t, q.pollers, 1, "a queue of another deployment")
}
