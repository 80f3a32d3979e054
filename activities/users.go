// Package activities holds the steps of the workflows that touch the store: one struct per domain, whose fields are the parts of
// the store that it needs. Every activity may run more than once for one step, and is idempotent.
//
// An activity that fails with a [twtr.Error] of a permanent code is not retried; all other errors are.
package activities

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

// Users are the activities of task queue users.
type Users struct {
	Store AccountStore
	// Unseal decrypts what the API has encrypted for the workflow of that ID, so that no history contains a secret.
	Unseal func(workflowID string, sealed []byte, v any) error
	// NameHold is how long the name of a deleted user stays taken.
	NameHold time.Duration
}

// AccountStore keeps the users and what is stored under their names.
type AccountStore interface {
	twtr.UserStore
	twtr.SessionStore
	twtr.FollowStore
	twtr.FeedStore
	twtr.ErasureStore
}

// StoreUser stores a new user, who is given sealed. It fails with [twtr.Conflict] if the name is taken.
func (a *Users) StoreUser(ctx context.Context, sealed []byte) error {
	var user twtr.User
	if err := a.Unseal(activity.GetInfo(ctx).WorkflowExecution.ID, sealed, &user); err != nil {
		return err
	}
	return a.Store.CreateUser(ctx, user)
}

// StorePassword replaces a user's password by a [twtr.PasswordChange], which is given sealed. It returns which sessions are to be
// ended. It fails with [twtr.Conflict] if another change came first, and with [twtr.NotFound] if there is no such user.
func (a *Users) StorePassword(ctx context.Context, sealed []byte) (EndSessionsInput, error) {
	var change twtr.PasswordChange
	if err := a.Unseal(activity.GetInfo(ctx).WorkflowExecution.ID, sealed, &change); err != nil {
		return EndSessionsInput{}, err
	}
	return EndSessionsInput{Username: change.Username, Keep: change.Keep},
		a.Store.SetPassword(ctx, change.Username, change.OldHash, change.NewHash)
}

// EndSessionsInput says which of a user's sessions to end.
type EndSessionsInput struct {
	Username string `json:"username"`
	// Keep is the family of the one session that stays; [uuid.Nil]: none does.
	Keep uuid.UUID `json:"keep"`
}

const (
	// sessionPage is how many sessions are read at a time.
	sessionPage = 100
	// enders is how many are ended concurrently.
	enders = 10
)

// EndSessions ends all sessions of a user but one. A retry finds fewer than the attempt before it, so it gets done however many
// there are.
func (a *Users) EndSessions(ctx context.Context, in EndSessionsInput) error {
	for before := uuid.Nil; ; {
		page, err := a.Store.SessionsByUser(ctx, in.Username, before, sessionPage)
		if err != nil {
			return err
		}
		g, ending := errgroup.WithContext(ctx)
		g.SetLimit(enders)
		for _, s := range page {
			if s.Family != in.Keep {
				g.Go(func() error { return a.Store.EndSession(ending, s.Family, time.Now()) })
			}
		}
		if err := g.Wait(); err != nil || len(page) < sessionPage {
			return err
		}
		before = page[sessionPage-1].Family
	}
}
