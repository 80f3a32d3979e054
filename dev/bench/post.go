package main

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const bareQueue, bareFollowUpQueue = "bench", "bench-follow-up"

// bare is the least that a workflow can be whose caller is answered when a local activity is done. With follow-up it has
// PostTweet's shape: then an activity on another worker's task queue, and another local one.
func bare(ctx workflow.Context, followUp bool) error {
	done, settle := workflow.NewFuture(ctx)
	err := workflow.SetUpdateHandler(ctx, "stored", func(ctx workflow.Context) error { return done.Get(ctx, nil) })
	if err != nil {
		return err
	}
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Second})
	settle.SetError(workflow.ExecuteLocalActivity(local, nothing).Get(ctx, nil))
	if followUp {
		regular := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: bareFollowUpQueue, StartToCloseTimeout: time.Second})
		if err := workflow.ExecuteActivity(regular, nothing).Get(ctx, nil); err != nil {
			return err
		}
		if err := workflow.ExecuteLocalActivity(local, nothing).Get(ctx, nil); err != nil {
			return err
		}
	}
	return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

func nothing(context.Context) error { return nil }

// post measures the answer to POST /tweets, beside an Update-with-Start on the same server that does nothing.
func post(b *bench) error {
	for _, queue := range []string{bareQueue, bareFollowUpQueue} {
		w := worker.New(b.temporal, queue, worker.Options{})
		w.RegisterWorkflow(bare)
		w.RegisterActivity(nothing)
		if err := w.Start(); err != nil {
			return err
		}
		defer w.Stop()
	}
	update := func(followUp bool) error {
		handle, err := b.temporal.UpdateWithStartWorkflow(b.ctx, client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: b.temporal.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
				ID: uuid.NewString(), TaskQueue: bareQueue, WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
			}, bare, followUp),
			UpdateOptions: client.UpdateWorkflowOptions{UpdateName: "stored", WaitForStage: client.WorkflowUpdateStageCompleted},
		})
		if err != nil {
			return err
		}
		return handle.Get(b.ctx, nil)
	}
	kinds := []struct {
		name string
		do   func(client int) error
	}{
		{"POST /tweets", func(int) error { _, err := b.post(token("nobodys-idol")); return err }},
		{"bare", func(int) error { return update(false) }},
		{"bare of its shape", func(int) error { return update(true) }},
	}
	for _, load := range []struct {
		name    string
		clients int
		rest    time.Duration
	}{
		{"1 client with rests", 1, 100 * time.Millisecond}, // in which a tweet's delivery ends
		{"1 client", 1, 0},
		{"16 clients", 16, 0},
	} {
		p50, p99, rate := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
		for range b.scale.rounds {
			for _, k := range kinds {
				took, perSecond, err := b.load(load.clients, load.rest, k.do)
				if err != nil {
					return err
				}
				p50[k.name] = append(p50[k.name], percentile(took, 0.5))
				p99[k.name] = append(p99[k.name], percentile(took, 0.99))
				rate[k.name] = append(rate[k.name], perSecond)
				time.Sleep(b.scale.round / 5) // what the answers left to do is not the next one's
			}
		}
		const ours, least, shape = "POST /tweets, ", "bare, ", "bare of its shape, "
		for _, k := range kinds {
			b.add(k.name+", "+load.name+", p50", "ms", p50[k.name]...)
			b.add(k.name+", "+load.name+", p99", "ms", p99[k.name]...)
			if load.rest == 0 {
				b.add(k.name+", "+load.name, "/s", rate[k.name]...)
			}
		}
		b.ratio(ours+load.name+", p50", least+load.name+", p50")
		b.ratio(ours+load.name+", p99", shape+load.name+", p99")
		if load.rest == 0 {
			b.ratio(ours+load.name, shape+load.name)
		}
	}
	return nil
}
