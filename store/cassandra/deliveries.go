package cassandra

import (
	"context"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

const (
	insertReceipt = `INSERT INTO deliveries (tweet_id, username, state, delivered, failed, completed_at) VALUES (?, ?, ?, ?, ?, ?)
		USING TIMESTAMP ?`
	selectReceipt = `SELECT username, state, delivered, failed, completed_at FROM deliveries WHERE tweet_id = ?`
)

// PutReceipt implements [twtr.DeliveryStore]. The write timestamp, the tweet's time and the stage, makes a later stage win,
// column by column.
func (s *Store) PutReceipt(ctx context.Context, r twtr.Receipt) error {
	var delivered, failed, completedAt any = gocql.UnsetValue, gocql.UnsetValue, gocql.UnsetValue
	if r.State == twtr.DeliveryComplete {
		delivered = r.Delivered
	}
	if r.State != twtr.DeliveryRetracting {
		failed, completedAt = r.Failed, r.CompletedAt
	}
	at := twtr.TimeOf(r.TweetID).UnixMicro() + int64(r.State.Stage())
	return s.exec(ctx, insertReceipt, gocql.UUID(r.TweetID), r.Username, string(r.State), delivered, failed, completedAt, at)
}

// Receipt implements [twtr.DeliveryStore].
func (s *Store) Receipt(ctx context.Context, tweetID uuid.UUID) (twtr.Receipt, error) {
	r := twtr.Receipt{TweetID: tweetID}
	var state string
	var completedAt time.Time
	found, err := s.one(ctx, gocql.LocalQuorum, selectReceipt, []any{gocql.UUID(tweetID)}, &r.Username, &state,
		&r.Delivered, &r.Failed, &completedAt)
	if err != nil {
		return twtr.Receipt{}, err
	}
	if !found {
		return twtr.Receipt{}, twtr.Errorf(twtr.NotFound, "there is no receipt of tweet %s", tweetID)
	}
	r.State, r.CompletedAt = twtr.DeliveryState(state), completedAt.UTC()
	return r, nil
}
