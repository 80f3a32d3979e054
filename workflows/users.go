package workflows

import (
	"cmp"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

var users *activities.Users

// CreateUserInput is the input of [CreateUser]: the new user.
type CreateUserInput struct {
	// Request identifies this sign-up: another person who wants the same name must not get its answer.
	Request  uuid.UUID `json:"request"`
	Username string    `json:"username"`
	// Sealed is the user, with e-mail address and password hash, encrypted.
	Sealed []byte `json:"sealed"`
	// Announce is when the user is created, if an event of it is published, and zero if none is.
	Announce time.Time `json:"announce,omitzero"`
}

// StartOptions implements [Input].
func (in CreateUserInput) StartOptions() client.StartWorkflowOptions {
	return startOptions(UsersQueue, "create-user/"+in.Request.String(), in.Username+" signs up", "Stores the new user, unless the name is taken.")
}

const updateStored = "stored"

// Update implements [Request].
func (in CreateUserInput) Update() client.UpdateWorkflowOptions {
	return updateOptions(updateStored, updateStored)
}

// CreateUser stores a new user, or fails with a conflict if the name is taken. Its update "stored" returns when either is
// certain.
func CreateUser(ctx workflow.Context, in CreateUserInput) error {
	stored, err := handleUpdate(ctx, updateStored)
	if err != nil {
		return err
	}
	announced := announce(ctx, !in.Announce.IsZero(), false)
	err = short(ctx, users.StoreUser, in.Sealed, nil)
	stored.resolve.SetError(err)
	if err == nil {
		announced.add(twtr.CreatedEvent(in.Username, in.Announce, in.Request))
	}
	return cmp.Or(err, awaitHandlers(ctx), announced.await(ctx))
}

// ChangePasswordInput is the input of [ChangePassword]: the old and the new password's hash.
type ChangePasswordInput struct {
	// Request identifies this change.
	Request  uuid.UUID `json:"request"`
	Username string    `json:"username"`
	// Sealed is the [twtr.PasswordChange], encrypted.
	Sealed []byte `json:"sealed"`
}

// StartOptions implements [Input].
func (in ChangePasswordInput) StartOptions() client.StartWorkflowOptions {
	return startOptions(UsersQueue, "change-password/"+in.Request.String(), in.Username+" changes their password",
		"Stores the new password and ends all other sessions.")
}

const updateChanged = "changed"

// Update implements [Request].
func (in ChangePasswordInput) Update() client.UpdateWorkflowOptions {
	return updateOptions(updateChanged, updateChanged)
}

// ChangePassword replaces a user's password, or fails with a conflict if another change came first, and then ends the user's
// sessions, all but one. Its update "changed" returns when both are done.
func ChangePassword(ctx workflow.Context, in ChangePasswordInput) error {
	changed, err := handleUpdate(ctx, updateChanged)
	if err != nil {
		return err
	}
	var end activities.EndSessionsInput
	err = short(ctx, users.StorePassword, in.Sealed, &end)
	if err == nil {
		err = short(ctx, users.EndSessions, end, nil)
	}
	changed.resolve.SetError(err)
	return cmp.Or(err, awaitHandlers(ctx))
}
