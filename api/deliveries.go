package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/crossing"
	"github.com/twtr-dev/twtr/workflows"
)

func (a *API) deliveryRoutes() []route {
	return []route{
		{http.MethodGet, "/deliveries/:id", true, nil, a.readDelivery},
	}
}

type deliveryBody struct {
	TweetID     uuid.UUID          `json:"tweetId"`
	State       twtr.DeliveryState `json:"state"`
	Delivered   int64              `json:"delivered"`
	StartedAt   timestamp          `json:"startedAt"`
	CompletedAt *timestamp         `json:"completedAt"` // null as long as it is under way
}

// readDelivery answers what the store knows of a delivery, or what Temporal knows of one that runs. It needs no worker.
func (a *API) readDelivery(c *gin.Context) (any, error) {
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
		return nil, twtr.Errorf(twtr.Forbidden, "the tweet is not yours")
	}
	body := deliveryBody{TweetID: id, State: receipt.State, Delivered: receipt.Delivered, StartedAt: timestamp(twtr.TimeOf(id))}
	switch receipt.State {
	case twtr.DeliveryRunning:
		body.Delivered, err = workflows.DeliveredSoFar(ctx, a.temporal, id)
	case twtr.DeliveryComplete, twtr.DeliveryRetracted:
		completed := timestamp(receipt.CompletedAt)
		body.CompletedAt = &completed
	}
	return body, crossing.FromTemporal(err)
}
