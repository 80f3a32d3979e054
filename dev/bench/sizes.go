package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

// sizes measures a whole PostTweet, from the request to its receipt, by the number of the author's followers.
func sizes(b *bench) error {
	if err := inARow(b); err != nil {
		return err
	}
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
		tweets, err := b.store.TweetsByUser(b.ctx, author, twtr.Window{}, 1)
		if err != nil {
			return err
		}
		id := workflows.PostTweetID(tweets[0].ID)
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
		b.add(fmt.Sprintf("%d followers: size of the history", n), "bytes", float64(d.GetWorkflowExecutionInfo().GetHistorySizeBytes()))
		b.add(fmt.Sprintf("%d followers: peak memory of the worker so far", n), "MiB", peak)
	}
	return nil
}

// inARow measures tweets that are posted one after another while the ones before are being delivered, from the first POST until
// the last feed has the last tweet.
func inARow(b *bench) error {
	n := b.scale.sizes[0]
	author := fmt.Sprintf("author-%d", n)
	if err := b.seed(author, n); err != nil {
		return err
	}
	var rate []float64
	for range b.scale.rounds {
		begin := time.Now()
		ids := make([]uuid.UUID, b.scale.inARow)
		for i := range ids {
			var err error
			if ids[i], err = b.post(author); err != nil {
				return err
			}
		}
		for _, id := range ids {
			if err := b.awaitDelivery(id, n); err != nil {
				return err
			}
		}
		rate = append(rate, float64(n*b.scale.inARow)/time.Since(begin).Seconds())
	}
	b.add(fmt.Sprintf("%d followers, %d tweets in a row", n, b.scale.inARow), "deliveries/s", rate...)
	return nil
}

// feedsPeak is the highest memory use of the feeds worker, in MiB.
func (b *bench) feedsPeak() (float64, error) { return memory(b.feeds, "VmHWM") }

// memory is what Linux calls so of a running process, such as VmRSS, in MiB.
func memory(process *exec.Cmd, name string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.Process.Pid))
	if err != nil {
		return 0, err
	}
	var kib float64
	_, after, _ := strings.Cut(string(status), name+":")
	if _, err := fmt.Sscan(after, &kib); err != nil {
		return 0, err
	}
	return kib / 1024, nil
}
