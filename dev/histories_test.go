package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"
)

// TestRecordHistories writes the histories that the workflows' unit test replays; make histories runs it.
func TestRecordHistories(t *testing.T) {
	dir := os.Getenv("TWTR_RECORD_HISTORIES")
	if dir == "" {
		t.Skip("this records the histories for another test: make histories")
	}
	s := newStack(t, "sqlite")
	s.work()
	ann, bob := s.signUp("ann"), s.signUp("bob")
	s.record(dir, "CreateUser", "create-user")
	s.call("POST", "/users", "", signUpBody("ann"))

	s.follow(bob, "ann")
	s.follow(bob, "ann")
	s.record(dir, "Follow", "follow-twice")
	posted := s.tweet(ann, "hello")
	s.eventually("it is delivered", func() bool { return s.state(posted.ID) == "complete" })
	s.record(dir, "PostTweet", "post-tweet")

	// The store is away for longer than the local activity tries: the regular one stores the tweet.
	begin := s.outage()
	end := begin()
	time.AfterFunc(4*time.Second, end)
	posted = s.tweet(ann, "while the store is away")
	s.eventually("it is delivered", func() bool { return s.state(posted.ID) == "complete" })
	s.record(dir, "PostTweet", "post-tweet-while-the-store-is-away")

	s.seedFollowers("ann", manyFollowers)
	posted = s.tweet(ann, "to all of you")
	s.eventually("it is delivered", func() bool { return s.state(posted.ID) == "complete" })
	s.record(dir, "PostTweet", "post-tweet-by-bucket")
}

// identity is which process of which machine did something, which is of no interest here.
var identity = regexp.MustCompile(`"(identity|name)": +"[^"]*[@:][^"]*"`)

// record writes the history of the newest workflow of that type.
func (s *stack) record(dir, workflowType, name string) {
	s.t.Helper()
	c, err := client.Dial(client.Options{HostPort: s.temporal})
	require.NoError(s.t, err)
	defer c.Close()
	s.eventually("the workflow has ended", func() bool {
		list, err := c.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			PageSize: 1, Query: "WorkflowType = '" + workflowType + "'"})
		require.NoError(s.t, err)
		if len(list.GetExecutions()) == 0 || list.GetExecutions()[0].GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
			return false
		}
		w := list.GetExecutions()[0].GetExecution()
		var h history.History
		events := c.GetWorkflowHistory(s.t.Context(), w.GetWorkflowId(), w.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(s.t, err)
			h.Events = append(h.Events, event)
		}
		text, err := protojson.MarshalOptions{Indent: " "}.Marshal(&h)
		require.NoError(s.t, err)
		text = identity.ReplaceAll(text, []byte(`"$1": "worker"`))
		require.NoError(s.t, os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o600))
		s.t.Logf("%s: %d events, %d bytes", name, len(h.GetEvents()), len(text))
		return true
	})
}
