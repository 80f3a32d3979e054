package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/twtr-dev/twtr"
)

// statuses is the only place that knows what an error is in HTTP.
var statuses = map[twtr.Code]int{
	twtr.Malformed:       http.StatusBadRequest,
	twtr.Unauthenticated: http.StatusUnauthorized,
	twtr.Forbidden:       http.StatusForbidden,
	twtr.NotFound:        http.StatusNotFound,
	twtr.WrongMethod:     http.StatusMethodNotAllowed,
	twtr.Conflict:        http.StatusConflict,
	twtr.TooLarge:        http.StatusRequestEntityTooLarge,
	twtr.Invalid:         http.StatusUnprocessableEntity,
	twtr.TooManyRequests: http.StatusTooManyRequests,
	twtr.Unavailable:     http.StatusServiceUnavailable,
	twtr.Internal:        http.StatusInternalServerError,
}

// envelope is the body of every answer.
type envelope struct {
	Status     int    `json:"status"`
	Data       any    `json:"data"`
	Error      string `json:"error"`
	NextCursor string `json:"nextCursor,omitempty"`
}

// answer makes a handler one of Gin's.
func (a *API) answer(h handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		body, err := h(c)
		a.respond(c, body, err)
	}
}

// respond writes the answer to a request. Nothing else does.
func (a *API) respond(c *gin.Context, body any, err error) {
	if err != nil {
		a.respondError(c, err)
		return
	}
	e := envelope{Status: http.StatusOK, Data: body}
	if p, ok := body.(page); ok {
		e.Data, e.NextCursor = p.items, p.next
		if p.next != "" {
			c.Header("Link", p.link(c.Request.URL))
		}
	}
	c.PureJSON(http.StatusOK, e)
}

func (a *API) respondError(c *gin.Context, err error) {
	// A deadline that passed is a dependency that was too slow. A client that went away gets the same; it won't see it.
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		if twtr.ErrorCode(err) == twtr.Internal {
			err = &twtr.Error{Code: twtr.Unavailable, Message: "the service did not answer in time", Err: err}
		}
	}
	status, message := http.StatusInternalServerError, "something went wrong on our side"
	if e, ok := errors.AsType[*twtr.Error](err); ok && e.Code != twtr.Internal {
		status, message = statuses[e.Code], e.Message
	}
	switch status {
	case http.StatusUnauthorized:
		c.Header("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		c.Header("Retry-After", "1")
		message += "; try again in a second"
	case http.StatusInternalServerError:
		a.log.ErrorContext(c.Request.Context(), "request failed", "request", c.GetString(requestIDKey), "error", err)
	}
	if status == http.StatusServiceUnavailable {
		a.log.WarnContext(c.Request.Context(), "a dependency is away", "request", c.GetString(requestIDKey), "error", err)
	}
	c.Abort()
	c.PureJSON(status, envelope{Status: status, Error: message})
}

// timestamp is a time as the contract writes it: RFC 3339, UTC, milliseconds.
type timestamp time.Time

// MarshalText implements [encoding.TextMarshaler].
func (t timestamp) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z"), nil
}
