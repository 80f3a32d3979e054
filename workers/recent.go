package workers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

// maxListed is the number of workflows, the newest, from which a sample is chosen.
const maxListed = 20_000

// recent lists workflows through Temporal's API. It implements [activities.Recent].
type recent struct {
	client client.Client
}

// Deliveries implements [activities.Recent].
func (r recent) Deliveries(ctx context.Context, since time.Time, limit int) ([]uuid.UUID, error) {
	ids, err := r.sample(ctx, "WorkflowType = 'PostTweet' AND ExecutionStatus = 'Completed'", since, limit)
	var tweets []uuid.UUID
	for _, id := range ids {
		if tweet, err := uuid.Parse(strings.TrimPrefix(id, "post-tweet/")); err == nil {
			tweets = append(tweets, tweet)
		}
	}
	return tweets, err
}

// Buckets implements [activities.Recent]. A bucket that several users follow, or unfollow, is chosen once.
func (r recent) Buckets(ctx context.Context, since time.Time, limit int) ([]activities.Bucket, error) {
	ids, err := r.sample(ctx, "WorkflowType IN ('Follow', 'CountFollowers')", since, limit)
	var buckets []activities.Bucket
	seen := map[activities.Bucket]bool{}
	for _, id := range ids {
		b, ok := bucketOf(id)
		if ok && !seen[b] {
			seen[b] = true
			buckets = append(buckets, b)
		}
	}
	return buckets, err
}

// bucketOf returns the bucket that a workflow changes, or counts, from its ID. A username has no slash.
func bucketOf(workflowID string) (activities.Bucket, bool) {
	parts := strings.Split(workflowID, "/")
	if len(parts) != 3 {
		return activities.Bucket{}, false
	}
	switch parts[0] {
	case "follow":
		return activities.Bucket{Username: parts[2], Bucket: twtr.FollowerBucket(parts[1])}, true
	case "count-followers":
		n, err := strconv.Atoi(parts[2])
		return activities.Bucket{Username: parts[1], Bucket: n}, err == nil
	}
	return activities.Bucket{}, false
}

// sample returns the IDs of up to limit of the workflows, chosen at random, that have closed since then.
func (r recent) sample(ctx context.Context, query string, since time.Time, limit int) (ids []string, err error) {
	query = fmt.Sprintf("%s AND CloseTime > '%s'", query, since.Format(time.RFC3339))
	for listed, token := 0, []byte(nil); ; {
		page, err := r.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: historyPage, NextPageToken: token})
		if err != nil {
			return nil, err
		}
		for _, w := range page.GetExecutions() {
			listed++
			// Each of those listed so far is chosen with the same probability.
			if len(ids) < limit {
				ids = append(ids, w.GetExecution().GetWorkflowId())
			} else if i := rand.IntN(listed); i < limit { //nolint:gosec // no secret
				ids[i] = w.GetExecution().GetWorkflowId()
			}
		}
		if token = page.GetNextPageToken(); len(token) == 0 || listed >= maxListed {
			return ids, nil
		}
	}
}
