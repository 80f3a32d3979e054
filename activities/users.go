// Package activities holds the steps of the workflows that touch the store: a struct a domain, whose fields are the
// parts of the store that it needs. Every activity may run more than once for one step, and is idempotent.
//
// An activity fails with a [twtr.Error] of a final code when trying again can't help; all other errors are tried again.
package activities

import (
	"context"

	"github.com/twtr-dev/twtr"
)

// Users are the activities of task queue users.
type Users struct {
	Store twtr.UserStore
	// Unseal opens what the API sealed, so that nothing secret stands in a workflow's history.
	Unseal func(sealed []byte) (twtr.User, error)
}

// StoreUser stores a sealed new user. It fails with [twtr.Conflict] if the name is taken.
func (a *Users) StoreUser(ctx context.Context, sealed []byte) error {
	user, err := a.Unseal(sealed)
	if err != nil {
		return err
	}
	return a.Store.CreateUser(ctx, user)
}
