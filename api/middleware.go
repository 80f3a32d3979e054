package api

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

const (
	requestIDKey = "request"
	usernameKey  = "username"
)

var requestIDs = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestID gives each request a name that its log lines and its answer carry: the caller's X-Request-Id, or our own.
func (a *API) requestID(c *gin.Context) {
	id := c.GetHeader("X-Request-Id")
	if !requestIDs.MatchString(id) {
		id = uuid.NewString()
	}
	c.Set(requestIDKey, id)
	c.Header("X-Request-Id", id)
}

// accessLog writes a line a request: the route, and neither path, query, header nor body, where secrets could be.
func (a *API) accessLog(c *gin.Context) {
	begin := time.Now()
	c.Next()
	a.log.InfoContext(c.Request.Context(), "request", "request", c.GetString(requestIDKey), "method", c.Request.Method,
		"route", c.FullPath(), "status", c.Writer.Status(), "took", time.Since(begin))
}

// recover answers a panic 500 without detail.
func (a *API) recover(c *gin.Context) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		a.log.ErrorContext(c.Request.Context(), "panic", "request", c.GetString(requestIDKey), "panic", p, "stack", string(debug.Stack()))
		a.respond(c, nil, twtr.Errorf(twtr.Internal, "panic"))
	}()
	c.Next()
}

// limit bounds a request's time and the length of its body.
func limit(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), requestTimeout)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	c.Next()
}

// authenticate lets only requests with a good access token pass.
func (a *API) authenticate(c *gin.Context) {
	scheme, token, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		a.respond(c, nil, twtr.Errorf(twtr.Unauthenticated, "this call needs an access token: Authorization: Bearer …"))
		return
	}
	name, err := a.tokens.verify(strings.TrimSpace(token))
	if err != nil {
		a.respond(c, nil, err)
		return
	}
	c.Set(usernameKey, name)
}

// username is who the request is from, after authenticate.
func username(c *gin.Context) string { return c.GetString(usernameKey) }
