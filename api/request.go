package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"
	jsonv2 "github.com/go-json-experiment/json"

	"github.com/twtr-dev/twtr"
)

// readJSON reads a request's body into v. The body must be exactly one JSON value of v's type, in valid Unicode and without
// duplicate names (RFC 7493), so that exactly what was sent is stored. Unknown names are ignored.
func readJSON(c *gin.Context, v any) error {
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return twtr.Errorf(twtr.TooLarge, "the body must have at most %d bytes", maxBody)
		}
		return &twtr.Error{Code: twtr.Malformed, Message: "the body could not be read to its end", Err: err}
	}
	if err := jsonv2.Unmarshal(body, v); err != nil {
		where := ""
		if e, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
			where = fmt.Sprintf(": wrong type at %q", string(e.JSONPointer))
		}
		return &twtr.Error{Code: twtr.Malformed, Message: "the body is not the JSON object that this call takes" + where, Err: err}
	}
	return nil
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
		return 0, twtr.Errorf(twtr.Invalid, "limit must be a number from 1 to %d", maxLimit)
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
