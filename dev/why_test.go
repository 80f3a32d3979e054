package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/cmd"
	"github.com/twtr-dev/twtr/workflows"
)

// whySection is the section of docs/operations.md that tells why a delivery is not finished.
type whySection struct {
	command string
	says    map[string][]*regexp.Regexp // by case
}

var inCode = regexp.MustCompile("`([^`]+)`")

func readWhySection(t *testing.T) (w whySection) {
	text, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## Why is this delivery not finishing?\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	_, command, found := strings.Cut(section, "\n    $ ")
	require.True(t, found)
	w.command, _, _ = strings.Cut(command, "\n")
	_, table, found := strings.Cut(section, "| case | `why` says | what to do |\n|---|---|---|\n")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	w.says = map[string][]*regexp.Regexp{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, " | ")
		require.Len(t, cells, 3, row)
		name := strings.TrimPrefix(cells[0], "| ")
		for _, says := range inCode.FindAllStringSubmatch(cells[1], -1) {
			pattern := strings.ReplaceAll(regexp.QuoteMeta(says[1]), "…", ".+")
			w.says[name] = append(w.says[name], regexp.MustCompile("(?m)^why +"+pattern))
		}
		require.NotEmpty(t, w.says[name], row)
	}
	return w
}

// prepared is a delivery that is not finished, for a reason that the document must tell.
type prepared struct {
	*stack
	whySection
	bin string // a directory with the command twtr
}

// shows runs the documented command until it says what the document does about the case.
func (p *prepared) shows(name string, id uuid.UUID) {
	p.t.Helper()
	require.Contains(p.t, p.says, name, "the document's cases")
	var said string
	wants := p.says[name]
	delete(p.says, name)
	defer func() { p.t.Logf("%s:\n%s", name, said) }()
	p.eventuallyWithin(3*time.Minute, name, func() bool {
		why := exec.Command("bash", "-c", p.command)
		why.Env = append(os.Environ(), "PATH="+p.bin+":"+os.Getenv("PATH"), "TWEET="+id.String(), "TEMPORAL_ADDRESS="+p.temporal)
		output, err := why.CombinedOutput()
		said = string(output)
		return err == nil && slices.ContainsFunc(wants, func(want *regexp.Regexp) bool { return want.MatchString(said) })
	})
}

// commandTwtr makes a directory with the command twtr, which is this binary.
func commandTwtr(t *testing.T) (dir string) {
	dir = t.TempDir()
	script := "#!/bin/sh\n" + asEnv + "=twtr exec '" + os.Args[0] + "' \"$@\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "twtr"), []byte(script), 0o700))
	return dir
}

// workWith starts workers with a setting that was changed.
func (s *stack) workWith(app *cmd.App, change func(*cmd.WorkersConfig), domains ...string) (stop func()) {
	config := s.config.Workers
	change(&config)
	return s.background(func(ctx context.Context) error { return app.RunWorkers(ctx, config, domains...) })
}

func TestTheDocumentTellsWhyADeliveryIsNotFinished(t *testing.T) {
	s := newStack(t, "cassandra")
	p := &prepared{stack: s, whySection: readWhySection(t), bin: commandTwtr(t)}
	s.work("users", "followers")
	stopTweets := s.work("tweets")
	ann, eve := s.signUp("ann"), s.signUp("eve")
	s.writeFollowers("ann", "reader")
	s.writeFollowers("eve", names(1000)...) // the limiter lets 500 pass at once

	first := s.tweet(ann, "nobody delivers it")
	p.shows("no worker", first.ID)

	run := &common.WorkflowExecution{WorkflowId: workflows.PostTweetID(first.ID)}
	d, err := s.client.DescribeWorkflowExecution(t.Context(), run.GetWorkflowId(), "")
	require.NoError(t, err)
	deliver := d.GetPendingActivities()[0].GetActivityId()
	_, err = s.client.WorkflowService().PauseActivity(t.Context(), &workflowservice.PauseActivityRequest{
		Namespace: "default", Execution: run, Identity: "ann@desk", Reason: "it is too fast",
		Activity: &workflowservice.PauseActivityRequest_Id{Id: deliver},
	})
	require.NoError(t, err)
	p.shows("paused", first.ID)
	_, err = s.client.WorkflowService().UnpauseActivity(t.Context(), &workflowservice.UnpauseActivityRequest{
		Namespace: "default", Execution: run, Activity: &workflowservice.UnpauseActivityRequest_Id{Id: deliver},
	})
	require.NoError(t, err)

	stopTweets()
	stopOther := s.otherBuild()
	stopFeeds := s.work("feeds")
	p.shows("incompatible build", first.ID)
	stopOther()

	s.work("tweets")
	s.writeFollowers("ann", "") // Cassandra refuses the key of this feed
	second := s.tweet(ann, "to all but one")
	s.eventually("it is delivered to all but one", func() bool { return s.completed(workflows.PostTweetID(second.ID)) })
	p.shows("refused row", second.ID)
	stopFeeds()

	stopFeeds = s.workWith(s.app, func(c *cmd.WorkersConfig) { c.FeedRowsPerSecond = 10 }, "feeds")
	third := s.tweet(eve, "slowly")
	p.shows("throttle", third.ID)
	stopFeeds()

	_, cassandra := s.proxies()
	config := s.config
	config.Store.Cassandra.Hosts = []string{cassandra.Addr()}
	apart, err := cmd.Connect(t.Context(), config, s.temporal, s.logs)
	require.NoError(t, err)
	t.Cleanup(apart.Close)
	s.workWith(apart, func(*cmd.WorkersConfig) {}, "feeds")
	cassandra.Cut()
	fourth := s.tweet(ann, "the store is unavailable")
	p.shows("store unavailable", fourth.ID)
	require.Empty(t, p.says, "the document has cases that nothing prepares")

	require.NoError(t, cassandra.Heal(t.Context()))
	s.eventuallyWithin(2*time.Minute, "it is delivered when the store is back", func() bool { return s.completed(workflows.PostTweetID(fourth.ID)) })
}

// otherBuild starts a worker of tweets whose PostTweet begins with another step than this build's.
func (s *stack) otherBuild() (stop func()) {
	w := worker.New(s.client, workflows.TweetsQueue, worker.Options{WorkerStopTimeout: time.Second})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context, _ workflows.PostTweetInput) error {
		return workflow.Sleep(ctx, time.Second)
	}, workflow.RegisterOptions{Name: "PostTweet"})
	require.NoError(s.t, w.Start())
	return w.Stop
}

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("reader-", i)
	}
	return all
}

// writeFollowers gives the author followers, who need not exist. A name may be empty, as a clustering column may be. The store then
// refuses to write the feed: the key of a partition may not be empty.
func (s *stack) writeFollowers(author string, followers ...string) {
	cluster := gocql.NewCluster(s.config.Store.Cassandra.Hosts...)
	cluster.Keyspace = s.config.Store.Cassandra.Keyspace
	session, err := cluster.CreateSession()
	require.NoError(s.t, err)
	defer session.Close()
	for _, name := range followers {
		require.NoError(s.t, session.Query("INSERT INTO followers (username, bucket, follower) VALUES (?, ?, ?)",
			author, twtr.FollowerBucket(name), name).Exec())
	}
}
