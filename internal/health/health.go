// Package health reports whether the dependencies of a process are available.
package health

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr"
)

// timeout bounds how long [Ready] waits for all responses.
const timeout = 2 * time.Second

// Ready returns an error with the code [twtr.Unavailable] if the store or, unless it is nil, Temporal is unavailable, and nil
// otherwise.
func Ready(ctx context.Context, store twtr.Store, temporal client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := store.Ping(ctx); err != nil {
		return unavailable("the store", err)
	}
	if temporal == nil {
		return nil
	}
	if _, err := temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return unavailable("Temporal", err)
	}
	return nil
}

// Dependency names the dependency that an error of [Ready] is about; "" for any other error.
func Dependency(err error) string {
	if d, ok := errors.AsType[dependencyError](err); ok {
		return d.name
	}
	return ""
}

type dependencyError struct {
	name string
	error
}

func (e dependencyError) Unwrap() error { return e.error }

func unavailable(name string, err error) error {
	return &twtr.Error{Code: twtr.Unavailable, Message: name + " is unavailable", Err: dependencyError{name, err}}
}
