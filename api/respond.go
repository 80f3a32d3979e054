package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/twtr-dev/twtr"
)

// clientClosed is the code of a request whose client did not wait for the response.
const clientClosed twtr.Code = "client-closed"

// statuses maps an error's code to its HTTP status. Nothing else knows status codes.
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
	clientClosed:         499, // nginx's, for logs and metrics: no client sees it
	twtr.Unavailable:     http.StatusServiceUnavailable,
	twtr.Internal:        http.StatusInternalServerError,
}

// envelope is the body of every JSON response.
type envelope struct {
	Status     int    `json:"status"`
	Data       any    `json:"data"`
	Error      string `json:"error"`
	NextCursor string `json:"nextCursor,omitempty"`
}

// handle makes a handler one of Gin's.
func (a *API) handle(h handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		body, err := h(c)
		a.respond(c, body, err)
	}
}

// respond writes the JSON response to a request. Nothing else does.
func (a *API) respond(c *gin.Context, body any, err error) {
	if err != nil {
		a.respondError(c, err)
		return
	}
	if p, ok := body.(page); ok {
		if p.next != "" {
			c.Header("Link", p.link(c.Request.URL))
		}
		buf := pageBuffers.Get().(*[]byte)
		*buf = p.appendEnvelope((*buf)[:0])
		write(c, http.StatusOK, *buf)
		pageBuffers.Put(buf)
		return
	}
	a.writeEnvelope(c, envelope{Status: http.StatusOK, Data: body})
}

// pageBuffers are reused, because a page is much larger than all else that a request allocates: 100 tweets of the longest
// content take 200 KB at most, and usually a tenth of it.
var pageBuffers = sync.Pool{New: func() any { return new([]byte) }}

func (a *API) respondError(c *gin.Context, err error) {
	e := publicError(c.Request.Context(), err)
	message := e.Message
	switch e.Code {
	case twtr.Unauthenticated:
		c.Header("WWW-Authenticate", "Bearer")
	case twtr.Unavailable:
		a.logUnavailable(c, err)
		if !errors.Is(err, errNotRepeatable) {
			c.Header("Retry-After", "1")
			message += "; try again in a second"
		}
	case twtr.Internal:
		a.log.ErrorContext(c.Request.Context(), "request failed", requestIDKey, c.GetString(requestIDKey), "error", err)
	}
	c.Abort()
	a.writeEnvelope(c, envelope{Status: statuses[e.Code], Error: message})
}

// errNotRepeatable is in the chain of an [twtr.Unavailable] error whose request must not be sent again blindly: it may have
// been accepted, and would then be done twice.
var errNotRepeatable = errors.New("the request may have been accepted")

// publicError is the error as its client may see it.
func publicError(ctx context.Context, err error) *twtr.Error {
	e, unavailable := asUnavailable(err)
	switch {
	case unavailable && errors.Is(ctx.Err(), context.Canceled): // not by the deadline
		return &twtr.Error{Code: clientClosed, Message: "the client closed the connection"}
	case e == nil || e.Code == twtr.Internal:
		return &twtr.Error{Code: twtr.Internal, Message: "something went wrong on our side"}
	}
	return e
}

// asUnavailable returns the domain's error in err's chain, nil if there is none, and whether it is that a dependency is
// unavailable: a context that ended means a dependency that was too slow.
func asUnavailable(err error) (*twtr.Error, bool) {
	e, ok := errors.AsType[*twtr.Error](err)
	if (!ok || e.Code == twtr.Internal) && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		e = &twtr.Error{Code: twtr.Unavailable, Message: "the service did not answer in time", Err: err}
	}
	return e, e != nil && e.Code == twtr.Unavailable
}

// dependencyError names the dependency that an error is about, for the log. An error without one is the store's.
type dependencyError struct {
	dependency string
	err        error
}

func (e *dependencyError) Error() string { return e.dependency + ": " + e.err.Error() }

func (e *dependencyError) Unwrap() error { return e.err }

func (a *API) logUnavailable(c *gin.Context, err error) {
	dependency := "store"
	if d, ok := errors.AsType[*dependencyError](err); ok {
		dependency = d.dependency
	}
	a.log.WarnContext(c.Request.Context(), "dependency unavailable", requestIDKey, c.GetString(requestIDKey), "dependency", dependency, "error", err)
}

func (a *API) writeEnvelope(c *gin.Context, e envelope) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil { // only for a type that JSON does not have
		a.log.ErrorContext(c.Request.Context(), "response cannot be encoded", requestIDKey, c.GetString(requestIDKey), "error", err)
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	write(c, e.Status, buf.Bytes())
}

// write writes a response whose length is known, so that it is not sent in chunks.
func write(c *gin.Context, status int, body []byte) {
	header := c.Writer.Header()
	header["Content-Type"] = jsonType
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.Writer.WriteHeader(status)
	_, _ = c.Writer.Write(body) // an error means that the client is gone
}

var jsonType = []string{"application/json; charset=utf-8"}
