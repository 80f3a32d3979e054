// Package health tells whether a process can do its work: whether what it depends on answers.
package health

import (
	"context"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr"
)

// patience is for how long the answers are waited for.
const patience = 2 * time.Second

// Ready returns [twtr.Unavailable], naming which, if the store or Temporal does not answer; else nil.
func Ready(ctx context.Context, store twtr.Store, temporal client.Client) *twtr.Error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := store.Ping(ctx); err != nil {
		return &twtr.Error{Code: twtr.Unavailable, Message: "the store does not answer", Err: err}
	}
	if _, err := temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return &twtr.Error{Code: twtr.Unavailable, Message: "Temporal does not answer", Err: err}
	}
	return nil
}
