package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/workers"
	"github.com/twtr-dev/twtr/workflows"
)

// mostEvents is what no history may have.
const mostEvents = 2000

func TestChangesWhileACountFailsDoNotMakeAHistoryLong(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	token := s.signUpAtWork("ann")
	require.NotEmpty(t, token)
	store := &brokenStore{Store: s.store}
	store.set("CountFollowers")
	w, err := workers.New(s.client, "followers", s.config.Workers.Options, workers.Dependencies{Store: store})
	require.NoError(t, err)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	require.NoError(t, s.store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: time.Now()}))
	in := workflows.CountFollowersInput{Bucket: activities.Bucket{Username: "ann", Bucket: twtr.FollowerBucket("bob")}}
	options := in.StartOptions()
	runs := s.untilSeveralRuns(options.ID, func() {
		_, err := s.client.SignalWithStartWorkflow(t.Context(), options.ID, workflows.CountChanged, nil, options, workflows.CountFollowers, in)
		require.NoError(t, err)
	})
	store.set("")
	s.eventually("it is counted", func() bool { return s.completed(options.ID) })
	counts, err := s.store.FollowerCounts(t.Context(), "ann")
	require.NoError(t, err)
	require.Equal(t, 1, twtr.CountOf(counts))
	s.requireShort(options.ID, runs)
}

func TestRequestsWhileAFeedCannotBeWrittenDoNotMakeAHistoryLong(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	s.work("users", "followers") // nobody writes feeds
	s.signUp("ann")
	bob := s.signUp("bob")
	const id = "follow/bob/ann"
	runs := s.untilSeveralRuns(id, func() {
		require.Equal(t, 200, s.insist("POST", "/follow", bob, map[string]string{"followingUsername": "ann"}).Status)
		require.Equal(t, 200, s.insist("DELETE", "/follow/ann", bob, nil).Status)
	})
	s.follow(bob, "ann")
	s.work("feeds")
	s.eventually("it ends", func() bool { return s.completed(id) })
	s.requireShort(id, runs)
}

// untilSeveralRuns does something until the workflow has continued as new, and returns how many runs it has.
func (s *stack) untilSeveralRuns(id string, do func()) int {
	s.t.Helper()
	for i := range 3 * mostEvents {
		do()
		if i%100 == 99 && len(s.runs(id)) > 1 {
			break
		}
	}
	runs := len(s.runs(id))
	require.Greater(s.t, runs, 1)
	return runs
}

// runs are the lengths of the histories of a workflow's runs.
func (s *stack) runs(id string) (lengths []int64) {
	s.t.Helper()
	list, err := s.client.ListWorkflow(context.WithoutCancel(s.t.Context()), &workflowservice.ListWorkflowExecutionsRequest{Query: "WorkflowId = '" + id + "'"})
	require.NoError(s.t, err)
	for _, run := range list.GetExecutions() {
		lengths = append(lengths, run.GetHistoryLength()) // 0 while it runs
	}
	return lengths
}

// requireShort wants at least so many runs of the workflow, none of them long or failed.
func (s *stack) requireShort(id string, runs int) {
	s.t.Helper()
	s.eventually("all are listed as ended", func() bool {
		list, err := s.client.CountWorkflow(s.t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
			Query: "WorkflowId = '" + id + "' AND ExecutionStatus = 'Running'"})
		require.NoError(s.t, err)
		return list.GetCount() == 0
	})
	lengths := s.runs(id)
	s.t.Logf("events: %v", lengths)
	require.GreaterOrEqual(s.t, len(lengths), runs)
	for _, length := range lengths {
		require.Less(s.t, length, int64(mostEvents))
	}
}
