package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/twtr-dev/twtr"
)

// readJSON reads a request's body into v. It wants exactly one JSON value of v's shape, in valid Unicode and without
// duplicate names (RFC 7493), so that what is stored is to the letter what was sent; names it doesn't know are passed over.
func readJSON(c *gin.Context, v any) error {
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return twtr.Errorf(twtr.TooLarge, "the body must have at most %d bytes", maxBody)
		}
		return &twtr.Error{Code: twtr.Malformed, Message: "the body could not be read to its end", Err: err}
	}
	if err := json.Unmarshal(body, v); err != nil {
		where := ""
		if e, ok := errors.AsType[*json.SemanticError](err); ok {
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

// pageLimit is how many items of a list the caller wants.
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
	items any
	next  string // the cursor of the next page; empty on the last one
}

// link is the Link header (RFC 8288) of the page after this one, which was asked for by u.
func (p page) link(u *url.URL) string {
	query := u.Query()
	query.Set("cursor", p.next)
	next := url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: query.Encode()}
	return fmt.Sprintf(`<%s>; rel="next"`, next.String())
}
