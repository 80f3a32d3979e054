package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

func (a *API) userRoutes() []route {
	return []route{
		{method: http.MethodPost, path: "/users", limit: a.signUps, handler: a.createUser},
		{method: http.MethodPost, path: "/users/authorize", limit: a.logins, handler: a.authorize},
		{method: http.MethodGet, path: "/users/:username", handler: a.getUser},
		{method: http.MethodGet, path: "/users/me", auth: true, handler: a.getMe},
		{method: http.MethodPut, path: "/users/me/password", auth: true, limit: a.logins, handler: a.changePassword},
		{method: http.MethodDelete, path: "/users/me", auth: true, limit: a.reads, handler: a.deleteMe},
	}
}

// profile is what everyone may see of a user. The counts of followers lag by a few seconds.
type profile struct {
	Username    string         `json:"username"`
	DisplayName string         `json:"displayName"`
	CreatedAt   twtr.Timestamp `json:"createdAt"`
	Followers   int            `json:"followers"`
	Followings  int            `json:"followings"`
}

func (a *API) getUser(c *gin.Context) (any, error) {
	_, p, err := a.profile(c.Request.Context(), twtr.FoldUsername(c.Param("username")))
	return p, err
}

// getMe responds with the profile of the user who asks, and what only they may see.
func (a *API) getMe(c *gin.Context) (any, error) {
	user, p, err := a.profile(c.Request.Context(), username(c))
	return struct {
		profile
		Email string `json:"email"`
	}{p, user.Email}, err
}

func (a *API) profile(ctx context.Context, name string) (twtr.User, profile, error) {
	if err := isUsername(name); err != nil {
		return twtr.User{}, profile{}, err
	}
	var (
		user       twtr.User
		counts     []twtr.FollowerCount
		followings int
	)
	reads, ctx := errgroup.WithContext(ctx)
	reads.Go(func() (err error) { user, err = a.store.User(ctx, name); return err })
	reads.Go(func() (err error) { counts, err = a.store.FollowerCounts(ctx, name); return err })
	reads.Go(func() (err error) { followings, err = a.store.CountFollowings(ctx, name); return err })
	if err := reads.Wait(); err != nil {
		return user, profile{}, err
	}
	return user, profile{user.Username, user.DisplayName, twtr.Timestamp(user.CreatedAt), twtr.CountOf(counts), followings}, nil
}

func (a *API) createUser(c *gin.Context) (any, error) {
	var in struct {
		Username             string `json:"username"`
		Password             string `json:"password"`
		PasswordConfirmation string `json:"passwordConfirmation"`
		Email                string `json:"email"`
		DisplayName          string `json:"displayName"`
	}
	if err := readJSON(c, &in); err != nil {
		return nil, err
	}
	request := twtr.SignUp(in)
	request.Username = twtr.FoldUsername(in.Username)
	request.Password = twtr.NormalizePassword(in.Password)
	request.PasswordConfirmation = twtr.NormalizePassword(in.PasswordConfirmation)
	if err := twtr.JoinInvalid(request.Validate(),
		validateNewPassword("password", request.Password, request.Username, request.Email, request.DisplayName)); err != nil {
		return nil, err
	}
	user, err := a.signUp(c, request)
	if err != nil {
		return nil, err
	}
	pair, err := a.login(c, user)
	if err != nil {
		return nil, maybeDone(err, signUpMaybeDone)
	}
	return struct {
		Username    string `json:"username"`
		Email       string `json:"email"`
		DisplayName string `json:"displayName"`
		tokenPair
	}{user.Username, user.Email, user.DisplayName, pair}, nil
}

// signUp creates the user, or returns the one that this person created before: they may not have got the answer.
func (a *API) signUp(c *gin.Context, in twtr.SignUp) (twtr.User, error) {
	ctx := c.Request.Context()
	// The workflow decides; this saves hashing a password for nothing.
	stored, err := a.store.User(ctx, in.Username)
	if err == nil {
		return a.recognize(c, stored, in)
	}
	if twtr.ErrorCode(err) != twtr.NotFound {
		return twtr.User{}, err
	}
	hash, err := a.hasher.hash(ctx, hashNetwork(c), in.Password)
	if err != nil {
		return twtr.User{}, err
	}
	user := twtr.User{
		Username:     in.Username,
		Email:        in.Email,
		DisplayName:  in.DisplayName,
		PasswordHash: hash,
		CreatedAt:    a.now().UTC().Truncate(time.Millisecond),
	}
	start := workflows.CreateUserInput{Request: uuid.New(), Username: in.Username}
	if start.Sealed, err = a.sealer.Seal(start.StartOptions().ID, user); err != nil {
		return twtr.User{}, err
	}
	if a.announce {
		start.Announce = user.CreatedAt
	}
	err = run(ctx, a.temporal, workflows.CreateUser, start)
	if twtr.ErrorCode(err) == twtr.Conflict {
		// Another request came first; it may have been this person's own.
		stored, err := a.store.User(ctx, in.Username)
		switch {
		case err == nil:
			return a.recognize(c, stored, in)
		case twtr.ErrorCode(err) == twtr.NotFound: // a retired user's
			return twtr.User{}, errTaken(in.Username)
		}
		return twtr.User{}, maybeDone(err, signUpMaybeDone)
	}
	if err == nil {
		err = a.guard.know(c, in.Username)
	}
	return user, maybeDone(err, signUpMaybeDone)
}

// recognize returns the stored user if the request is of the same person: with the same e-mail address and password. It tells no
// one else more than that the name is taken, also not by the time that it takes, and passwords can be tried no faster than by
// logging in.
func (a *API) recognize(c *gin.Context, stored twtr.User, in twtr.SignUp) (twtr.User, error) {
	taken := errTaken(in.Username)
	if stored.Email == in.Email {
		ok, err := a.checkPassword(c, stored, signUpSource, in.Password)
		if twtr.ErrorCode(err) != twtr.TooManyRequests {
			if err == nil && !ok {
				err = taken
			}
			return stored, err
		}
	}
	if _, err := a.hasher.matches(c.Request.Context(), hashNetwork(c), in.Password, stored.PasswordHash); err != nil {
		return twtr.User{}, err
	}
	return twtr.User{}, taken
}

func errTaken(username string) error {
	return twtr.Errorf(twtr.Conflict, "username %s is taken", username)
}

// checkPassword reports whether the password is the user's. Unknown clients count for the source unknown. It returns a [twtr.TooManyRequests] error if too many were wrong before.
func (a *API) checkPassword(c *gin.Context, user twtr.User, unknown, password string) (bool, error) {
	return a.guard.check(c, user, unknown, func(ctx context.Context) (bool, error) {
		return a.hasher.matches(ctx, hashNetwork(c), password, user.PasswordHash)
	})
}

const signUpMaybeDone = "the sign-up may have been accepted all the same: the same request again is safe, and logs in"

// maybeDone adds to an [twtr.Unavailable] error that the request may have been accepted, and that it may be repeated.
func maybeDone(err error, hint string) error {
	e, unavailable := asUnavailable(err)
	if !unavailable {
		return err
	}
	return &twtr.Error{Code: e.Code, Message: e.Message + "; " + hint, Err: err}
}

func (a *API) authorize(c *gin.Context) (any, error) {
	var in struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if err := readJSON(c, &in); err != nil {
		return nil, err
	}
	if err := twtr.JoinInvalid(notEmpty("username", in.Username), notEmpty("password", in.Password)); err != nil {
		return nil, err
	}
	name := twtr.FoldUsername(in.Username)
	user, err := a.user(c.Request.Context(), name)
	if err != nil {
		if twtr.ErrorCode(err) == twtr.NotFound {
			a.guard.record(c, name, noSuchUser)
		}
		return nil, err
	}
	ok, err := a.checkPassword(c, user, unknownSource, twtr.NormalizePassword(in.Password))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, twtr.InvalidField("password", "is wrong")
	}
	return a.login(c, user)
}

func notEmpty(field, value string) error {
	if value == "" {
		return twtr.InvalidField(field, "must not be empty")
	}
	return nil
}

// changePassword replaces the user's password, and ends all their sessions but the one of this request. A request that is repeated
// because its answer was lost has the old password that no longer is the user's, and the new one that is: it is done again.
func (a *API) changePassword(c *gin.Context) (any, error) {
	ctx, who := c.Request.Context(), caller(c)
	var in struct {
		OldPassword string `json:"oldPassword"`
		NewPassword string `json:"newPassword"`
	}
	if err := readJSON(c, &in); err != nil {
		return nil, err
	}
	oldPassword, newPassword := twtr.NormalizePassword(in.OldPassword), twtr.NormalizePassword(in.NewPassword)
	if err := twtr.JoinInvalid(notEmpty("oldPassword", oldPassword), twtr.ValidatePassword("newPassword", newPassword)); err != nil {
		return nil, err
	}
	user, err := a.store.User(ctx, who.username)
	if err != nil {
		return nil, err
	}
	if err := validateNewPassword("newPassword", newPassword, user.Username, user.Email, user.DisplayName); err != nil {
		return nil, err
	}
	change := twtr.PasswordChange{Username: user.Username, OldHash: user.PasswordHash, NewHash: user.PasswordHash, Keep: who.session}
	network := hashNetwork(c)
	ok, err := a.guard.check(c, user, unknownSource, func(ctx context.Context) (bool, error) {
		isOld, err := a.hasher.matches(ctx, network, oldPassword, user.PasswordHash)
		if err != nil {
			return false, err
		}
		if !isOld { // perhaps it is changed already
			return a.hasher.matches(ctx, network, newPassword, user.PasswordHash)
		}
		change.NewHash, err = a.hasher.hash(ctx, network, newPassword)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, twtr.InvalidField("oldPassword", "is wrong")
	}
	start := workflows.ChangePasswordInput{Request: uuid.New(), Username: user.Username}
	if start.Sealed, err = a.sealer.Seal(start.StartOptions().ID, change); err != nil {
		return nil, err
	}
	err = run(ctx, a.temporal, workflows.ChangePassword, start)
	return struct{}{}, maybeDone(err, "the password may have been changed all the same: the same request again is safe")
}

// deleteMe takes the user's name out of use, and starts the removal of all that is theirs.
func (a *API) deleteMe(c *gin.Context) (any, error) {
	who := caller(c)
	if err := run(c.Request.Context(), a.temporal, workflows.DeleteUser, workflows.DeleteUserInput{Username: who.username}); err != nil {
		return nil, maybeDone(err, "the account may be deleted all the same: the same request again is safe")
	}
	a.revoked.add(who.session)
	return struct{}{}, nil
}

// user returns the user of that name or a [twtr.NotFound] error.
func (a *API) user(ctx context.Context, username string) (twtr.User, error) {
	if err := isUsername(username); err != nil {
		return twtr.User{}, err
	}
	return a.store.User(ctx, username)
}

// isUsername returns a [twtr.NotFound] error for a name that no user can have, of whatever length.
func isUsername(name string) error {
	if twtr.ValidateUsername("username", name) != nil {
		return twtr.Errorf(twtr.NotFound, "there is no user of that name")
	}
	return nil
}
