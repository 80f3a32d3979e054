package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/seal"
)

// cursors makes and checks the cursors of lists: the key of the last item of a page, and the first 8 bytes of an HMAC-SHA256
// over the list's name and that key. A cursor of another list, or one that we did not make, is refused. The first key makes, and
// all are accepted.
type cursors struct {
	keys [][]byte
}

func newCursors(secrets []string) cursors {
	var s cursors
	for _, secret := range secrets {
		s.keys = append(s.keys, seal.Key(secret, "cursor"))
	}
	return s
}

const cursorSum = 8

func (s cursors) make(list string, last []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(s.sum(s.keys[0], list, last), last...))
}

// read returns the key in the request's cursor, nil if it has none.
func (s cursors) read(c *gin.Context, list string) ([]byte, error) {
	text, given := c.GetQuery("cursor")
	if !given {
		return nil, nil
	}
	return s.parse(list, text)
}

func (s cursors) parse(list, text string) (last []byte, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	ours := func(key []byte) bool { return hmac.Equal(raw[:cursorSum], s.sum(key, list, raw[cursorSum:])) }
	if err != nil || len(raw) <= cursorSum || !slices.ContainsFunc(s.keys, ours) {
		return nil, twtr.InvalidField("cursor", "must be the nextCursor of an earlier page of this list")
	}
	return raw[cursorSum:], nil
}

func (s cursors) sum(key []byte, list string, last []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(list))
	mac.Write([]byte{0})
	mac.Write(last)
	return mac.Sum(nil)[:cursorSum]
}

// cursorID returns the tweet's id in the request's cursor, [uuid.Nil] if it has none.
func (s cursors) cursorID(c *gin.Context, list string) (uuid.UUID, error) {
	last, err := s.read(c, list)
	if err != nil || last == nil {
		return uuid.Nil, err
	}
	return uuid.FromBytes(last)
}

// pageOf is the page of up to limit of the list's rows, of which rows has one more if there are more. A row's item is what is served
// of it, and its key is what a cursor of it holds.
func pageOf[T any](s cursors, list string, rows []T, limit int, item func(T) (body json.RawMessage, key []byte, err error)) (p page, err error) {
	more := len(rows) > limit
	if more {
		rows = rows[:limit]
	}
	p.items = make([]json.RawMessage, len(rows))
	var key []byte
	for i, row := range rows {
		if p.items[i], key, err = item(row); err != nil {
			return p, err
		}
	}
	if more {
		p.next = s.make(list, key)
	}
	return p, nil
}

func tweetItem(t twtr.Tweet) (json.RawMessage, []byte, error) { return t.Body, t.ID[:], nil }

func nameItem(name string) (json.RawMessage, []byte, error) {
	body, err := json.Marshal(struct {
		Username string `json:"username"`
	}{name})
	return body, []byte(name), err
}
