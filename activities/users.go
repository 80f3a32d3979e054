// Package activities holds the steps of the workflows that touch the store: one struct per domain, whose fields are the parts of
// the store that it needs. Every activity may run more than once for one step, and is idempotent.
//
// An activity that fails with a [twtr.Error] of a permanent code is not retried; all other errors are.
package activities

import (
	"context"

	"github.com/twtr-dev/twtr"
)

// Users are the activities of task queue users.
type Users struct {
	Store twtr.UserStore
	// Unseal decrypts the user, whom the API has encrypted so that no workflow history contains a secret.
	Unseal func(sealed []byte) (twtr.User, error)
}

// StoreUser stores a new user, who is given sealed. It fails with [twtr.Conflict] if the name is taken.
func (a *Users) StoreUser(ctx context.Context, sealed []byte) error {
	user, err := a.Unseal(sealed)
	if err != nil {
		return err
	}
	return a.Store.CreateUser(ctx, user)
}
