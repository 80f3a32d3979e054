package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/twtr-dev/twtr/workflows"
)

func schedulesCommand(s *Settings) *cobra.Command {
	command := &cobra.Command{
		Use:   "schedules",
		Short: "Manage what Temporal starts every night",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	all := []schedule{
		{in: workflows.AuditRecentInput{}, workflow: workflows.AuditRecent},
		{in: workflows.RecountDriftedInput{}, workflow: workflows.RecountDrifted},
	}
	apply := &cobra.Command{
		Use:   "apply",
		Short: "Create Temporal's schedules, or bring them up to date",
		Long: `Create Temporal's schedules, or bring them up to date. It may run again and again: with the same times it changes nothing. A
schedule that was paused stays paused. An empty time deletes the schedule.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := s.Parse()
			if err != nil {
				return err
			}
			app, err := Connect(c.Context(), config, "", c.ErrOrStderr())
			if err != nil {
				return err
			}
			defer app.Close()
			for _, one := range all {
				if err := one.apply(c.Context(), app.temporal.ScheduleClient(), c.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	apply.Flags().StringVar(&all[0].cron, "audit", "0 3 * * *", "when to audit and repair a sample of the last day's deliveries, as a cron line in UTC; empty: never")
	apply.Flags().StringVar(&all[1].cron, "recount", "30 3 * * *", "when to correct follower counts that have drifted, likewise")
	command.AddCommand(reads(apply, workflowSettings...))
	return reads(command)
}

// schedule is a workflow that Temporal starts at certain times. Its ID is that of the workflow.
type schedule struct {
	in       workflows.Input
	workflow any
	cron     string // empty: never
}

// catchup is the time for which Temporal starts late what it could not start in time.
const catchup = 6 * time.Hour

func (s schedule) apply(ctx context.Context, schedules client.ScheduleClient, out io.Writer) error {
	options := s.in.StartOptions()
	done, err := s.change(ctx, schedules, options)
	if _, invalid := errors.AsType[*serviceerror.InvalidArgument](err); invalid {
		return usageError{fmt.Errorf("schedule %s: %w", options.ID, err)}
	}
	if err != nil {
		return fmt.Errorf("schedule %s: %w", options.ID, err)
	}
	fmt.Fprintf(out, "schedule %s: %s\n", options.ID, done)
	return nil
}

// change makes the schedule what it should be, and says what it did.
func (s schedule) change(ctx context.Context, schedules client.ScheduleClient, options client.StartWorkflowOptions) (string, error) {
	handle := schedules.GetHandle(ctx, options.ID)
	if s.cron == "" {
		err := handle.Delete(ctx)
		if _, missing := errors.AsType[*serviceerror.NotFound](err); missing {
			return "there is none", nil
		}
		return "deleted", err
	}
	spec := client.ScheduleSpec{CronExpressions: []string{s.cron}}
	action := &client.ScheduleWorkflowAction{ID: options.ID, TaskQueue: options.TaskQueue, Workflow: s.workflow, Args: []any{s.in},
		WorkflowTaskTimeout: options.WorkflowTaskTimeout, StaticSummary: options.StaticSummary, StaticDetails: options.StaticDetails}
	_, err := schedules.Create(ctx, client.ScheduleOptions{ID: options.ID, Spec: spec, Action: action,
		Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: catchup})
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return "created: " + s.cron, err
	}
	err = handle.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		schedule := in.Description.Schedule
		schedule.Spec, schedule.Action = &spec, action
		schedule.Policy = &client.SchedulePolicies{Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: catchup}
		return &client.ScheduleUpdate{Schedule: &schedule}, nil
	}})
	return "up to date: " + s.cron, err
}
