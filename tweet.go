package twtr

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// MaxContent is the length of the longest tweet, in characters.
const MaxContent = 280

// Tweet is one post. Its id is a UUIDv7, so ids sort by the time they were made: a greater id is a newer tweet, also
// among those one process made in the same millisecond.
type Tweet struct {
	ID       uuid.UUID `json:"id"`
	Username string    `json:"username"`
	Content  string    `json:"content"`
}

// NewTweet makes a tweet, with a new id, or returns an [Invalid] error that names the rule that content breaks.
func NewTweet(username, content string) (Tweet, error) {
	if err := validateLength("content", content, 1, MaxContent); err != nil {
		return Tweet{}, err
	}
	if strings.TrimSpace(content) == "" {
		return Tweet{}, Errorf(Invalid, "content must not be white space alone")
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Tweet{}, err
	}
	return Tweet{ID: id, Username: username, Content: content}, nil
}

// CreatedAt is the time in the tweet's id: UTC, whole milliseconds (RFC 9562, 5.7).
func (t Tweet) CreatedAt() time.Time { return TimeOf(t.ID) }

// TimeOf is the time that a UUIDv7 was made: UTC, whole milliseconds.
func TimeOf(id uuid.UUID) time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}
