package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// requestBody is a request's body, or why the calls that take one refuse it.
type requestBody struct {
	bytes []byte
	err   error
}

// readBody reads a request's body to its end within the timeout. The error of one that has not arrived by then is
// [twtr.TooSlow], that of one whose client is gone clientClosed.
func readBody(c *gin.Context, timeout time.Duration) ([]byte, error) {
	if c.Request.ContentLength == 0 {
		return nil, nil
	}
	// net/http removes the deadline when the body is there. After an error it closes the connection. A test's recorder has none.
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(timeout))
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	if err == nil {
		return body, nil
	}
	code, message := twtr.Malformed, "the body could not be read to its end"
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	_, broken := errors.AsType[*net.OpError](err)
	switch {
	case tooLarge:
		code, message = twtr.TooLarge, fmt.Sprintf("the body must have at most %d bytes", maxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		code, message = twtr.TooSlow, fmt.Sprintf("the body did not arrive within %v", timeout)
	case broken, errors.Is(err, io.ErrUnexpectedEOF):
		code, message = clientClosed, "the client closed the connection"
	}
	return nil, &twtr.Error{Code: code, Message: message, Err: err}
}

// readJSON decodes a request's body into v. The body must be exactly one JSON object, in valid Unicode and without duplicate names
// (RFC 7493), so that exactly what was sent is stored. Unknown names are ignored. A byte order mark at the beginning is, too: some
// clients cannot help sending it.
func readJSON(c *gin.Context, v any) error {
	if err := checkEncoding(c); err != nil {
		return err
	}
	body, _ := c.MustGet(bodyKey).(requestBody)
	if body.err != nil {
		return body.err
	}
	text := bytes.TrimPrefix(body.bytes, []byte("\ufeff"))
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return twtr.Errorf(twtr.Malformed, "the body is empty: this call takes a JSON object")
	case !utf8.Valid(text):
		return twtr.Errorf(twtr.Malformed, "the body is not UTF-8: this call takes a JSON object in UTF-8, not compressed")
	case string(bytes.TrimSpace(text)) == "null": // which would be decoded as an object without fields
		return twtr.Errorf(twtr.Malformed, "the body must be a JSON object, not null")
	}
	if err := jsonv2.Unmarshal(text, v); err != nil {
		return malformed(err)
	}
	return nil
}

// checkEncoding returns an [twtr.Unsupported] error if the headers name an encoding of the body that we do not read.
func checkEncoding(c *gin.Context) error {
	for _, coding := range strings.Split(strings.Join(c.Request.Header.Values("Content-Encoding"), ","), ",") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			c.Header("Accept-Encoding", "identity")
			return twtr.Errorf(twtr.Unsupported, "the body must not be compressed: send it without Content-Encoding")
		}
	}
	_, parameters, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	charset := strings.ToLower(parameters["charset"])
	if err == nil && !slices.Contains([]string{"", "utf-8", "utf8", "us-ascii"}, charset) {
		return twtr.Errorf(twtr.Unsupported, "the body must be UTF-8: send it with Content-Type: application/json; charset=utf-8")
	}
	return nil
}

// malformed says what is wrong with a body that is no JSON object of the expected type.
func malformed(err error) error {
	e := &twtr.Error{Code: twtr.Malformed, Message: "the body is not the JSON object that this call takes", Err: err}
	semantic, wrongType := errors.AsType[*jsonv2.SemanticError](err)
	syntactic, wrongSyntax := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case wrongType && semantic.JSONPointer == "":
		e.Message = "the body must be a JSON object, not " + kindName(semantic.JSONKind)
	case wrongType:
		field := semantic.JSONPointer.LastToken()
		e.Message = field + " must not be " + kindName(semantic.JSONKind)
		e.Fields = []twtr.FieldError{{Field: field, Message: e.Message}}
	case wrongSyntax && errors.Is(err, jsontext.ErrDuplicateName):
		e.Message = fmt.Sprintf("the body has the name %.64q twice", syntactic.JSONPointer.LastToken())
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Message = "the body is not JSON: it ends too early"
	case wrongSyntax:
		e.Message = fmt.Sprintf("the body is not JSON: %v, at byte %d", syntactic.Err, syntactic.ByteOffset)
	}
	return e
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	}
	return "of this type"
}

// parseID parses a UUID in its canonical form, in either case (RFC 9562, 4).
func parseID(text string) (id uuid.UUID, ok bool) {
	if len(text) != len(uuid.Nil.String()) { // uuid.Parse takes some other forms
		return uuid.Nil, false
	}
	id, err := uuid.Parse(text)
	return id, err == nil
}

// tweetID returns the id in the request's path.
func tweetID(c *gin.Context) (uuid.UUID, error) {
	id, ok := parseID(c.Param("id"))
	if !ok {
		return uuid.Nil, twtr.Errorf(twtr.NotFound, "there is no tweet of that id")
	}
	return id, nil
}

// window returns the part of a list of tweets that the client asks for: below the cursor, and newer than ?after.
func (a *API) window(c *gin.Context, list string) (w twtr.Window, err error) {
	if w.Before, err = a.cursors.cursorID(c, list); err != nil {
		return w, err
	}
	if text, given := c.GetQuery("after"); given {
		id, ok := parseID(text)
		if !ok || id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			return w, twtr.InvalidField("after", "must be the id of a tweet")
		}
		w.After = id
	}
	return w, nil
}

const (
	maxLimit     = 100
	defaultLimit = 50
)

// pageLimit returns how many items of a list the client asks for.
func pageLimit(c *gin.Context) (int, error) {
	text, given := c.GetQuery("limit")
	if !given {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		return 0, twtr.InvalidField("limit", "must be a number from 1 to %d", maxLimit)
	}
	return n, nil
}

// page is one page of a list.
type page struct {
	items []json.RawMessage
	next  string // the cursor of the next page; empty on the last one
}

// The envelope of a page, around and between its items.
const (
	pageBegin  = `{"status":200,"data":[`
	pageError  = `],"error":""`
	pageCursor = `,"nextCursor":"`
)

// appendEnvelope appends the page as it is sent. The items are JSON already, and a cursor has no character that JSON escapes, so
// nothing has to be encoded.
func (p page) appendEnvelope(b []byte) []byte {
	b = append(b, pageBegin...)
	for i, item := range p.items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, item...)
	}
	b = append(b, pageError...)
	if p.next != "" {
		b = append(append(append(b, pageCursor...), p.next...), '"')
	}
	return append(b, '}', '\n')
}

// link returns the Link header (RFC 8288) of the page after this one, which was requested by u.
func (p page) link(u *url.URL) string {
	query := u.Query()
	query.Set("cursor", p.next)
	next := url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: query.Encode()}
	return fmt.Sprintf(`<%s>; rel="next"`, next.String())
}
