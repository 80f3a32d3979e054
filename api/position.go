package api

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// position is what the reader of a stream has of their feed. It is the id of each event: a stream that continues from it sends what the
// feed has and the position has not. "All after the last tweet" would not be enough, because tweets come into a feed in another order
// than that of their ids: the clocks of API processes differ, and a delivery may be late by minutes.
//
// It names the newest tweets that the reader has, those above a mark, by keys that keep the order of ids. Tweets up to the mark are never
// sent, whether the reader has them or not. The mark is positionAge old or, if the reader has more than maxPosition tweets that are newer,
// the newest one that the position does not name.
type position struct {
	mark uint64
	has  []uint64 // in ascending order, above mark; keyDeleted is set of those whose deletion the reader knows
}

const (
	// positionAge is how late a tweet may come into a feed and still be sent.
	positionAge = 24 * time.Hour
	// maxPosition bounds the tweets that a position names. Its text has at most some 4,100 characters then, which all proxies allow in a
	// header: nginx has the least room, 8 KiB.
	maxPosition = 600
	// keyDeleted is a bit that no key has.
	keyDeleted = 1
)

// tweetKey is the time in the id, in milliseconds, and the last 15 of its random bits. Two ids of one millisecond have the same key once
// in 32,768 times.
func tweetKey(id uuid.UUID) uint64 {
	return binary.BigEndian.Uint64([]byte{id[0], id[1], id[2], id[3], id[4], id[5], id[14], id[15]}) &^ keyDeleted
}

func keyAt(at time.Time) uint64 { return tweetKey(twtr.FirstTweetID(at)) }

func keyTime(key uint64) time.Time { return time.UnixMilli(int64(key >> 16)) }

// window has all tweets above the mark.
func (p *position) window() twtr.Window {
	return twtr.Window{After: twtr.FirstTweetID(keyTime(p.mark))}
}

func (p *position) find(key uint64) (i int, found bool) {
	return slices.BinarySearchFunc(p.has, key, func(one, key uint64) int {
		switch one &^= keyDeleted; {
		case one < key:
			return -1
		case one > key:
			return 1
		}
		return 0
	})
}

// lacks reports whether the tweet is to be sent.
func (p *position) lacks(id uuid.UUID) bool {
	key := tweetKey(id)
	_, found := p.find(key)
	return !found && key > p.mark
}

// shows reports whether the position names the tweet, and no deletion of it.
func (p *position) shows(id uuid.UUID) bool {
	i, found := p.find(tweetKey(id))
	return found && p.has[i]&keyDeleted == 0
}

// knowsDeletion reports whether the reader was told that the tweet is deleted.
func (p *position) knowsDeletion(id uuid.UUID) bool {
	i, found := p.find(tweetKey(id))
	return found && p.has[i]&keyDeleted != 0
}

// newest is the key of the newest tweet that the reader has, or the mark if that is newer.
func (p *position) newest() uint64 {
	if n := len(p.has); n > 0 {
		return p.has[n-1] &^ keyDeleted
	}
	return p.mark
}

// add notes that the reader has the tweet, or was told of its deletion.
func (p *position) add(id uuid.UUID, deleted bool) {
	key := tweetKey(id)
	if key <= p.mark {
		return
	}
	i, found := p.find(key)
	if !found {
		p.has = slices.Insert(p.has, i, key)
	}
	if deleted {
		p.has[i] |= keyDeleted
	}
	if n := len(p.has) - maxPosition; n > 0 {
		p.raise(p.has[n-1] &^ keyDeleted)
	}
}

// raise moves the mark up.
func (p *position) raise(mark uint64) {
	if mark <= p.mark {
		return
	}
	p.mark = mark
	i, found := p.find(mark)
	if found {
		i++
	}
	p.has = slices.Delete(p.has, 0, i)
}

const positionVersion = 1

// String is the position as clients keep it: the mark, and of each tweet the milliseconds since the one before and its random bits.
func (p *position) String() string {
	b := make([]byte, 1, 16+5*len(p.has))
	b[0] = positionVersion
	b = binary.BigEndian.AppendUint64(b, p.mark)
	last := p.mark >> 16
	for _, key := range p.has {
		b = binary.AppendUvarint(b, key>>16-last)
		b = binary.BigEndian.AppendUint16(b, uint16(key))
		last = key >> 16
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// parsePosition reads what String returns.
func parsePosition(text string) (p position, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 9 || b[0] != positionVersion {
		return position{}, false
	}
	p.mark, b = binary.BigEndian.Uint64(b[1:]), b[9:]
	last := p.mark
	for len(b) > 0 {
		ms, n := binary.Uvarint(b)
		if n <= 0 || len(b) < n+2 || len(p.has) == maxPosition {
			return position{}, false
		}
		at := last>>16 + ms
		key := at<<16 | uint64(binary.BigEndian.Uint16(b[n:]))
		if ms >= 1<<48 || at >= 1<<48 || key&^keyDeleted <= last&^keyDeleted {
			return position{}, false
		}
		p.has, last, b = append(p.has, key), key, b[n+2:]
	}
	return p, p.mark&keyDeleted == 0
}
