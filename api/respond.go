package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"go.temporal.io/sdk/client"

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
	twtr.Unsupported:     http.StatusUnsupportedMediaType,
	twtr.TooSlow:         http.StatusRequestTimeout,
	twtr.Invalid:         http.StatusUnprocessableEntity,
	twtr.TooManyRequests: http.StatusTooManyRequests,
	clientClosed:         499, // nginx's, for logs and metrics: no client sees it
	twtr.Unavailable:     http.StatusServiceUnavailable,
	twtr.Internal:        http.StatusInternalServerError,
}

// envelope is the body of every JSON response.
type envelope struct {
	Status int    `json:"status"`
	Data   any    `json:"data"`
	Error  string `json:"error"`
	// These are of errors alone. Fields has every field that breaks a rule, and Field the only one.
	Code   twtr.Code         `json:"code,omitempty"`
	Field  string            `json:"field,omitempty"`
	Fields []twtr.FieldError `json:"fields,omitempty"`
	// NextCursor is of a page that is not the last one.
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
	if s, ok := body.(*stream); ok {
		a.respondStream(c, s)
		return
	}
	if p, ok := body.(page); ok {
		if p.next != "" {
			c.Header("Link", p.link(c.Request.URL))
		}
		buf := pageBuffers.Get().(*[]byte)
		*buf = p.appendEnvelope((*buf)[:0])
		writeOK(c, *buf)
		pageBuffers.Put(buf)
		return
	}
	if text, ok := a.encode(c, envelope{Status: http.StatusOK, Data: body}); ok {
		writeOK(c, text)
	}
}

// respondStream takes over the connection, and serves the stream after the request: the server's buffers, and what else a request
// holds, would take six times the memory. The connection's end is that of the response (RFC 9112, 6.3). A nil stream is that of a HEAD,
// which has the headers alone.
func (a *API) respondStream(c *gin.Context, s *stream) {
	c.Header("Content-Type", "text/event-stream")
	c.Header("Cache-Control", "no-store")
	c.Header("X-Accel-Buffering", "no") // nginx
	c.Status(http.StatusOK)
	if s == nil {
		c.Writer.WriteHeaderNow()
		return
	}
	c.Header("Connection", "close")
	c.Header("Date", time.Now().UTC().Format(http.TimeFormat))
	connection, _, err := c.Writer.Hijack()
	if err != nil {
		s.remove(s)
		a.respondError(c, err)
		return
	}
	head := bytes.NewBufferString("HTTP/1.1 200 OK\r\n")
	_ = c.Writer.Header().Write(head) // a buffer takes all
	head.WriteString("\r\n")
	a.live.start(s, connection, head.String())
}

// writeOK writes a successful response. A read may be kept, and is asked for again each time, which costs little: its ETag is the
// same as long as the response is, whichever process answers. The response to a write may hold tokens.
func writeOK(c *gin.Context, body []byte) {
	if !isRead(c) {
		c.Header("Cache-Control", "no-store")
		write(c, http.StatusOK, jsonType, body)
		return
	}
	caching := "no-cache"
	if username(c) != "" {
		caching = "private, no-cache"
	}
	writeTagged(c, caching, jsonType, body)
}

// writeTagged writes a response with an ETag, or 304 if the client has it.
func writeTagged(c *gin.Context, caching, contentType string, body []byte) {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	c.Header("Cache-Control", caching)
	c.Header("ETag", tag)
	if matches(c.Request.Header.Values("If-None-Match"), tag) {
		c.Status(http.StatusNotModified)
		return
	}
	write(c, http.StatusOK, contentType, body)
}

func isRead(c *gin.Context) bool {
	return c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead
}

// matches reports whether an If-None-Match header names the tag, by weak comparison (RFC 9110, 13.1.2). The tag has no comma.
func matches(ifNoneMatch []string, tag string) bool {
	all := strings.Join(ifNoneMatch, ",")
	if strings.TrimSpace(all) == "*" {
		return true
	}
	return slices.ContainsFunc(strings.Split(all, ","), func(one string) bool {
		return strings.TrimPrefix(strings.TrimSpace(one), "W/") == tag
	})
}

// pageBuffers are reused, because a page is much larger than all else that a request allocates: 100 tweets of the longest
// content take 200 KB at most, and usually a tenth of it.
var pageBuffers = sync.Pool{New: func() any { return new([]byte) }}

func (a *API) respondError(c *gin.Context, err error) {
	e := publicError(c.Request.Context(), err)
	message := e.Message
	switch e.Code {
	case twtr.Unauthenticated:
		if c.Writer.Header().Get("WWW-Authenticate") == "" { // none that says more
			c.Header("WWW-Authenticate", "Bearer")
		}
	case twtr.TooManyRequests:
		if wait, ok := errors.AsType[retryAfter](err); ok {
			c.Header("Retry-After", strconv.Itoa(wholeSeconds(time.Duration(wait))))
		}
	case twtr.Unavailable:
		defer a.logUnavailable(c, err) // the client has its response before the cause is known
		if !errors.Is(err, errNotRepeatable) {
			c.Header("Retry-After", "1")
			message += "; try again in a second"
		}
	case twtr.Internal:
		a.log.ErrorContext(c.Request.Context(), "request failed", requestIDKey, c.GetString(requestIDKey), "error", err)
	}
	c.Abort()
	failure := envelope{Status: statuses[e.Code], Error: message, Code: e.Code, Fields: e.Fields}
	if len(e.Fields) == 1 {
		failure.Field = e.Fields[0].Field
	}
	if text, ok := a.encode(c, failure); ok {
		write(c, failure.Status, jsonType, text)
	}
}

// retryAfter is in the chain of a [twtr.TooManyRequests] error: the request may be sent again after that time.
type retryAfter time.Duration

func (r retryAfter) Error() string { return "too early by " + time.Duration(r).String() }

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
	queue      string // the task queue whose workers must have answered, too; "" if none
}

func (e *dependencyError) Error() string { return e.dependency + ": " + e.err.Error() }

func (e *dependencyError) Unwrap() error { return e.err }

func (a *API) logUnavailable(c *gin.Context, err error) {
	dependency := "store"
	if d, ok := errors.AsType[*dependencyError](err); ok {
		dependency = d.dependency
		if d.queue != "" && c.Request.Context().Err() != nil {
			c.Writer.Flush()
			dependency, err = a.silent(c.Request.Context(), d)
		}
	}
	a.log.WarnContext(c.Request.Context(), "dependency unavailable", requestIDKey, c.GetString(requestIDKey), "dependency", dependency, "error", err)
}

// healthTimeout bounds the question whether Temporal answers, after a request that has timed out.
const healthTimeout = 500 * time.Millisecond

// silent finds which of the two did not answer a request in time: Temporal or a worker.
func (a *API) silent(ctx context.Context, d *dependencyError) (dependency string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthTimeout)
	defer cancel()
	if _, err := a.temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return "Temporal", fmt.Errorf("no answer from Temporal within %v: %w", requestTimeout, err)
	}
	return "workers of task queue " + d.queue, fmt.Errorf("no worker of task queue %s answered within %v", d.queue, requestTimeout)
}

// encode returns the envelope as JSON. If it cannot be encoded, that is the response, and ok is false.
func (a *API) encode(c *gin.Context, e envelope) (text []byte, ok bool) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil { // only for a type that JSON does not have
		a.log.ErrorContext(c.Request.Context(), "response cannot be encoded", requestIDKey, c.GetString(requestIDKey), "error", err)
		c.AbortWithStatus(http.StatusInternalServerError)
		return nil, false
	}
	return buf.Bytes(), true
}

const jsonType = "application/json; charset=utf-8"

// write writes a response whose length is known, so that it is not sent in chunks. The response to HEAD has the headers alone.
func write(c *gin.Context, status int, contentType string, body []byte) {
	header := c.Writer.Header()
	header["Content-Type"] = []string{contentType}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.Writer.WriteHeader(status)
	c.Writer.WriteHeaderNow() // or Gin adds a body of its own to the 404 of a HEAD
	if c.Request.Method != http.MethodHead {
		_, _ = c.Writer.Write(body) // an error means that the client is gone
	}
}
