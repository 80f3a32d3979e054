package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

const (
	// No put brings back a receipt that was erased.
	upsertReceipt = `INSERT INTO deliveries (tweet_id, username, state, stage, delivered, completed_at) SELECT ?, ?, ?, ?, ?, ?
		WHERE NOT EXISTS (SELECT * FROM deleted_tweets WHERE id = ? AND erased)
		ON CONFLICT DO UPDATE SET stage = max(stage, excluded.stage),
			state = iif(excluded.stage > stage, excluded.state, state),
			delivered = coalesce(excluded.delivered, delivered),
			completed_at = iif(excluded.stage > stage, coalesce(excluded.completed_at, completed_at),
				coalesce(completed_at, excluded.completed_at))`
	// No row means that no feed failed, as is nearly always so.
	insertFailed = `INSERT INTO failed_deliveries (tweet_id, stage, feeds) SELECT ?, ?, ?
		WHERE NOT EXISTS (SELECT * FROM deleted_tweets WHERE id = ? AND erased) ON CONFLICT DO NOTHING`
	selectReceipt = `SELECT username, state, coalesce(delivered, 0), coalesce(feeds, 0), completed_at FROM deliveries
		LEFT JOIN failed_deliveries ON failed_deliveries.tweet_id = deliveries.tweet_id AND failed_deliveries.stage = iif(deliveries.stage = ?, ?, ?)
		WHERE deliveries.tweet_id = ?`
)

// PutReceipt implements [twtr.DeliveryStore].
func (s *Store) PutReceipt(ctx context.Context, r twtr.Receipt) error {
	delivered := sql.NullInt64{Int64: r.Delivered, Valid: r.State == twtr.DeliveryComplete}
	completedAt := sql.NullInt64{Int64: r.CompletedAt.UnixMilli(), Valid: r.State != twtr.DeliveryRetracting}
	if r.Failed > 0 { // first, so that a receipt never lacks it
		if _, err := s.exec(ctx, insertFailed, r.TweetID[:], r.State.Stage(), r.Failed, r.TweetID[:]); err != nil {
			return err
		}
	}
	_, err := s.exec(ctx, upsertReceipt, r.TweetID[:], r.Username, r.State, r.State.Stage(), delivered, completedAt, r.TweetID[:])
	return err
}

// Receipt implements [twtr.DeliveryStore].
func (s *Store) Receipt(ctx context.Context, tweetID uuid.UUID) (twtr.Receipt, error) {
	r := twtr.Receipt{TweetID: tweetID}
	var completedAt sql.NullInt64
	complete, retracted := twtr.DeliveryComplete.Stage(), twtr.DeliveryRetracted.Stage()
	err := s.read.QueryRowContext(ctx, selectReceipt, retracted, retracted, complete, tweetID[:]).
		Scan(&r.Username, &r.State, &r.Delivered, &r.Failed, &completedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return twtr.Receipt{}, twtr.Errorf(twtr.NotFound, "there is no receipt of tweet %s", tweetID)
	}
	if err != nil {
		return twtr.Receipt{}, mapError(ctx, err)
	}
	if completedAt.Valid {
		r.CompletedAt = time.UnixMilli(completedAt.Int64).UTC()
	}
	return r, nil
}
