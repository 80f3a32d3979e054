package backlog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestAPollerThatPollsNoMoreIsGoneAfterAWhileWhateverTheClocksSay(t *testing.T) {
	o := &Observer{pollers: map[poller]sighting{}}
	q := queue{"feeds", enums.TASK_QUEUE_TYPE_ACTIVITY}
	ours := time.Now()
	temporals := ours.Add(-time.Hour) // its clock is behind ours
	listed := func(polls ...time.Time) (all []*taskqueue.PollerInfo) {
		for i, at := range polls {
			all = append(all, &taskqueue.PollerInfo{Identity: string(rune('a' + i)), LastAccessTime: timestamppb.New(at)})
		}
		return all
	}
	require.EqualValues(t, 2, o.live(q, listed(temporals, temporals), ours))
	require.EqualValues(t, 2, o.live(q, listed(temporals.Add(time.Minute), temporals), ours.Add(time.Minute)))
	require.EqualValues(t, 1, o.live(q, listed(temporals.Add(time.Minute), temporals), ours.Add(silence)))
	require.EqualValues(t, 0, o.live(q, listed(temporals.Add(time.Minute), temporals), ours.Add(time.Minute+silence)))
	require.EqualValues(t, 1, o.live(q, listed(temporals.Add(3*time.Minute)), ours.Add(3*time.Minute)))
	require.Len(t, o.pollers, 1, "one that is not listed is forgotten")
}
