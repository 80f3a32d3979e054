package twtr

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// MaxContent is the length of the longest tweet, in characters.
const MaxContent = 280

// Post is what an author writes: the part of a tweet that clients send. A new field of tweets is added here, and to the
// OpenAPI description.
type Post struct {
	Content string `json:"content"`
}

// Validate returns an [Invalid] error that names the rules that the post breaks.
func (p Post) Validate() error {
	if err := validateLength("content", p.Content, 1, MaxContent); err != nil {
		return err
	}
	if strings.ContainsFunc(p.Content, func(r rune) bool { return unicode.IsControl(r) && !isLineBreak(r) }) {
		return InvalidField("content", "must not have control characters other than line breaks")
	}
	return validateVisible("content", p.Content)
}

// Tweet is one post as it is stored and served: a JSON document with the keys that it is found by. Stores, workflows and
// lists carry the document as it is; only [NewTweet] makes one.
type Tweet struct {
	// ID is a UUIDv7, so ids sort by the time they were made: a greater id is a newer tweet.
	ID       uuid.UUID `json:"id"`
	Username string    `json:"username"` // the author
	// Body is the public JSON document, in the form that [json.Marshal] writes, which survives being part of another
	// document byte for byte.
	Body json.RawMessage `json:"body"`
}

// Window bounds a list of tweets by their ids: those below Before and above After. Each is a UUIDv7, or [uuid.Nil] for no bound.
type Window struct {
	Before, After uuid.UUID
}

// FeedRow is a row of a feed: a tweet, or the mark of a retracted one.
type FeedRow struct {
	ID        uuid.UUID
	Author    string // "" of a mark
	Retracted bool
}

// NewTweet makes the tweet of that id from what its author wrote.
func NewTweet(id uuid.UUID, username string, p Post) (Tweet, error) {
	body, err := json.Marshal(Posted{id, username, p, Timestamp(TimeOf(id))})
	return Tweet{ID: id, Username: username, Body: body}, err
}

// CreatedAt is the time in the tweet's id: UTC, whole milliseconds (RFC 9562, 5.7).
func (t Tweet) CreatedAt() time.Time { return TimeOf(t.ID) }

// NewTweetID makes a UUIDv7 of the present time, which is now by the caller's clock. Ids that one process makes sort in the order in
// which it made them.
func NewTweetID(now time.Time) (uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return id, err
	}
	// The library reads the system's clock and keeps the ids in order. Only a caller with another clock differs by so much.
	if skew := time.Until(now); skew.Abs() >= time.Second {
		setTime(&id, TimeOf(id).Add(skew))
	}
	return id, nil
}

// NewerTweet returns the id of the newer of two tweets. [uuid.Nil] is older than all.
func NewerTweet(a, b uuid.UUID) uuid.UUID {
	if bytes.Compare(a[:], b[:]) < 0 {
		return b
	}
	return a
}

// FirstTweetID returns the smallest id that a tweet of that time can have.
func FirstTweetID(at time.Time) (id uuid.UUID) {
	setTime(&id, at)
	id[6], id[8] = 0x70, 0x80
	return id
}

// TimeOf returns the time in a UUIDv7, which is when it was made: UTC, whole milliseconds.
func TimeOf(id uuid.UUID) time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}

func setTime(id *uuid.UUID, t time.Time) {
	ms := t.UnixMilli()
	for i := 5; i >= 0; i-- {
		id[i] = byte(ms)
		ms >>= 8
	}
}

// Timestamp is a time as clients read it: RFC 3339, UTC, milliseconds.
type Timestamp time.Time

// MarshalText implements [encoding.TextMarshaler].
func (t Timestamp) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z"), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (t *Timestamp) UnmarshalText(text []byte) error {
	at, err := time.Parse(time.RFC3339, string(text))
	*t = Timestamp(at.UTC())
	return err
}
