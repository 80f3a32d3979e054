package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/google/uuid"
)

// sizes measures a whole PostTweet, from the request to its receipt, for authors of different fame.
func sizes(b *bench) error {
	for _, n := range b.scale.sizes {
		author := fmt.Sprintf("author-%d", n)
		if err := b.seed(author, n); err != nil {
			return err
		}
		var rate []float64
		for range b.scale.rounds {
			took, err := b.tweetAndWait(author, n)
			if err != nil {
				return err
			}
			rate = append(rate, float64(n)/took.Seconds())
		}
		tweets, err := b.store.TweetsByUser(b.ctx, author, uuid.Nil, 1)
		if err != nil {
			return err
		}
		id := "post-tweet/" + tweets[0].ID.String()
		if err := b.temporal.GetWorkflow(b.ctx, id, "").Get(b.ctx, nil); err != nil {
			return err
		}
		d, err := b.temporal.DescribeWorkflowExecution(b.ctx, id, "")
		if err != nil {
			return err
		}
		peak, err := b.feedsPeak()
		if err != nil {
			return err
		}
		b.add(fmt.Sprintf("%d followers", n), "deliveries/s", rate...)
		b.add(fmt.Sprintf("%d followers: history", n), "events", float64(d.GetWorkflowExecutionInfo().GetHistoryLength()))
		b.add(fmt.Sprintf("%d followers: history's size", n), "bytes", float64(d.GetWorkflowExecutionInfo().GetHistorySizeBytes()))
		b.add(fmt.Sprintf("%d followers: worker's peak so far", n), "MiB", peak)
	}
	return nil
}

// feedsPeak is the most memory that the feeds worker has had, in MiB.
func (b *bench) feedsPeak() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.feeds.Process.Pid))
	if err != nil {
		return 0, err
	}
	var kib float64
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(after, &kib); err != nil {
		return 0, err
	}
	return kib / 1024, nil
}
