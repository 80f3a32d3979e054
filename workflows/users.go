package workflows

import (
	"cmp"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr/activities"
)

var users *activities.Users

// CreateUserInput is a new user.
type CreateUserInput struct {
	// Request is this sign-up's own: a second person who wants the same name must not get the first one's answer.
	Request  uuid.UUID `json:"request"`
	Username string    `json:"username"`
	// Sealed is the user, with e-mail address and password hash, encrypted.
	Sealed []byte `json:"sealed"`
}

// StartOptions implements [Input].
func (in CreateUserInput) StartOptions() client.StartWorkflowOptions {
	return start(UsersQueue, "create-user/"+in.Request.String(), in.Username+" signs up")
}

// Update implements [Input].
func (in CreateUserInput) Update() client.UpdateWorkflowOptions {
	return answer("stored", "stored")
}

// CreateUser stores a new user, or fails with a conflict if the name is taken. Its update "stored" answers when either
// is decided.
func CreateUser(ctx workflow.Context, in CreateUserInput) error {
	stored, settle := workflow.NewFuture(ctx)
	err := workflow.SetUpdateHandler(ctx, "stored", func(ctx workflow.Context) error { return stored.Get(ctx, nil) })
	if err != nil {
		return err
	}
	err = write(ctx, users.StoreUser, in.Sealed, nil)
	settle.SetError(err)
	return cmp.Or(err, settled(ctx))
}
