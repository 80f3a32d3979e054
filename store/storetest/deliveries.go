package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

var deliveryTests = []test{
	{"a receipt moves through its states in order, in whatever order they come", func(t *testing.T, s twtr.Store) {
		at := now()
		for i, order := range [][]twtr.DeliveryState{
			{twtr.DeliveryComplete},
			{twtr.DeliveryRetracting},
			{twtr.DeliveryComplete, twtr.DeliveryRetracting},
			{twtr.DeliveryRetracting, twtr.DeliveryComplete},
			{twtr.DeliveryComplete, twtr.DeliveryRetracting, twtr.DeliveryRetracted},
			{twtr.DeliveryComplete, twtr.DeliveryRetracted, twtr.DeliveryRetracting},
			{twtr.DeliveryRetracting, twtr.DeliveryComplete, twtr.DeliveryRetracted},
			{twtr.DeliveryRetracting, twtr.DeliveryRetracted, twtr.DeliveryComplete},
			{twtr.DeliveryRetracted, twtr.DeliveryComplete, twtr.DeliveryRetracting},
			{twtr.DeliveryRetracted, twtr.DeliveryRetracting, twtr.DeliveryComplete, twtr.DeliveryComplete},
		} {
			failedAtLast := int64(i % 2) // also none, after some of the delivery
			want := twtr.Receipt{TweetID: uuid.Must(uuid.NewV7()), Username: name()}
			_, err := s.Receipt(t.Context(), want.TweetID)
			requireCode(t, twtr.NotFound, err)
			for _, state := range order {
				r := twtr.Receipt{TweetID: want.TweetID, Username: want.Username, State: state}
				switch state {
				case twtr.DeliveryComplete:
					r.Delivered, r.Failed, r.CompletedAt = 12, 3, at
					want.Delivered = 12
					if want.CompletedAt.IsZero() {
						want.Failed, want.CompletedAt = 3, at
					}
				case twtr.DeliveryRetracted:
					r.Failed, r.CompletedAt = failedAtLast, at.Add(time.Minute)
					want.Failed, want.CompletedAt = r.Failed, r.CompletedAt
				}
				if state.Stage() > want.State.Stage() {
					want.State = state
				}
				for range 2 {
					require.NoError(t, s.PutReceipt(t.Context(), r))
				}
				got, err := s.Receipt(t.Context(), want.TweetID)
				require.NoError(t, err)
				require.Equal(t, want, got, "%v, after %s", order, state)
			}
		}
	}},
}
