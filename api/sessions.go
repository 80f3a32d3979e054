package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

func (a *API) sessionRoutes() []route {
	return []route{
		{method: http.MethodPost, path: "/users/refresh", limit: a.reads, handler: a.refresh},
		{method: http.MethodPost, path: "/users/logout", limit: a.reads, handler: a.logout},
		{method: http.MethodGet, path: "/users/me/sessions", auth: true, handler: a.listSessions},
		{method: http.MethodDelete, path: "/users/me/sessions/:id", auth: true, limit: a.reads, handler: a.endSession},
	}
}

// refreshGrace is how long after a refresh the spent token still gets the same answer: its client may not have got the first one,
// or have sent two requests at once. A client whose answer was lost in an outage can repeat the request only when that is over.
const refreshGrace = 2 * time.Minute

const identityKey = "identity"

// authenticate refuses requests without a valid access token, and those of sessions that have ended.
func (a *API) authenticate(c *gin.Context) {
	token, ok := bearerToken(c)
	if !ok {
		a.respond(c, nil, twtr.Errorf(twtr.Unauthenticated, "this call needs an access token: Authorization: Bearer …"))
		return
	}
	who, err := a.tokens.verify(token)
	if err == nil {
		err = a.revoked.check(who.session)
	}
	if err != nil {
		challenge(c, err)
		a.respond(c, nil, err)
		return
	}
	c.Set(identityKey, who)
}

// bearerToken returns the token in the request's Authorization header.
func bearerToken(c *gin.Context) (string, bool) {
	scheme, token, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	token = strings.TrimSpace(token)
	return token, token != "" && strings.EqualFold(scheme, "Bearer")
}

// caller is who makes the request, after authenticate; zero without it.
func caller(c *gin.Context) identity {
	who, _ := c.Value(identityKey).(identity)
	return who
}

// username is the user who makes the request, after authenticate; "" without it.
func username(c *gin.Context) string { return caller(c).username }

// tokenPair is what a client gets by logging in.
type tokenPair struct {
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken"`
}

// login creates a session of the user, whose password was compared. It may have been changed since, or the account deleted, and the
// sessions that there were ended: then this one ends, too. A change that comes later finds it.
func (a *API) login(c *gin.Context, user twtr.User) (tokenPair, error) {
	ctx, now := c.Request.Context(), a.now()
	family, err := twtr.NewTweetID(now) // a UUIDv7, as tweets have
	if err != nil {
		return tokenPair{}, err
	}
	refresh := newRefreshToken(family)
	created := now.UTC().Truncate(time.Millisecond)
	session := twtr.Session{Family: family, Username: user.Username, Client: clientName(c), CreatedAt: created}
	if err := a.store.CreateSession(ctx, renewed(session, refresh, now)); err != nil {
		return tokenPair{}, err
	}
	stored, err := a.store.User(ctx, user.Username)
	if err == nil && stored.PasswordHash == user.PasswordHash {
		if err := a.endOldest(ctx, user.Username); err != nil {
			return tokenPair{}, err
		}
		return a.pair(identity{user.Username, family}, refresh)
	}
	if err == nil {
		err = twtr.InvalidField("password", "is wrong")
	}
	return tokenPair{}, errors.Join(err, a.end(ctx, family))
}

const (
	// maxSessions bounds the sessions of a user, so that all of them can be ended within a request.
	maxSessions = 100
	// oldestPage is how many more one log-in ends: several at once may have exceeded it.
	oldestPage = 10
)

// endOldest ends the user's sessions beyond the newest [maxSessions].
func (a *API) endOldest(ctx context.Context, username string) error {
	sessions, err := a.store.SessionsByUser(ctx, username, uuid.Nil, maxSessions+oldestPage)
	if err != nil || len(sessions) <= maxSessions {
		return err
	}
	for _, old := range sessions[maxSessions:] {
		if err := a.end(ctx, old.Family); err != nil {
			return err
		}
	}
	return nil
}

func (a *API) pair(who identity, refresh refreshToken) (tokenPair, error) {
	access, err := a.tokens.issue(who)
	return tokenPair{access, refresh.String()}, err
}

// maxClientName bounds how much of a User-Agent is stored, in characters.
const maxClientName = 200

func clientName(c *gin.Context) string {
	name := []rune(c.Request.UserAgent()) // U+FFFD in place of bytes that are no UTF-8
	return string(name[:min(len(name), maxClientName)])
}

// renewed is the session with another refresh token, made now.
func renewed(s twtr.Session, t refreshToken, now time.Time) twtr.Session {
	now = now.UTC().Truncate(time.Millisecond)
	s.TokenHash, s.RefreshedAt, s.ExpiresAt = t.hash(), now, now.Add(refreshTokenLife)
	if end := s.CreatedAt.Add(twtr.MaxSessionLife); end.Before(s.ExpiresAt) {
		s.ExpiresAt = end
	}
	return s
}

// refresh exchanges a refresh token for a new pair.
func (a *API) refresh(c *gin.Context) (any, error) {
	spent, err := readRefreshToken(c)
	if err != nil {
		return nil, err
	}
	return a.exchange(c.Request.Context(), spent)
}

// exchange returns the pair that follows the token. The next refresh token is derived from the spent one: a client that repeats
// the exchange of the token that was spent last, within [refreshGrace], gets the same one, and has a token that works. Its answer may
// have been lost, or two tabs of a browser have sent the same token; their requests may go to two processes. The process that made the
// next token and the one that compares the time may differ by [clockLeeway], which is granted in addition. An older token, or the
// last one after that time, ends the session, because it may have been stolen.
func (a *API) exchange(ctx context.Context, spent refreshToken) (tokenPair, error) {
	next := a.tokens.successors(spent)
	refused := twtr.Errorf(twtr.Unauthenticated, "the refresh token is spent, unknown or expired: log in")
	current, err := a.store.Session(ctx, spent.family)
	if err == nil && bytes.Equal(current.TokenHash, spent.hash()) {
		if !a.now().Before(current.ExpiresAt) {
			return tokenPair{}, refused
		}
		err = a.store.RotateSession(ctx, spent.hash(), renewed(current, next[0], a.now()))
		if err == nil {
			return a.pair(identity{current.Username, current.Family}, next[0])
		}
		if twtr.ErrorCode(err) == twtr.Conflict { // another request was faster
			current, err = a.store.Session(ctx, spent.family)
		}
	}
	if twtr.ErrorCode(err) == twtr.NotFound {
		return tokenPair{}, refused
	}
	if err != nil {
		return tokenPair{}, err
	}
	i := slices.IndexFunc(next, func(t refreshToken) bool { return bytes.Equal(t.hash(), current.TokenHash) })
	if i >= 0 && !a.now().After(current.RefreshedAt.Add(refreshGrace+clockLeeway)) {
		return a.pair(identity{current.Username, current.Family}, next[i])
	}
	if err := a.end(ctx, current.Family); err != nil {
		return tokenPair{}, err
	}
	return tokenPair{}, refused
}

// end ends a session for good. Its access tokens are refused from now on by this process, and soon by all.
func (a *API) end(ctx context.Context, family uuid.UUID) error {
	if err := a.store.EndSession(ctx, family, a.now()); err != nil {
		return err
	}
	a.revoked.add(family)
	return nil
}

// logout ends the session of a refresh token, spent or not. A session that is not there is not ended: made-up tokens must not fill
// the store with ended sessions.
func (a *API) logout(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	token, err := readRefreshToken(c)
	if err != nil {
		return nil, err
	}
	_, err = a.store.Session(ctx, token.family)
	if twtr.ErrorCode(err) == twtr.NotFound {
		return struct{}{}, nil
	}
	if err != nil {
		return nil, err
	}
	return struct{}{}, a.end(ctx, token.family)
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

type sessionBody struct {
	ID          uuid.UUID      `json:"id"`
	Client      string         `json:"client"`
	CreatedAt   twtr.Timestamp `json:"createdAt"`
	RefreshedAt twtr.Timestamp `json:"refreshedAt"`
	ExpiresAt   twtr.Timestamp `json:"expiresAt"`
	Current     bool           `json:"current"` // of this request
}

// listSessions responds with the user's sessions, newest first.
func (a *API) listSessions(c *gin.Context) (any, error) {
	who := caller(c)
	limit, err := pageLimit(c)
	if err != nil {
		return nil, err
	}
	list := "sessions/" + who.username
	before, err := a.cursors.cursorID(c, list)
	if err != nil {
		return nil, err
	}
	sessions, err := a.store.SessionsByUser(c.Request.Context(), who.username, before, limit+1)
	if err != nil {
		return nil, err
	}
	return pageOf(a.cursors, list, sessions, limit, func(s twtr.Session) (json.RawMessage, []byte, error) {
		body, err := json.Marshal(sessionBody{s.Family, s.Client, twtr.Timestamp(s.CreatedAt),
			twtr.Timestamp(s.RefreshedAt), twtr.Timestamp(s.ExpiresAt), s.Family == who.session})
		return body, s.Family[:], err
	})
}

// endSession ends one of the user's sessions.
func (a *API) endSession(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	notFound := twtr.Errorf(twtr.NotFound, "you have no session of that id")
	family, ok := parseID(c.Param("id"))
	if !ok {
		return nil, notFound
	}
	session, err := a.store.Session(ctx, family)
	switch {
	case twtr.ErrorCode(err) == twtr.NotFound, err == nil && session.Username != username(c):
		return nil, notFound
	case err != nil:
		return nil, err
	}
	return struct{}{}, a.end(ctx, family)
}
