package inspect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestAPollerThatPollsNoMoreIsGoneAfterAWhileWhateverTheClocksSay(t *testing.T) {
	for name, skew := range map[string]time.Duration{"Temporal's clock is right": 0, "it is behind": -time.Hour, "it is ahead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			queues := NewQueues(nil, "")
			start := time.Now()
			// look tells which pollers are live at a time, given when each has polled last; a negative time: it is not listed.
			look := func(at time.Duration, polls ...time.Duration) (live string) {
				var listed []*taskqueue.PollerInfo
				for i, polled := range polls {
					if polled >= 0 {
						listed = append(listed, &taskqueue.PollerInfo{Identity: string(rune('a' + i)), LastAccessTime: timestamppb.New(start.Add(polled + skew))})
					}
				}
				for _, info := range queues.live(Queue{"feeds", enums.TASK_QUEUE_TYPE_ACTIVITY}, listed, start.Add(at)) {
					live += info.GetIdentity()
				}
				return live
			}
			first := map[bool]string{true: "", false: "a"}[skew < 0] // nothing else is known yet
			require.Equal(t, first, look(0, 0))
			require.Equal(t, "ab", look(time.Minute, time.Minute, 0), "one polls again, the other one is new")
			require.Equal(t, "b", look(time.Minute+1, -1, 0))
			require.Equal(t, "b", look(time.Minute+Gone-1, -1, 0))
			require.Empty(t, look(time.Minute+Gone, -1, 0))
			require.Equal(t, "b", look(3*time.Minute, -1, 3*time.Minute))
			require.Len(t, queues.polls[Queue{"feeds", enums.TASK_QUEUE_TYPE_ACTIVITY}], 1, "one that is not listed is forgotten")
		})
	}
}

func TestTheFirstLookTakesTheTimeOfTheLastPoll(t *testing.T) {
	now := time.Now()
	for age, live := range map[time.Duration]int{0: 1, Gone - time.Second: 1, Gone: 0} {
		listed := []*taskqueue.PollerInfo{{LastAccessTime: timestamppb.New(now.Add(-age))}}
		require.Len(t, NewQueues(nil, "").live(Queue{}, listed, now), live, age)
	}
}
