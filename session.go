package twtr

import (
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// Session is one log-in of a user: a family of refresh tokens, of which the newest is valid. All times are UTC, in whole
// milliseconds.
type Session struct {
	// Family is a UUIDv7: a greater one is of a later log-in.
	Family   uuid.UUID
	Username string
	// Client is what the client calls itself (its User-Agent), for its user to recognize it.
	Client      string
	TokenHash   []byte    // SHA-256 of the newest refresh token, which itself is not stored
	CreatedAt   time.Time // the log-in
	RefreshedAt time.Time // when the newest token was made
	ExpiresAt   time.Time
}

// LogValue keeps the token's hash out of every log.
func (s Session) LogValue() slog.Value { return slog.StringValue(s.Family.String()) }

// MaxSessionLife is how long a session lasts at most, however often it is refreshed.
const MaxSessionLife = 90 * 24 * time.Hour

// EndedSessionsKept is how long an ended session is remembered at least: longer than its last access token is valid.
const EndedSessionsKept = 20 * time.Minute
