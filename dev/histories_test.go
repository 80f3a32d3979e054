package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/natsserver"
	"github.com/twtr-dev/twtr/workflows"
)

// TestRecordHistories writes the histories that the workflows' unit test replays; make histories runs it.
func TestRecordHistories(t *testing.T) {
	dir := os.Getenv("TWTR_RECORD_HISTORIES")
	if dir == "" {
		t.Skip("this records the histories for another test: make histories")
	}
	s := newStack(t, "sqlite")
	s.work("users", "tweets", "followers")
	stopFeeds := s.work("feeds")
	ann, bob := s.signUp("ann"), s.signUp("bob")
	s.record(dir, "create-user/", "create-user")

	s.follow(bob, "ann")
	s.follow(bob, "ann")
	s.record(dir, "follow/bob/ann", "follow-twice")
	posted := s.tweet(ann, "hello")
	s.record(dir, "post-tweet/"+posted.ID.String(), "post-tweet")
	s.unfollow(bob, "ann")
	s.record(dir, "follow/bob/ann", "unfollow")
	s.unfollow(bob, "ann")
	s.follow(bob, "ann") // before the second sweep
	s.record(dir, "follow/bob/ann", "unfollow-and-follow")
	s.deleteTweet(ann, posted.ID)
	s.record(dir, "delete-tweet/"+posted.ID.String(), "delete-tweet")

	// An unfollow comes before the backfill, which no worker has begun.
	s.unfollow(bob, "ann")
	s.record(dir, "follow/bob/ann", "unfollow")
	stopFeeds()
	s.follow(bob, "ann")
	s.unfollow(bob, "ann")
	stopFeeds = s.work("feeds")
	s.record(dir, "follow/bob/ann", "unfollow-during-a-backfill")

	// While all counts are right: otherwise it waits for two minutes.
	for name, in := range map[string]workflows.Input{"audit-recent": workflows.AuditRecentInput{}, "recount-drifted": workflows.RecountDriftedInput{}} {
		wf := map[string]any{"audit-recent": workflows.AuditRecent, "recount-drifted": workflows.RecountDrifted}[name]
		_, err := s.client.ExecuteWorkflow(t.Context(), in.StartOptions(), wf, in)
		require.NoError(t, err)
		s.record(dir, name, name)
	}

	// The store is unavailable for longer than the local activity retries: a regular one stores the tweet.
	_, outage := s.outage()
	end := outage()
	time.AfterFunc(4*time.Second, end)
	posted.ID = uuid.Must(uuid.NewV7())
	in := workflows.PostTweetInput{Tweet: stored(t, posted)}
	_, err := s.client.ExecuteWorkflow(t.Context(), in.StartOptions(), workflows.PostTweet, in)
	require.NoError(t, err)
	s.record(dir, workflows.PostTweetID(posted.ID), "post-tweet-while-the-store-is-unavailable")

	s.seedFollowers("ann", manyFollowers)
	posted = s.tweet(ann, "to all of you")
	s.record(dir, "post-tweet/"+posted.ID.String(), "post-tweet-by-bucket")
	posted = s.tweet(ann, "looks at its steps")
	s.eventually("it has several steps", func() bool { return s.hasSeveralSteps("post-tweet/" + posted.ID.String()) })
	stopFeeds()
	s.eventually("it has looked", func() bool { return strings.Contains(s.events("post-tweet/"+posted.ID.String()), "TimerFired") })
	s.work("feeds")
	s.record(dir, "post-tweet/"+posted.ID.String(), "post-tweet-with-a-look")
	posted = s.tweet(ann, "deleted at once")
	s.deleteTweet(ann, posted.ID)
	s.record(dir, "post-tweet/"+posted.ID.String(), "post-tweet-that-is-deleted-meanwhile")
	s.record(dir, "delete-tweet/"+posted.ID.String(), "delete-tweet-by-bucket")

	for _, args := range [][]string{{"audit", "--user", "bob"}, {"rebuild-feed", "bob"}, {"audit", posted.ID.String()}} {
		code, output := s.twtr(args...)
		require.Equal(t, 0, code, output)
	}
	s.record(dir, "rebuild-feed/bob", "rebuild-feed")
	s.record(dir, "audit-delivery/"+posted.ID.String(), "audit-delivery")

	s.inOneBucket("ann", twtr.FollowerBucket("eve"), 2500)
	eve := s.signUp("eve")
	s.follow(eve, "ann")
	s.unfollow(eve, "ann") // the first one finds that the bucket is large, the second one requests a count
	s.record(dir, "count-followers/ann/", "count-followers")

	s.ok("PUT", "/users/me/password", eve, map[string]string{"oldPassword": "correct horse", "newPassword": "a correct battery"}, nil)
	s.record(dir, "change-password/", "change-password")
	s.follow(ann, "eve")
	s.tweet(ann, "the last one")
	s.ok("DELETE", "/users/me", ann, nil, nil) // with followers for several steps
	s.record(dir, "delete-user/ann", "delete-user")
}

// TestRecordHistoriesOfEvents writes those of workflows that announce what they do.
func TestRecordHistoriesOfEvents(t *testing.T) {
	dir := os.Getenv("TWTR_RECORD_HISTORIES")
	if dir == "" {
		t.Skip("this records the histories for another test: make histories")
	}
	addr, streams := freeAddr(t), t.TempDir()
	startNATS := func() *natsserver.Server {
		server, err := natsserver.Start(addr, streams)
		require.NoError(t, err)
		t.Cleanup(server.Stop)
		return server
	}
	server := startNATS()
	s := newStack(t, "sqlite", "--events-url", "nats://"+addr)
	s.migrateEvents()
	received := subscribe(t, s.config.Events.URL)
	s.work()
	ann, bob := s.signUp("ann"), s.signUp("bob")
	s.record(dir, "create-user/", "create-user-announced")
	s.follow(bob, "ann")
	s.record(dir, "follow/bob/ann", "follow-announced")
	posted := s.tweet(ann, "hello")
	s.record(dir, "post-tweet/"+posted.ID.String(), "post-tweet-announced")
	s.deleteTweet(ann, posted.ID)
	s.record(dir, "delete-tweet/"+posted.ID.String(), "delete-tweet-announced")
	server.Stop()
	posted = s.tweet(ann, "while NATS is unavailable")
	s.unfollow(bob, "ann")
	s.follow(bob, "ann")
	s.eventually("it is delivered", func() bool { return s.delivery(ann, posted.ID).State == "complete" })
	require.Len(t, received.of(twtr.EventPosted), 1)
	startNATS()
	s.record(dir, "post-tweet/"+posted.ID.String(), "post-tweet-while-nats-is-unavailable")
	s.record(dir, "follow/bob/ann", "follow-while-nats-is-unavailable")
}

// events are the types of the workflow's events so far.
func (s *stack) events(id string) (types string) {
	s.t.Helper()
	events := s.client.GetWorkflowHistory(s.t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(s.t, err)
		types += event.GetEventType().String() + " "
	}
	return types
}

// identity is which process of which machine did something, which is of no interest here.
var identity = regexp.MustCompile(`"(identity|name)": +"[^"]*[@:][^"]*"`)

// record writes the history of the newest run of the workflow whose ID begins so, when it has ended.
func (s *stack) record(dir, id, name string) {
	s.t.Helper()
	s.eventually("the workflow has ended", func() bool {
		list, err := s.client.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			PageSize: 1, Query: "WorkflowId STARTS_WITH '" + id + "'"})
		require.NoError(s.t, err)
		if len(list.GetExecutions()) == 0 || list.GetExecutions()[0].GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
			return false
		}
		w := list.GetExecutions()[0].GetExecution()
		var h history.History
		events := s.client.GetWorkflowHistory(s.t.Context(), w.GetWorkflowId(), w.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
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
