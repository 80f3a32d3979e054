package twtr

import (
	"time"

	"github.com/google/uuid"
)

// IdempotencyKeyLife is for how long the same Idempotency-Key of the same user stands for the same tweet.
const IdempotencyKeyLife = 24 * time.Hour

// IdempotencyClaim says which tweet an Idempotency-Key stands for.
type IdempotencyClaim struct {
	Username    string
	Key         string
	TweetID     uuid.UUID
	ContentHash []byte    // SHA-256 of the tweet's content
	ExpiresAt   time.Time // UTC, whole milliseconds
}
