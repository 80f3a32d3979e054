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
		{method: http.MethodPost, path: "/users/refresh", handler: a.refresh},
		{method: http.MethodPost, path: "/users/logout", handler: a.logout},
		{method: http.MethodGet, path: "/users/:username", handler: a.getUser},
	}
}

// getUser responds with a user's profile. The counts of followers lag by a few seconds.
func (a *API) getUser(c *gin.Context) (any, error) {
	name := c.Param("username")
	if err := isUsername(name); err != nil {
		return nil, err
	}
	var (
		user       twtr.User
		counts     []twtr.FollowerCount
		followings int
	)
	reads, ctx := errgroup.WithContext(c.Request.Context())
	reads.Go(func() (err error) { user, err = a.store.User(ctx, name); return err })
	reads.Go(func() (err error) { counts, err = a.store.FollowerCounts(ctx, name); return err })
	reads.Go(func() (err error) { followings, err = a.store.CountFollowings(ctx, name); return err })
	if err := reads.Wait(); err != nil {
		return nil, err
	}
	followers := 0
	for _, bucket := range counts {
		followers += bucket.Count
	}
	return struct {
		Username    string         `json:"username"`
		DisplayName string         `json:"displayName"`
		CreatedAt   twtr.Timestamp `json:"createdAt"`
		Followers   int            `json:"followers"`
		Followings  int            `json:"followings"`
	}{user.Username, user.DisplayName, twtr.Timestamp(user.CreatedAt), followers, followings}, nil
}

// tokenPair is what a client gets by logging in.
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
	// The workflow decides; this saves hashing a password for nothing.
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
		CreatedAt:    a.now().UTC().Truncate(time.Millisecond),
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

// login creates a session.
func (a *API) login(ctx context.Context, username string) (tokenPair, error) {
	refresh := newRefreshToken(uuid.New())
	err := a.store.CreateSession(ctx, a.session(username, refresh))
	if err != nil {
		return tokenPair{}, err
	}
	access, err := a.tokens.issue(username)
	return tokenPair{access, refresh.String()}, err
}

func (a *API) session(username string, t refreshToken) twtr.Session {
	return twtr.Session{
		Family:    t.family,
		Username:  username,
		TokenHash: t.hash(),
		ExpiresAt: a.now().Add(refreshTokenLife).UTC().Truncate(time.Millisecond),
	}
}

// refresh exchanges a refresh token for a new pair. A token that was used before ends its session, because it may have been
// stolen.
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
	switch err := a.store.RotateSession(ctx, spent.hash(), a.session(current.Username, next)); twtr.ErrorCode(err) {
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
