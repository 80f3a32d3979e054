package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

func (a *API) deliveryRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/deliveries/:id", auth: true, handler: a.getDelivery},
	}
}

type deliveryBody struct {
	TweetID   uuid.UUID          `json:"tweetId"`
	State     twtr.DeliveryState `json:"state"`
	Delivered int64              `json:"delivered"`
	// Total is about how many feeds there are to write; when the delivery is over, how many were, or failed.
	Total int64 `json:"total"`
	// Failed is how many feeds could not be written; 0 before the delivery is over.
	Failed      int64           `json:"failed"`
	StartedAt   twtr.Timestamp  `json:"startedAt"`
	CompletedAt *twtr.Timestamp `json:"completedAt"` // null while it is running or retracting
}

// getDelivery responds with the receipt of a delivery, or with the progress of one that is running. It needs no worker.
func (a *API) getDelivery(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	id, err := tweetID(c)
	if err != nil {
		return nil, err
	}
	receipt, err := a.store.Receipt(ctx, id)
	if twtr.ErrorCode(err) == twtr.NotFound {
		var tweet twtr.Tweet
		tweet, err = a.store.Tweet(ctx, id)
		receipt = twtr.Receipt{TweetID: id, Username: tweet.Username, State: twtr.DeliveryRunning}
	}
	if err != nil {
		return nil, err
	}
	if receipt.Username != username(c) {
		return nil, errNotYours()
	}
	body := deliveryBody{TweetID: id, State: receipt.State, Delivered: receipt.Delivered, Failed: receipt.Failed,
		Total: receipt.Delivered + receipt.Failed, StartedAt: twtr.Timestamp(twtr.TimeOf(id))}
	switch receipt.State {
	case twtr.DeliveryRunning:
		if body.Delivered, err = deliveredSoFar(ctx, a.temporal, id); err != nil {
			return nil, err
		}
		body.Total, err = a.countFollowers(ctx, receipt.Username)
		body.Total = max(body.Total, body.Delivered) // counts lag
	case twtr.DeliveryComplete, twtr.DeliveryRetracted:
		completed := twtr.Timestamp(receipt.CompletedAt)
		body.CompletedAt = &completed
	}
	return body, err
}

// countFollowers is about how many followers the user has: the counts lag by a few seconds.
func (a *API) countFollowers(ctx context.Context, username string) (n int64, err error) {
	counts, err := a.store.FollowerCounts(ctx, username)
	return int64(twtr.CountOf(counts)), err
}

// deliveredSoFar asks Temporal how many feed items a running delivery has written. It is 0 for a delivery that Temporal does not
// know.
func deliveredSoFar(ctx context.Context, c client.Client, tweetID uuid.UUID) (int64, error) {
	d, err := c.DescribeWorkflowExecution(ctx, workflows.PostTweetID(tweetID), "")
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
		return 0, nil
	}
	if err != nil {
		return 0, temporalError("", err)
	}
	return workflows.DeliveredSoFar(d)
}
