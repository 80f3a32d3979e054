package cassandra

import (
	"context"
	"fmt"
	"time"

	"github.com/gocql/gocql"

	"github.com/twtr-dev/twtr"
)

const claimKey = `INSERT INTO idempotency_keys (username, key, tweet_id, request_hash, expires_at) VALUES (?, ?, ?, ?, ?)
	IF NOT EXISTS USING TTL ?`

// ClaimIdempotencyKey implements [twtr.IdempotencyStore].
func (s *Store) ClaimIdempotencyKey(ctx context.Context, c twtr.IdempotencyClaim) (twtr.IdempotencyClaim, error) {
	row := map[string]any{}
	applied, err := s.casOrRow(ctx, row, claimKey, c.Username, c.Key, gocql.UUID(c.TweetID), c.RequestHash, c.ExpiresAt, ttl(c.ExpiresAt))
	if err != nil {
		return twtr.IdempotencyClaim{}, err
	}
	if applied {
		return c, nil
	}
	id, ok := row["tweet_id"].(gocql.UUID)
	hash, ok2 := row["request_hash"].([]byte)
	expiresAt, ok3 := row["expires_at"].(time.Time)
	if !ok || !ok2 || !ok3 {
		return twtr.IdempotencyClaim{}, fmt.Errorf("cassandra: the claim of an idempotency key lacks a column: %v", row)
	}
	return twtr.IdempotencyClaim{Username: c.Username, Key: c.Key, TweetID: [16]byte(id), RequestHash: hash, ExpiresAt: expiresAt.UTC()}, nil
}
