package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// cursors makes and checks the cursors of lists: the id of the last item shown, and the first 8 bytes of an HMAC-SHA256
// over the list's name and that id. So a cursor of another list, or one we never made, is refused.
type cursors struct {
	key []byte
}

func (s cursors) make(list string, last uuid.UUID) string {
	return base64.RawURLEncoding.EncodeToString(append(last[:], s.sum(list, last)...))
}

// read is the id in the request's cursor, [uuid.Nil] if it has none.
func (s cursors) read(c *gin.Context, list string) (uuid.UUID, error) {
	text, given := c.GetQuery("cursor")
	if !given {
		return uuid.Nil, nil
	}
	return s.parse(list, text)
}

func (s cursors) parse(list, text string) (id uuid.UUID, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err == nil && len(raw) == len(id)+8 {
		copy(id[:], raw)
		if hmac.Equal(raw[len(id):], s.sum(list, id)) {
			return id, nil
		}
	}
	return uuid.Nil, twtr.Errorf(twtr.Invalid, "cursor must be the nextCursor of an earlier page of this list")
}

func (s cursors) sum(list string, id uuid.UUID) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(list))
	mac.Write(id[:])
	return mac.Sum(nil)[:8]
}

// tweetPage is the page of up to limit of the list's tweets, of which tweets has one more if there are more.
func (s cursors) tweetPage(list string, tweets []twtr.Tweet, limit int) page {
	var p page
	if len(tweets) > limit {
		tweets = tweets[:limit]
		p.next = s.make(list, tweets[limit-1].ID)
	}
	items := make([]tweetBody, len(tweets)) // an empty list is [], not null
	for i, t := range tweets {
		items[i] = newTweetBody(t)
	}
	p.items = items
	return p
}
