package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/inspect"
	"github.com/twtr-dev/twtr/internal/temporalerr"
	"github.com/twtr-dev/twtr/workflows"
)

func rebuildFeedCommand(s *Settings) *cobra.Command {
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "rebuild-feed USER",
		Short: "Rebuild a user's feed from the accounts they follow",
		Long: `Rebuild a user's feed from the accounts they follow: write what is missing, remove what is extra, and print how much that
was. It is a workflow: it keeps running when the command is interrupted.`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return auditFeed(c, s, workflows.RebuildFeedInput{Reader: twtr.FoldUsername(args[0])}, timeout)
		},
	}
	addTimeout(command, &timeout)
	return reads(command, workflowSettings...)
}

func auditCommand(s *Settings) *cobra.Command {
	var user string
	var repair bool
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "audit TWEET-ID | --user USER",
		Short: "Compare a tweet's delivery, or a user's feed, with what it should be",
		Long: `Compare the feeds that a tweet was delivered to, or one user's feed, with what they should hold, and count what is
missing and what is extra. Nothing is changed without --repair. It is a workflow: it keeps running when the command is interrupted.

It exits 0 if nothing is missing or extra, or after a repair; 3 if something is, without --repair; 1 if it fails.`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if (user == "") == (len(args) == 0) {
				return usageError{fmt.Errorf("name either a tweet or a user; usage: %s", c.UseLine())}
			}
			if user != "" {
				return auditFeed(c, s, workflows.RebuildFeedInput{Reader: twtr.FoldUsername(user), DryRun: !repair}, timeout)
			}
			id, err := uuid.Parse(args[0])
			if err != nil {
				return usageError{fmt.Errorf("%q is not the ID of a tweet", args[0])}
			}
			return auditDelivery(c, s, workflows.AuditDeliveryInput{TweetID: id, Repair: repair}, timeout)
		},
	}
	command.Flags().StringVar(&user, "user", "", "audit this user's feed")
	command.Flags().BoolVar(&repair, "repair", false, "write what is missing and remove what is extra")
	addTimeout(command, &timeout)
	return reads(command, workflowSettings...)
}

func auditUserCommand(s *Settings) *cobra.Command {
	return reads(&cobra.Command{
		Use:   "audit-user USER",
		Short: "Print which tables of the store hold anything of a user, as after their account was deleted",
		Long: `Print the tables of the store that hold anything of a user, also in rows of other users. The name of a deleted account, which
stays taken, does not count. It reads the whole store, and changes nothing. Workflows are not looked at.

It exits 0 if no table does; 3 if some do; 1 if it fails.`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			config, err := s.Parse()
			if err != nil {
				return err
			}
			store, err := config.Store.open(c.Context())
			if err != nil {
				return err
			}
			defer store.Close()
			username := twtr.FoldUsername(args[0])
			tables, err := store.Traces(c.Context(), username)
			if err != nil {
				return err
			}
			for _, table := range tables {
				fmt.Fprintln(c.OutOrStdout(), table)
			}
			if len(tables) > 0 {
				return deviation{fmt.Errorf("the store holds something of user %s", username)}
			}
			return nil
		},
	}, storeSettings...)
}

func addTimeout(c *cobra.Command, timeout *time.Duration) {
	c.Flags().DurationVar(timeout, "timeout", 0, "how long to wait for the result; 0: no limit")
}

func auditDelivery(c *cobra.Command, s *Settings, in workflows.AuditDeliveryInput, timeout time.Duration) error {
	a := audit{options: in.StartOptions(), workflow: workflows.AuditDelivery, in: in, repair: in.Repair, unit: "feed"}
	return a.run(c, s, timeout)
}

func auditFeed(c *cobra.Command, s *Settings, in workflows.RebuildFeedInput, timeout time.Duration) error {
	a := audit{options: in.StartOptions(), workflow: workflows.RebuildFeed, in: in, repair: !in.DryRun, unit: "followed user", user: in.Reader}
	return a.run(c, s, timeout)
}

// audit is a workflow that returns a [twtr.Audit].
type audit struct {
	options  client.StartWorkflowOptions
	workflow any
	in       any
	repair   bool
	unit     string // that the audit checks, in the singular
	user     string // who must exist; "" for none
}

const (
	// auditEvery is how often a running audit is asked for its progress.
	auditEvery = 500 * time.Millisecond
	// workerTimeout is how long an audit waits for a worker to take its next task before it says so.
	workerTimeout = 3 * time.Second
)

// run starts the workflow, prints its progress on standard error, and its result on standard output.
func (a audit) run(c *cobra.Command, s *Settings, timeout time.Duration) error {
	config, err := s.Parse()
	if err != nil {
		return err
	}
	ctx := c.Context()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	app, err := Connect(ctx, config, "", io.Discard)
	if ctx.Err() != nil && c.Context().Err() == nil {
		return fmt.Errorf("gave up after %s: %w", timeout, err)
	}
	if err != nil {
		return err
	}
	defer app.Close()
	if a.user != "" {
		if _, err := app.store.User(ctx, a.user); err != nil {
			return err
		}
	}
	run, err := app.temporal.ExecuteWorkflow(ctx, a.options, a.workflow, a.in)
	if err != nil {
		return temporalerr.FromTemporal(err)
	}
	fmt.Fprintf(c.ErrOrStderr(), "started workflow %s\n", run.GetID())
	found, err := a.follow(ctx, app, run, c.ErrOrStderr())
	switch {
	case err == nil:
		return a.report(found, c.OutOrStdout())
	case c.Context().Err() != nil:
		return fmt.Errorf("interrupted; workflow %s keeps running. Run the command again to see its result", run.GetID())
	case ctx.Err() != nil:
		return fmt.Errorf("gave up after %s; workflow %s keeps running. Run the command again to see its result", timeout, run.GetID())
	}
	return temporalerr.FromTemporal(err)
}

// report prints the result. Without a repair it returns an error if the feeds are not what they should be.
func (a audit) report(found twtr.Audit, out io.Writer) error {
	differs := found.Missing+found.Extra > 0
	repaired := ""
	switch {
	case found.Failed > 0:
		repaired = fmt.Sprintf("; repaired, except %d", found.Failed)
	case differs && a.repair:
		repaired = "; repaired"
	}
	fmt.Fprintf(out, "checked %s: %d missing, %d extra%s\n", a.units(found.Checked), found.Missing, found.Extra, repaired)
	if differs && !a.repair {
		return deviation{errors.New("something is missing or extra; --repair corrects it")}
	}
	if found.Failed > 0 {
		return deviation{errors.New("the store refuses what is not repaired; the log of the worker of feeds says why")}
	}
	return nil
}

func (a audit) units(n int64) string {
	if n == 1 {
		return "1 " + a.unit
	}
	return fmt.Sprintf("%d %ss", n, a.unit)
}

// follow prints what the workflow does until it is closed, and returns its result.
func (a audit) follow(ctx context.Context, app *App, run client.WorkflowRun, out io.Writer) (found twtr.Audit, err error) {
	last, waiting := "", time.Now() // since when no worker has taken its task
	say := func(line string) {
		if line != "" && line != last {
			fmt.Fprintln(out, line)
			last = line
		}
	}
	for running := true; running; {
		select {
		case <-time.After(auditEvery):
		case <-ctx.Done():
			return found, ctx.Err()
		}
		d, err := app.temporal.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
		if err != nil {
			return found, err
		}
		running = d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING
		for _, activity := range d.GetPendingActivities() {
			say(a.progress(activity))
		}
		if !running || !waitsForWorker(d) {
			waiting = time.Now()
		}
		if time.Since(waiting) > workerTimeout {
			reason, err := a.whyNoWorker(ctx, inspect.NewQueues(app.temporal, app.namespace))
			if err != nil {
				return found, err
			}
			say(reason)
		}
	}
	return found, run.Get(ctx, &found)
}

// progress describes an activity by its last heartbeat, and by its error if it is retried.
func (a audit) progress(activity *workflow.PendingActivityInfo) string {
	var checked twtr.Audit
	var parts []string
	err := converter.GetDefaultDataConverter().FromPayloads(activity.GetHeartbeatDetails(), &checked)
	if err == nil && checked.Checked > 0 {
		parts = append(parts, fmt.Sprintf("checked %s: %d missing, %d extra", a.units(checked.Checked), checked.Missing, checked.Extra))
	}
	if failure := activity.GetLastFailure(); failure != nil {
		converter.DecodeCommonFailureAttributes(converter.GetDefaultDataConverter(), failure)
		parts = append(parts, fmt.Sprintf("attempt %d failed: %s", activity.GetAttempt()-1, failure.GetMessage()))
	}
	return strings.Join(parts, "; ")
}

// waitsForWorker reports whether the workflow has a task, and no worker has taken it. An activity that waits for its next attempt has
// none.
func waitsForWorker(d *workflowservice.DescribeWorkflowExecutionResponse) bool {
	if task := d.GetPendingWorkflowTask(); task != nil {
		return task.GetState() == enums.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
	}
	return slices.ContainsFunc(d.GetPendingActivities(), func(activity *workflow.PendingActivityInfo) bool {
		return activity.GetState() == enums.PENDING_ACTIVITY_STATE_SCHEDULED && activity.GetLastFailure() == nil
	})
}

// whyNoWorker says whether there is a worker at all.
func (a audit) whyNoWorker(ctx context.Context, queues *inspect.Queues) (string, error) {
	queue := a.options.TaskQueue
	state, err := queues.Look(ctx, inspect.Queue{Name: queue, Type: enums.TASK_QUEUE_TYPE_WORKFLOW})
	if err != nil {
		return "", err
	}
	if len(state.Live) > 0 {
		return fmt.Sprintf("waiting for a worker of task queue %s: %s polls it, and has not taken the task yet", queue, state.Live[0].GetIdentity()), nil
	}
	return fmt.Sprintf("waiting for a worker of task queue %[1]s, which none has polled for %[2]d s: start `twtr worker %[1]s`",
		queue, int(inspect.Gone.Seconds())), nil
}
