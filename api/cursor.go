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

// tweetPage is the page of up to limit of the list's tweets, of which tweets has one more if there are more.
func (s cursors) tweetPage(list string, tweets []twtr.Tweet, limit int) page {
	var p page
	if len(tweets) > limit {
		tweets = tweets[:limit]
		p.next = s.make(list, tweets[limit-1].ID[:])
	}
	p.items = make([]json.RawMessage, len(tweets))
	for i, t := range tweets {
		p.items[i] = t.Body
	}
	return p
}

// namePage is the page of up to limit of the list's names, of which names has one more if there are more.
func (s cursors) namePage(list string, names []string, limit int) (page, error) {
	var p page
	if len(names) > limit {
		names = names[:limit]
		p.next = s.make(list, []byte(names[limit-1]))
	}
	p.items = make([]json.RawMessage, len(names))
	for i, name := range names {
		item, err := json.Marshal(struct {
			Username string `json:"username"`
		}{name})
		if err != nil {
			return p, err
		}
		p.items[i] = item
	}
	return p, nil
}
