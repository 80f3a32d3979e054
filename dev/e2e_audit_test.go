package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr"
)

// twtr runs a command of the binary against the stack, and returns its exit code and what it printed.
func (s *stack) twtr(args ...string) (code int, output string) {
	twtr := s.twtrCommand(args...)
	said, err := twtr.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		s.t.Fatal(err)
	}
	return twtr.ProcessState.ExitCode(), string(said)
}

func (s *stack) twtrCommand(args ...string) *exec.Cmd {
	twtr := exec.Command(os.Args[0], append(args, s.args...)...)
	twtr.Env = append(append(os.Environ(), secretsEnv...), asEnv+"=twtr", "TEMPORAL_ADDRESS="+s.temporal)
	return twtr
}

func TestAnAuditFindsWhatADeliveryLostAndRepairsIt(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		ann := s.signUp("ann")
		readers := s.seedFollowers("ann", 1200)
		posted := s.tweet(ann, "hello")
		s.eventually("it is delivered", func() bool { return s.delivery(ann, posted.ID).State == "complete" })
		id := posted.ID.String()
		audit := func(code int, says string, args ...string) {
			t.Helper()
			got, output := s.twtr(append([]string{"audit", id}, args...)...)
			require.Equal(t, code, got, output)
			require.Contains(t, output, says)
		}
		audit(0, "checked 1200 feeds: 0 missing, 0 extra")
		// Lost, as by a store that forgets.
		for _, reader := range readers[:70] {
			require.NoError(t, s.store.DeleteFeedItems(t.Context(), reader, []uuid.UUID{posted.ID}, posted.at(t)))
		}
		audit(3, "checked 1200 feeds: 70 missing, 0 extra")
		require.Equal(t, 1130, s.delivered(posted.ID, readers), "nothing was changed")
		audit(0, "70 missing, 0 extra; repaired", "--repair")
		audit(0, "0 missing, 0 extra")
		require.Equal(t, 1200, s.delivered(posted.ID, readers))

		s.nightly(func() {
			require.NoError(t, s.store.DeleteFeedItems(t.Context(), readers[100], []uuid.UUID{posted.ID}, posted.at(t)))
		}, "audit-recent", `"missing":1`)
		require.Equal(t, 1200, s.delivered(posted.ID, readers))

		s.deleteTweet(ann, posted.ID)
		s.eventually("it is retracted", func() bool { return s.delivery(ann, posted.ID).State == "retracted" })
		audit(0, "0 missing, 0 extra")
		// A follower whom the retraction did not know.
		extra := s.signUp("extra")
		s.follow(extra, "ann")
		require.NoError(t, s.store.PutFeedItem(t.Context(), stored(t, posted), []string{"extra"}))
		audit(3, "1 extra")
		audit(0, "1 extra; repaired", "--repair")
		audit(0, "0 missing, 0 extra")

		code, output := s.twtr("audit", uuid.Must(uuid.NewV7()).String())
		require.Equal(t, 1, code)
		require.Contains(t, output, "there is no tweet")
		code, output = s.twtr("audit", "x")
		require.Equal(t, 2, code, output)
		code, output = s.twtr("audit")
		require.Equal(t, 2, code, output)
	})
}

func TestAnAuditSaysAtOnceThatItWaitsForAWorkerAndContinuesWhenThereIsOne(t *testing.T) {
	s := newStack(t, "sqlite")
	require.NoError(t, s.store.CreateUser(t.Context(), twtr.User{Username: "ann", PasswordHash: "hash", CreatedAt: time.Now()}))
	code, output := s.twtr("audit", "--user", "ann", "--timeout", "2s")
	require.Equal(t, 1, code, output)
	require.Contains(t, output, "gave up after 2s")
	command := s.twtrCommand("rebuild-feed", "ann")
	said := &buffer{}
	command.Stdout, command.Stderr = said, said
	require.NoError(t, command.Start())
	waiting := "started workflow rebuild-feed/ann\nwaiting for a worker of task queue feeds, which none has polled for 65 s: start `twtr worker feeds`\n"
	s.eventually("it says so", func() bool { return said.String() == waiting })
	s.work("feeds")
	require.NoError(t, command.Wait())
	require.Equal(t, waiting+"checked 0 followed users: 0 missing, 0 extra\n", said.String())
}

// nightly applies the schedules, twice, breaks something, and wants the run that the schedule starts to report it.
func (s *stack) nightly(breakIt func(), id, report string) {
	s.t.Helper()
	for _, says := range []string{"created", "up to date"} {
		code, output := s.twtr("schedules", "apply")
		require.Equal(s.t, 0, code, output)
		require.Contains(s.t, output, "schedule "+id+": "+says)
	}
	breakIt()
	schedule := s.client.ScheduleClient().GetHandle(s.t.Context(), id)
	require.NoError(s.t, schedule.Trigger(s.t.Context(), client.ScheduleTriggerOptions{}))
	var run client.ScheduleWorkflowExecution
	s.eventually("the schedule has started it", func() bool {
		d, err := schedule.Describe(s.t.Context())
		require.NoError(s.t, err)
		if len(d.Info.RecentActions) > 0 {
			run = *d.Info.RecentActions[0].StartWorkflowResult
		}
		return run.WorkflowID != ""
	})
	var result json.RawMessage
	require.NoError(s.t, s.client.GetWorkflow(s.t.Context(), run.WorkflowID, run.FirstExecutionRunID).Get(s.t.Context(), &result))
	require.Contains(s.t, string(result), report)
	code, output := s.twtr("schedules", "apply", "--audit", "", "--recount", "no cron line")
	require.Equal(s.t, 2, code, output)
	require.Contains(s.t, output, "schedule "+id+": deleted")
}

func TestAFeedIsRebuiltFromWhatItsReaderFollows(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		bob := s.signUp("bob")
		tokens := map[string]string{}
		for _, author := range []string{"ann", "eve", "joe"} {
			tokens[author] = s.signUp(author)
			if author != "joe" {
				s.follow(bob, author)
			}
		}
		for i := range 5 {
			for author, token := range tokens {
				s.tweet(token, fmt.Sprint(author, i))
			}
		}
		s.eventually("all are delivered", func() bool { return len(s.feed(bob)) == 10 })
		want := s.feed(bob)
		says := func(code int, says string, args ...string) {
			t.Helper()
			got, output := s.twtr(args...)
			require.Equal(t, code, got, output)
			require.Contains(t, output, says)
		}
		says(0, "checked 2 followed users: 0 missing, 0 extra", "audit", "--user", "bob")
		// Three are lost, a stranger's and one that never was are there.
		lose := func(items ...tweet) {
			for _, one := range items {
				require.NoError(t, s.store.DeleteFeedItems(t.Context(), "bob", []uuid.UUID{one.ID}, one.at(t)))
			}
		}
		lose(want[2:5]...)
		var strangers []tweet
		s.ok("GET", "/tweets/joe?limit=1", "", nil, &strangers)
		extra := []twtr.Tweet{
			stored(t, strangers[0]),
			stored(t, tweet{ID: uuid.Must(uuid.NewV7()), Username: "ann", Content: "deleted long ago"}),
		}
		for _, one := range extra {
			require.NoError(t, s.store.PutFeedItem(t.Context(), one, []string{"bob"}))
		}
		broken := s.feed(bob)
		says(3, "checked 2 followed users: 3 missing, 2 extra", "audit", "--user", "bob")
		require.Equal(t, broken, s.feed(bob), "nothing was changed")
		says(0, "3 missing, 2 extra; repaired", "rebuild-feed", "bob")
		require.Equal(t, want, s.feed(bob))
		says(0, "0 missing, 0 extra", "rebuild-feed", "bob")
		lose(slices.Concat(want[:2], want[5:])...) // the others were written later than their tweets
		says(0, "7 missing, 0 extra; repaired", "audit", "--user", "bob", "--repair")
		require.Equal(t, want, s.feed(bob))
		says(1, "there is no user nobody", "rebuild-feed", "nobody")
	})
}
