package twtr

import (
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// Session is what a refresh token identifies. Each login starts a family of refresh tokens, of which only the newest is valid.
type Session struct {
	Family    uuid.UUID
	Username  string
	TokenHash []byte    // SHA-256 of the newest refresh token, which itself is not stored
	ExpiresAt time.Time // UTC, whole milliseconds
}

// LogValue keeps the token's hash out of every log.
func (s Session) LogValue() slog.Value { return slog.StringValue(s.Family.String()) }
