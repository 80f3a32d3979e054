package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

const (
	requestIDKey = "request_id" // also in logs
	usernameKey  = "username"
)

var requestIDs = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestID gives each request an ID that its log lines and its response carry: the client's X-Request-Id, or a new one.
func (a *API) requestID(c *gin.Context) {
	id := c.GetHeader("X-Request-Id")
	if id == "" || !requestIDs.MatchString(id) {
		id = uuid.NewString()
	}
	c.Set(requestIDKey, id)
	c.Header("X-Request-Id", id)
}

// accessLog logs each request: the route template, never the path, query, headers or body, which may hold secrets.
func (a *API) accessLog(c *gin.Context) {
	begin := time.Now()
	c.Next()
	level := slog.LevelInfo
	if slices.Contains(probes, c.FullPath()) {
		level = slog.LevelDebug
	}
	a.log.Log(c.Request.Context(), level, "request", requestIDKey, c.GetString(requestIDKey), "method", c.Request.Method,
		"route", c.FullPath(), "status", c.Writer.Status(), "duration_ms", float64(time.Since(begin).Microseconds())/1000)
}

// probes are the routes that machines request every few seconds.
var probes = []string{"/healthz", "/readyz", "/metrics"}

// recover responds to a panic with 500 and no details.
func (a *API) recover(c *gin.Context) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		a.log.ErrorContext(c.Request.Context(), "panic", requestIDKey, c.GetString(requestIDKey), "panic", p, "stack", string(debug.Stack()))
		a.respond(c, nil, twtr.Errorf(twtr.Internal, "panic"))
	}()
	c.Next()
}

// bound bounds a request's time and the length of its body.
func bound(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), requestTimeout)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
	c.Next()
}

// authenticate refuses requests without a valid access token.
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

// username is the user who makes the request, after authenticate; "" without it.
func username(c *gin.Context) string { return c.GetString(usernameKey) }
