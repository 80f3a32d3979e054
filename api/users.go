package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

func (a *API) userRoutes() []route {
	return []route{
		{http.MethodPost, "/users", false, a.signUps, a.createUser},
		{http.MethodPost, "/users/authorize", false, a.logins, a.authorize},
		{http.MethodPost, "/users/refresh", false, nil, a.refresh},
		{http.MethodPost, "/users/logout", false, nil, a.logout},
		{http.MethodGet, "/users/:username", false, nil, a.readUser},
	}
}

// readUser answers who somebody is. The followers are counted a few seconds after they change.
func (a *API) readUser(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	user, err := a.user(ctx, c.Param("username"))
	if err != nil {
		return nil, err
	}
	counts, err := a.store.FollowerCounts(ctx, user.Username)
	if err != nil {
		return nil, err
	}
	followers := 0
	for _, bucket := range counts {
		followers += bucket.Count
	}
	followings, err := a.store.Followings(ctx, user.Username, "", twtr.MaxFollowings)
	if err != nil {
		return nil, err
	}
	return struct {
		Username    string    `json:"username"`
		DisplayName string    `json:"displayName"`
		CreatedAt   timestamp `json:"createdAt"`
		Followers   int       `json:"followers"`
		Followings  int       `json:"followings"`
	}{user.Username, user.DisplayName, timestamp(user.CreatedAt), followers, len(followings)}, nil
}

// tokenPair is what a client is logged in with.
type tokenPair struct {
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken"`
}

func (a *API) createUser(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
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
	if err := twtr.SignUp(in).Validate(); err != nil {
		return nil, err
	}
	// The workflow decides; this only spares the hashing of a password for nothing.
	switch _, err := a.store.User(ctx, in.Username); twtr.ErrorCode(err) {
	case "":
		return nil, twtr.Errorf(twtr.Conflict, "username %s is taken", in.Username)
	case twtr.NotFound:
	default:
		return nil, err
	}
	hash, err := a.hasher.hash(ctx, in.Password)
	if err != nil {
		return nil, err
	}
	sealed, err := a.sealer.Seal(twtr.User{
		Username:     in.Username,
		Email:        in.Email,
		DisplayName:  in.DisplayName,
		PasswordHash: hash,
		CreatedAt:    time.Now().UTC().Truncate(time.Millisecond),
	})
	if err != nil {
		return nil, err
	}
	start := workflows.CreateUserInput{Request: uuid.New(), Username: in.Username, Sealed: sealed}
	if err := run(ctx, a.temporal, workflows.CreateUser, start); err != nil {
		return nil, err
	}
	pair, err := a.login(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	return struct {
		Username    string `json:"username"`
		Email       string `json:"email"`
		DisplayName string `json:"displayName"`
		tokenPair
	}{in.Username, in.Email, in.DisplayName, pair}, nil
}

func (a *API) authorize(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	var in struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if err := readJSON(c, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Username == "":
		return nil, twtr.Errorf(twtr.Invalid, "username must not be empty")
	case in.Password == "":
		return nil, twtr.Errorf(twtr.Invalid, "password must not be empty")
	}
	user, err := a.user(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	ok, err := a.hasher.matches(ctx, in.Password, user.PasswordHash)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, twtr.Errorf(twtr.Invalid, "password is wrong")
	}
	return a.login(ctx, user.Username)
}

// login begins a session.
func (a *API) login(ctx context.Context, username string) (tokenPair, error) {
	refresh := newRefreshToken(uuid.New())
	err := a.store.CreateSession(ctx, session(username, refresh))
	if err != nil {
		return tokenPair{}, err
	}
	access, err := a.tokens.issue(username)
	return tokenPair{access, refresh.String()}, err
}

func session(username string, t refreshToken) twtr.Session {
	return twtr.Session{
		Family:    t.family,
		Username:  username,
		TokenHash: t.hash(),
		ExpiresAt: time.Now().Add(refreshTokenLife).UTC().Truncate(time.Millisecond),
	}
}

// refresh spends a refresh token for a new pair. A token that was spent before ends its session: either its owner or
// somebody else has a copy.
func (a *API) refresh(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	spent, err := readRefreshToken(c)
	if err != nil {
		return nil, err
	}
	refused := twtr.Errorf(twtr.Unauthenticated, "the refresh token is spent, unknown or expired: log in")
	current, err := a.store.Session(ctx, spent.family)
	if twtr.ErrorCode(err) == twtr.NotFound {
		return nil, refused
	}
	if err != nil {
		return nil, err
	}
	next := newRefreshToken(spent.family)
	switch err := a.store.RotateSession(ctx, spent.hash(), session(current.Username, next)); twtr.ErrorCode(err) {
	case "":
	case twtr.NotFound:
		return nil, refused
	case twtr.Conflict:
		if err := a.store.DeleteSession(ctx, spent.family); err != nil {
			return nil, err
		}
		return nil, refused
	default:
		return nil, err
	}
	access, err := a.tokens.issue(current.Username)
	return tokenPair{access, next.String()}, err
}

func (a *API) logout(c *gin.Context) (any, error) {
	token, err := readRefreshToken(c)
	if err != nil {
		return nil, err
	}
	return struct{}{}, a.store.DeleteSession(c.Request.Context(), token.family)
}

func readRefreshToken(c *gin.Context) (refreshToken, error) {
	var in struct {
		RefreshToken string `json:"refreshToken"`
	}
	if err := readJSON(c, &in); err != nil {
		return refreshToken{}, err
	}
	token, ok := parseRefreshToken(in.RefreshToken)
	if !ok {
		return token, twtr.Errorf(twtr.Unauthenticated, "the refresh token is not one of ours")
	}
	return token, nil
}

// user returns the user of that name or a NotFound error. A name that breaks the rules, of whatever length, is nobody's.
func (a *API) user(ctx context.Context, username string) (twtr.User, error) {
	if twtr.ValidateUsername("username", username) != nil {
		return twtr.User{}, twtr.Errorf(twtr.NotFound, "there is no user of that name")
	}
	return a.store.User(ctx, username)
}
