package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/twtr-dev/twtr"
)

const (
	claimKey = `INSERT INTO idempotency_keys (username, key, tweet_id, request_hash, expires_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET tweet_id = excluded.tweet_id, request_hash = excluded.request_hash, expires_at = excluded.expires_at
		WHERE expires_at <= ?`
	selectClaim = `SELECT tweet_id, request_hash, expires_at FROM idempotency_keys WHERE username = ? AND key = ?`
)

// ClaimIdempotencyKey implements [twtr.IdempotencyStore]. The clock decides whether the stored claim has expired.
func (s *Store) ClaimIdempotencyKey(ctx context.Context, c twtr.IdempotencyClaim) (twtr.IdempotencyClaim, error) {
	holds := twtr.IdempotencyClaim{Username: c.Username, Key: c.Key}
	var expiresAt int64
	err := s.transact(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, claimKey, c.Username, c.Key, c.TweetID[:], c.RequestHash, c.ExpiresAt.UnixMilli(), time.Now().UnixMilli())
		if err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, selectClaim, c.Username, c.Key).Scan(&holds.TweetID, &holds.RequestHash, &expiresAt)
	})
	if err != nil {
		return twtr.IdempotencyClaim{}, err
	}
	holds.ExpiresAt = time.UnixMilli(expiresAt).UTC()
	return holds, nil
}
