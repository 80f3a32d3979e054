package twtr

import (
	"time"

	"github.com/google/uuid"
)

// IdempotencyKeyLife is how long an Idempotency-Key of a user stands for the same tweet.
const IdempotencyKeyLife = 24 * time.Hour

// IdempotencyClaim says which tweet an Idempotency-Key stands for.
type IdempotencyClaim struct {
	Username    string
	Key         string
	TweetID     uuid.UUID
	RequestHash []byte    // SHA-256 of all that the client sent
	ExpiresAt   time.Time // UTC, whole milliseconds
}
