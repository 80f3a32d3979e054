package cmd

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/crossing"
	"github.com/twtr-dev/twtr/workflows"
)

func rebuildFeedCommand(s *Settings) *cobra.Command {
	return &cobra.Command{
		Use:   "rebuild-feed USER",
		Short: "Make a user's feed what their followings say; the exit code is 0 if it was",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return rebuildFeed(c, s, workflows.RebuildFeedInput{Reader: args[0]})
		},
	}
}

func auditCommand(s *Settings) *cobra.Command {
	var user string
	var repair bool
	command := &cobra.Command{
		Use:   "audit TWEET-ID | --user USER",
		Short: "Compare a tweet's delivery, or a user's feed, with what it should be; the exit code is 0 if it is",
		Long: `Compare the feeds that a tweet was delivered to, or one user's feed, with what they should hold, and count what is
missing and what is extra. Nothing is changed, unless --repair says so. The exit code is 0 if nothing is missing or extra.`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if (user == "") == (len(args) == 0) {
				return usageError{fmt.Errorf("name either a tweet or a user; usage: %s", c.UseLine())}
			}
			if user != "" {
				return rebuildFeed(c, s, workflows.RebuildFeedInput{Reader: user, DryRun: !repair})
			}
			id, err := uuid.Parse(args[0])
			if err != nil {
				return usageError{fmt.Errorf("%q is not a tweet's id", args[0])}
			}
			return audit(c, s, func(ctx context.Context, p *Process) (client.WorkflowRun, error) {
				in := workflows.AuditDeliveryInput{TweetID: id, Repair: repair}
				return p.temporal.ExecuteWorkflow(ctx, in.StartOptions(), workflows.AuditDelivery, in)
			})
		},
	}
	command.Flags().StringVar(&user, "user", "", "audit this user's feed")
	command.Flags().BoolVar(&repair, "repair", false, "mend what is found")
	return command
}

func rebuildFeed(c *cobra.Command, s *Settings, in workflows.RebuildFeedInput) error {
	return audit(c, s, func(ctx context.Context, p *Process) (client.WorkflowRun, error) {
		if _, err := p.store.User(ctx, in.Reader); err != nil {
			return nil, err
		}
		return p.temporal.ExecuteWorkflow(ctx, in.StartOptions(), workflows.RebuildFeed, in)
	})
}

// progressEvery is how often an audit that runs says how far it is.
const progressEvery = 500 * time.Millisecond

// audit starts a workflow, says on standard error how far it is, and prints what it found.
func audit(c *cobra.Command, s *Settings, start func(context.Context, *Process) (client.WorkflowRun, error)) error {
	ctx := c.Context()
	p, err := Connect(ctx, s, "", io.Discard)
	if err != nil {
		return err
	}
	defer p.Close()
	run, err := start(ctx, p)
	if err != nil {
		return err
	}
	for running := true; running; {
		select {
		case <-time.After(progressEvery):
		case <-ctx.Done():
			return fmt.Errorf("%s goes on: %w", run.GetID(), ctx.Err())
		}
		d, err := p.temporal.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
		if err != nil {
			return err
		}
		running = d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING
		for _, step := range d.GetPendingActivities() {
			// An audit of a delivery reports a [twtr.Delivery], one of a feed a [twtr.Audit].
			var progress struct{ Looked, Delivered int64 }
			if converter.GetDefaultDataConverter().FromPayloads(step.GetHeartbeatDetails(), &progress) == nil {
				fmt.Fprintf(c.ErrOrStderr(), "looked at %d, try %d\n", progress.Looked+progress.Delivered, step.GetAttempt())
			}
		}
	}
	var found twtr.Audit
	if err := run.Get(ctx, &found); err != nil {
		return crossing.FromTemporal(err)
	}
	fmt.Fprintf(c.OutOrStdout(), "looked at %d: %d missing, %d extra\n", found.Looked, found.Missing, found.Extra)
	if found.Missing+found.Extra > 0 {
		return fmt.Errorf("%d missing and %d extra", found.Missing, found.Extra)
	}
	return nil
}
