package api

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func idAt(t *testing.T, at time.Time) uuid.UUID {
	id, err := twtr.NewTweetID(at)
	require.NoError(t, err)
	return id
}

func TestAPositionSurvivesItsText(t *testing.T) {
	now := time.Now()
	p := position{mark: keyAt(now.Add(-positionAge))}
	var ids []uuid.UUID
	for i := range 2 * maxPosition { // in any order of their times
		ids = append(ids, idAt(t, now.Add(-time.Duration(i*7919%(2*maxPosition))*positionAge/(2*maxPosition+1))))
	}
	for i, id := range ids {
		p.add(id, i%3 == 0)
		read, ok := parsePosition(p.String())
		require.True(t, ok)
		require.Equal(t, p.mark, read.mark)
		require.True(t, slices.Equal(p.has, read.has))
		require.Less(t, len(p.String()), 4100)
	}
	require.Len(t, p.has, maxPosition)
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return int(int64(tweetKey(a)) - int64(tweetKey(b))) })
	for i, id := range ids {
		require.False(t, p.lacks(id))
		require.Equal(t, i >= maxPosition, p.shows(id) || p.knowsDeletion(id), "the newest are named")
	}
}

func TestAPositionNamesWhatTheReaderHas(t *testing.T) {
	now := time.Now()
	p := position{mark: keyAt(now.Add(-time.Hour))}
	early, late, below := idAt(t, now.Add(-time.Minute)), idAt(t, now), idAt(t, now.Add(-2*time.Hour))
	p.add(late, false)
	require.True(t, p.lacks(early), "though a later one was sent")
	require.False(t, p.lacks(late))
	require.False(t, p.lacks(below))
	p.add(below, false)
	require.False(t, p.shows(below))
	p.add(early, true)
	require.False(t, p.lacks(early), "a deleted tweet does not come back")
	require.False(t, p.shows(early))
	require.True(t, p.knowsDeletion(early))
	require.True(t, p.shows(late))
	p.add(late, true)
	require.True(t, p.knowsDeletion(late))
	p.raise(tweetKey(early))
	require.Len(t, p.has, 1)
	require.False(t, p.lacks(early))
}

func TestIDsOfOneMillisecondAreToldApart(t *testing.T) {
	at := twtr.TimeOf(idAt(t, time.Now()))
	p := position{}
	for range 20 {
		id := twtr.FirstTweetID(at)
		random := uuid.New()
		copy(id[9:], random[9:])
		if p.lacks(id) { // but once in 32,768 times
			p.add(id, false)
		}
	}
	require.Greater(t, len(p.has), 17)
	read, ok := parsePosition(p.String())
	require.True(t, ok)
	require.Equal(t, p, read)
}

func FuzzOnlyAPositionIsRead(f *testing.F) {
	p := position{mark: keyAt(time.UnixMilli(1_700_000_000_000))}
	f.Add(p.String())
	p.has = []uint64{p.mark + 2, p.mark + 5, p.mark + 1<<30}
	f.Add(p.String())
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		p, ok := parsePosition(text)
		if !ok {
			return
		}
		again, ok := parsePosition(p.String())
		require.True(t, ok)
		require.Equal(t, p.mark, again.mark)
		require.True(t, slices.Equal(p.has, again.has))
		require.True(t, slices.IsSorted(p.has))
		require.LessOrEqual(t, len(p.has), maxPosition)
	})
}
