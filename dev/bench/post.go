package main

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr/dev/bench/measure"
)

const noOpQueue, noOpFeedsQueue = "bench", "bench-feeds"

// noOp does nothing: at once or, with steps, in the steps of a PostTweet: a local activity, an activity on another task queue, and
// another local one.
func noOp(ctx workflow.Context, steps bool) error {
	if !steps {
		return nil
	}
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Second})
	if err := workflow.ExecuteLocalActivity(local, nothing).Get(ctx, nil); err != nil {
		return err
	}
	regular := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: noOpFeedsQueue, StartToCloseTimeout: time.Second})
	if err := workflow.ExecuteActivity(regular, nothing).Get(ctx, nil); err != nil {
		return err
	}
	return workflow.ExecuteLocalActivity(local, nothing).Get(ctx, nil)
}

func nothing(context.Context) error { return nil }

// post measures the answer to POST /tweets, compared with the start of a no-op workflow and an INSERT of the tweet's rows.
func post(b *bench) error {
	for _, queue := range []string{noOpQueue, noOpFeedsQueue} {
		w := worker.New(b.temporal, queue, worker.Options{})
		w.RegisterWorkflow(noOp)
		w.RegisterActivity(nothing)
		if err := w.Start(); err != nil {
			return err
		}
		defer w.Stop()
	}
	startAndInsert := func(steps bool) error {
		tweet, err := newTweet("author")
		if err != nil {
			return err
		}
		options := client.StartWorkflowOptions{ID: uuid.NewString(), TaskQueue: noOpQueue, EnableEagerStart: true}
		if _, err := b.temporal.ExecuteWorkflow(b.ctx, options, noOp, steps); err != nil {
			return err
		}
		return b.raw.putTweet(b.ctx, tweet)
	}
	kinds := []struct {
		name string
		do   func(client int) error
	}{
		{"POST /tweets", func(int) error { _, err := b.post("author"); return err }},
		{"start + INSERT", func(int) error { return startAndInsert(false) }},
		{"start + INSERT, same steps", func(int) error { return startAndInsert(true) }},
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
		times, rate := map[string]*percentiles{}, map[string][]float64{}
		for _, k := range kinds {
			times[k.name] = &percentiles{}
		}
		for range b.scale.rounds {
			for _, k := range kinds {
				took, perSecond, err := b.load(load.clients, load.rest, k.do)
				if err != nil {
					return err
				}
				times[k.name].add(took)
				rate[k.name] = append(rate[k.name], perSecond)
				if err := b.awaitIdle(); err != nil {
					return err
				}
			}
		}
		for _, k := range kinds {
			times[k.name].report(b, k.name+", "+load.name)
			if load.rest == 0 {
				b.add(k.name+", "+load.name, "/s", rate[k.name]...)
			}
		}
		const ours, least, same = "POST /tweets, ", "start + INSERT, ", "start + INSERT, same steps, "
		b.ratio(ours+load.name+", p50", least+load.name+", p50")
		b.ratio(ours+load.name+", p99", same+load.name+", p99")
		if load.rest == 0 {
			b.ratio(ours+load.name, same+load.name)
		}
	}
	return nil
}

// awaitIdle waits until no workflow runs, because the answers come before the work is done.
func (b *bench) awaitIdle() error {
	return measure.Await(b.ctx, "all workflows have closed", func() (bool, error) {
		running, err := measure.Count(b.ctx, b.temporal, "ExecutionStatus = 'Running'")
		return running == 0, err
	})
}
