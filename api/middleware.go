package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/requestid"
)

const (
	health       = "/healthz" // the route
	requestIDKey = requestid.Key
	bodyKey      = "body"
)

var requestIDs = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestID gives each request an ID that its log lines, its response and the workflow that it starts carry: the client's
// X-Request-Id, or a new one.
func (a *API) requestID(c *gin.Context) {
	id := c.GetHeader("X-Request-Id")
	if id == "" || !requestIDs.MatchString(id) {
		id = uuid.NewString()
	}
	c.Set(requestIDKey, id)
	c.Header("X-Request-Id", id)
	c.Request = c.Request.WithContext(requestid.With(c.Request.Context(), id))
}

// noSniff keeps browsers from taking a response for anything else than its Content-Type says.
func noSniff(c *gin.Context) { c.Header("X-Content-Type-Options", "nosniff") }

// accessLog logs each request: the route template, never the path, query, headers or body, which may hold secrets.
func (a *API) accessLog(c *gin.Context) {
	begin := time.Now()
	c.Next()
	level := slog.LevelInfo
	if c.FullPath() == health {
		level = slog.LevelDebug // machines ask every few seconds
	}
	attributes := []any{
		requestIDKey, c.GetString(requestIDKey), "method", c.Request.Method, "route", c.FullPath(), "status", c.Writer.Status(),
		"took_ms", float64(time.Since(begin).Microseconds()) / 1000, "client", c.ClientIP(),
	}
	if user := username(c); user != "" {
		attributes = append(attributes, "user", user)
	}
	a.log.Log(c.Request.Context(), level, "request", attributes...)
}

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

// forwarded removes what Gin does not understand from the addresses that proxies tell: some add the client's port.
func forwarded(c *gin.Context) {
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip"} {
		for i, line := range c.Request.Header[name] {
			addresses := strings.Split(line, ",")
			for j, text := range addresses {
				addresses[j] = withoutPort(strings.TrimSpace(text))
			}
			c.Request.Header[name][i] = strings.Join(addresses, ", ")
		}
	}
}

// withoutPort returns the address of host:port, of [host]:port and of [host], and any other text as it is.
func withoutPort(text string) string {
	if with, err := netip.ParseAddrPort(text); err == nil {
		return with.Addr().String()
	}
	if bare, ok := strings.CutPrefix(text, "["); ok {
		return strings.TrimSuffix(bare, "]")
	}
	return text
}

// checkQuery refuses a query string that does not parse. Without it what cannot be read would count as absent, so a client with a
// damaged cursor would begin again from the first page, for ever.
func (a *API) checkQuery(c *gin.Context) {
	if _, err := url.ParseQuery(c.Request.URL.RawQuery); err != nil {
		a.respond(c, nil, &twtr.Error{Code: twtr.Malformed, Message: "the query string cannot be parsed", Err: err})
	}
}

// bound bounds the time for a request's body, and then the time for its processing. The second begins when the body is there: how
// long a client takes to send it must not look like a dependency that is unavailable.
func (a *API) bound(c *gin.Context) {
	body, err := readBody(c, a.bodyTimeout)
	switch twtr.ErrorCode(err) {
	case "", twtr.TooLarge: // only the calls that take a body refuse one that is too large
		c.Set(bodyKey, requestBody{body, err})
	default:
		a.respond(c, nil, err)
		return
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), requestTimeout)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Next()
}

// challenge says in a header that the access token is refused, if that is the error (RFC 6750, 3): a client then gets a new one.
func challenge(c *gin.Context, err error) {
	if e, ok := errors.AsType[*twtr.Error](err); ok && e.Code == twtr.Unauthenticated {
		c.Header("WWW-Authenticate", fmt.Sprintf(`Bearer error="invalid_token", error_description=%q`, e.Message))
	}
}
