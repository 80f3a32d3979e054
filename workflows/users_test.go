package workflows_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

// login creates n sessions of ann's, which are valid by the store's clock.
func (e *env) login(n int) (families []uuid.UUID) {
	for range n {
		family, err := twtr.NewTweetID(time.Now())
		require.NoError(e.t, err)
		s := twtr.Session{Family: family, Username: "ann", TokenHash: []byte("x"), CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
		require.NoError(e.t, e.store.CreateSession(e.t.Context(), s))
		families = append(families, family)
	}
	return families
}

// sessions are the families of ann's sessions.
func (e *env) sessions() []uuid.UUID {
	sessions, err := e.store.SessionsByUser(e.t.Context(), "ann", uuid.Nil, 1000)
	require.NoError(e.t, err)
	families := []uuid.UUID{}
	for _, s := range sessions {
		families = append(families, s.Family)
	}
	return families
}

// changePassword runs ann's workflow, whose caller gets the result.
func (e *env) changePassword(change twtr.PasswordChange) *result {
	change.Username = "ann"
	sealed, err := json.Marshal(change)
	require.NoError(e.t, err)
	in := workflows.ChangePasswordInput{Request: uuid.New(), Username: "ann", Sealed: sealed}
	changed, update := &result{}, in.Update()
	e.RegisterDelayedCallback(func() { e.UpdateWorkflow(update.UpdateName, update.UpdateID, changed.callback()) }, 0)
	e.ExecuteWorkflow(workflows.ChangePassword, in)
	require.True(e.t, e.IsWorkflowCompleted())
	require.True(e.t, changed.done)
	return changed
}

func TestANewPasswordEndsAllOtherSessions(t *testing.T) {
	e := newEnv(t)
	families := e.login(250)
	e.store.before = unavailable("EndSession", 30)
	require.NoError(t, e.changePassword(twtr.PasswordChange{OldHash: "first", NewHash: "second", Keep: families[120]}).err)
	require.Equal(t, []uuid.UUID{families[120]}, e.sessions())
	user, err := e.store.User(t.Context(), "ann")
	require.NoError(t, err)
	require.Equal(t, "second", user.PasswordHash)

	e.next()
	require.NoError(t, e.changePassword(twtr.PasswordChange{OldHash: "first", NewHash: "second"}).err, "done again")
	require.Empty(t, e.sessions())
}

func TestAChangeOfAPasswordThatIsAnotherByThenIsAConflictAndEndsNothing(t *testing.T) {
	e := newEnv(t)
	families := e.login(1)
	failure := new(temporal.ApplicationError)
	require.ErrorAs(t, e.changePassword(twtr.PasswordChange{OldHash: "second", NewHash: "third"}).err, &failure)
	require.Equal(t, string(twtr.Conflict), failure.Type())
	require.Equal(t, families, e.sessions())
}
