package api

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// streamPath is the route of the live feed.
const streamPath = "/feeds/me/stream"

const (
	// streamQueue is how many events may wait for a reader; one that is slower is dropped, and may continue.
	streamQueue = 128
	// streamWriteTimeout bounds one write. It is shorter than the time that a process has to stop.
	streamWriteTimeout = 5 * time.Second
	// checkTimeout bounds one check of the store.
	checkTimeout = 5 * time.Second
	// checkGrowth is by how much the time between two checks grows, from StreamConfig.FirstCheck up to Check.
	checkGrowth = 5
	// disconnectedCheck is the longest time between two checks while NATS is unavailable.
	disconnectedCheck = 15 * time.Second
	// missedSpread times the number of streams is the time over which all check the store when events may have been missed.
	missedSpread = 500 * time.Microsecond
	// maxMissed is how many rows a feed may have above the mark in addition to those that a position can name. With more the stream sends a
	// reset instead.
	maxMissed = 1000
	// maxRows is how many rows of a feed a check reads.
	maxRows = maxPosition + maxMissed
	// maxPerCheck is how many tweets one check of the store reads.
	maxPerCheck = 100
	// followingsPage is how many names are read at a time.
	followingsPage = 1000
)

// endReason says why a stream has ended.
type endReason string

const (
	endClient  endReason = "client"  // the client is gone
	endExpired endReason = "expired" // the access token
	endRevoked endReason = "revoked" // the session has ended
	endSlow    endReason = "slow"    // the reader was too slow
	endStopped endReason = "stopped" // the process stops
)

var endReasons = []endReason{endClient, endExpired, endRevoked, endSlow, endStopped}

// noticeKind is what a notice says.
type noticeKind int

const (
	noticeTweet    noticeKind = iota + 1
	noticeDeletion            // of a tweet
	noticeFollow              // the reader has followed or unfollowed a user
	noticeMissed              // events may have been missed
)

// notice is what a stream is told. All streams share it.
type notice struct {
	kind   noticeKind
	id     uuid.UUID // of the tweet
	author string    // of the tweet; in noticeFollow the followed user
	body   json.RawMessage
	spread time.Duration // in noticeMissed: over which streams check the store
}

// noticeOf returns what streams are told of an event; nil: nothing.
func noticeOf(e twtr.Event) *notice {
	data, err := e.Decode()
	if err != nil {
		return nil
	}
	switch d := data.(type) {
	case twtr.Posted:
		return &notice{kind: noticeTweet, id: d.ID, author: d.Username, body: e.Data}
	case twtr.Deleted:
		return &notice{kind: noticeDeletion, id: d.ID, author: d.Username}
	case twtr.FollowChange:
		return &notice{kind: noticeFollow, author: d.Followee}
	}
	return nil
}

func (n *notice) domain() string {
	if n.kind == noticeFollow {
		return followersDomain
	}
	return tweetsDomain
}

// stream is one live feed: what changes in the reader's feed while it is open or, if it continues another one, since then.
//
// A tweet that comes into the feed within positionAge of its time is sent once, and so is the deletion of a tweet that the position names.
// Events make the stream fast, and nothing depends on them: they may be lost, late, or come twice. The stream checks the store when it
// continues another one, soon after it has begun, whenever events may have been missed, and now and then; it sends what the feed has and
// its position has not.
//
// It subscribes, and only then reads whom the reader follows, and then the feed. So what is published while it reads waits in the queue, and
// is sent unless it was found in the store.
type stream struct {
	*live
	who     identity
	request string // its ID, for the log
	opened  time.Time
	expires time.Time
	queue   chan *notice
	self    *topic
	authors []*topic // whom the reader follows, by name
	position
	reset bool // the stream cannot continue from the client's position

	check   *time.Timer   // until the next check of the store
	checkAt time.Time     // when it ends
	due     bool          // the check of the store waits for a slot
	wait    time.Duration // from the next check to the one after it

	endOnce sync.Once
	context context.Context // ends with the stream
	cancel  context.CancelFunc
	reason  endReason
}

// push tells the stream something. It never waits.
func (s *stream) push(n *notice) {
	select {
	case s.queue <- n:
	default:
		s.end(endSlow)
	}
}

// end ends the stream; the first reason counts.
func (s *stream) end(reason endReason) {
	s.endOnce.Do(func() {
		s.reason = reason
		s.cancel()
	})
}

// openStream returns a stream, which the response serves.
func (a *API) openStream(c *gin.Context) (any, error) {
	if a.live.Events == nil {
		return nil, twtr.Errorf(twtr.NotFound, "there are no live feeds here: read GET /feeds/me again and again")
	}
	if c.Request.Method == http.MethodHead {
		return (*stream)(nil), nil
	}
	token, _ := bearerToken(c)
	expires, err := a.tokens.refusedFrom(token)
	if err != nil {
		return nil, err
	}
	s := &stream{
		live: a.live, who: caller(c), request: c.GetString(requestIDKey), opened: a.now(), expires: expires,
		queue: make(chan *notice, streamQueue), wait: a.live.FirstCheck,
	}
	s.context, s.cancel = context.WithCancel(context.Background())
	if err := a.live.admit(s); err != nil {
		return nil, err
	}
	begun := false
	defer func() { // also after a panic
		if !begun {
			a.live.remove(s)
		}
	}()
	if err := s.begin(c.Request.Context(), c.GetHeader("Last-Event-ID")); err != nil {
		return nil, err
	}
	begun = true
	return s, nil
}

// begin subscribes, and finds what the reader has. After a restart all clients come at once: it waits for a slot.
func (s *stream) begin(ctx context.Context, lastEventID string) error {
	select {
	case s.checks <- struct{}{}:
		defer func() { <-s.checks }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.Events.Connected() {
		_ = s.Events.Sync(ctx) // if it fails the connection is broken, and the stream hears of the next one
	}
	if err := s.readFollowings(ctx); err != nil {
		return err
	}
	if lastEventID != "" {
		var ok bool
		if s.position, ok = parsePosition(lastEventID); ok {
			s.due = true
			return nil
		}
		s.reset = true
	}
	return s.startOver(ctx)
}

// startOver treats all that is in the feed as known to the reader.
func (s *stream) startOver(ctx context.Context) error {
	p := position{mark: keyAt(s.now().Add(-positionAge))}
	rows, err := s.store.FeedRows(ctx, s.who.username, p.window(), maxPosition+1)
	if err != nil {
		return err
	}
	for _, row := range slices.Backward(rows) {
		p.add(row.ID, row.Retracted) // raises the mark if there are more rows
	}
	s.position = p
	return nil
}

// readFollowings subscribes to the tweets of all whom the reader follows, and of no others, and returns when NATS knows it.
func (s *stream) readFollowings(ctx context.Context) error {
	var names []string
	for after := ""; ; after = names[len(names)-1] {
		page, err := s.store.Followings(ctx, s.who.username, after, followingsPage)
		if err != nil {
			return err
		}
		names = append(names, page...)
		if len(page) < followingsPage {
			break
		}
	}
	if s.setAuthors(names) && s.Events.Connected() {
		_ = s.Events.Sync(ctx)
	}
	return nil
}

// setAuthors subscribes to the tweets of these users, whose names are in order, and reports whether some are new.
func (s *stream) setAuthors(names []string) (joined bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.authors
	s.authors = make([]*topic, 0, len(names))
	for _, name := range names {
		for len(old) > 0 && old[0].username < name {
			s.part(s, old[0])
			old = old[1:]
		}
		if len(old) > 0 && old[0].username == name {
			s.authors, old = append(s.authors, old[0]), old[1:]
			continue
		}
		s.authors, joined = append(s.authors, s.join(s, tweetsDomain, name)), true
	}
	for _, t := range old {
		s.part(s, t)
	}
	return joined
}

func (s *stream) findAuthor(name string) (int, bool) {
	return slices.BinarySearchFunc(s.authors, name, func(t *topic, name string) int { return strings.Compare(t.username, name) })
}

func (s *stream) follows(name string) bool {
	_, found := s.findAuthor(name)
	return found
}

// setFollows makes one user's tweets part of the stream, or no longer.
func (s *stream) setFollows(name string, follows bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := s.findAuthor(name)
	switch {
	case follows && !found:
		s.authors = slices.Insert(s.authors, i, s.join(s, tweetsDomain, name))
	case !follows && found:
		s.part(s, s.authors[i])
		s.authors = slices.Delete(s.authors, i, i+1)
	}
}

// serve sends the stream until it ends.
func (s *stream) serve(connection net.Conn, head string) {
	s.check = time.NewTimer(0)
	defer s.check.Stop()
	s.setCheck(jitter(s.wait))
	comments := time.NewTicker(s.Comment)
	defer comments.Stop()
	out := &frames{connection: connection}
	out.begin(head, &s.position)
	if s.reset {
		out.reset(&s.position)
	}
	for {
		if len(s.queue) == 0 || out.full() {
			s.flush(out)
		}
		var slot chan<- struct{}
		if s.due {
			slot = s.checks
		}
		select {
		case <-s.context.Done():
			return
		default: // an end comes before all else
		}
		select {
		case <-s.context.Done():
		case n := <-s.queue:
			s.handle(n, out)
		case slot <- struct{}{}:
			s.checkStore(out)
		case <-s.check.C:
			s.due = true
		case <-comments.C:
			out.comment()
		}
	}
}

// flush ends the stream if the reader does not take what is written.
func (s *stream) flush(out *frames) {
	switch err := out.flush(); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.end(endSlow)
	case err != nil:
		s.end(endClient)
	}
}

// handle sends what the stream was told, if the reader has it not.
func (s *stream) handle(n *notice, out *frames) {
	switch n.kind {
	case noticeTweet, noticeDeletion:
		if s.follows(n.author) && s.send(n, out) {
			s.metrics.sent.Add(s.context, 1, s.metrics.fromEvents)
		}
	case noticeFollow:
		// Events of a pair may come late or twice: the store has what holds.
		ctx, cancel := context.WithTimeout(s.context, checkTimeout)
		defer cancel()
		_, err := s.store.Follow(ctx, s.who.username, n.author)
		switch twtr.ErrorCode(err) {
		case "", twtr.NotFound:
			s.setFollows(n.author, err == nil)
		} // else the next check of the store does it
		s.checkAfter(s.FirstCheck)
	case noticeMissed:
		s.checkAfter(randomUpTo(n.spread))
	}
}

// send sends a tweet or a deletion, unless the reader has it.
func (s *stream) send(n *notice, out *frames) bool {
	if n.kind == noticeTweet {
		if !s.lacks(n.id) {
			return false
		}
		s.add(n.id, false)
		out.event("tweet", &s.position, n.body)
		return true
	}
	if s.knowsDeletion(n.id) {
		return false
	}
	s.add(n.id, true) // a tweet that the stream has not sent may be in a page that the reader has
	out.event("delete", &s.position, []byte(`{"id":"`+n.id.String()+`"}`))
	return true
}

// checkAfter lets the stream check the store after that time, if not before, and more often for a while.
func (s *stream) checkAfter(d time.Duration) {
	s.wait = s.FirstCheck
	if at := time.Now().Add(d); at.Before(s.checkAt) {
		s.setCheck(d)
	}
}

func (s *stream) setCheck(d time.Duration) {
	s.checkAt = time.Now().Add(d)
	s.check.Reset(d)
}

// checkStore sends what the feed has and the reader has not. The stream holds a slot, which find releases.
func (s *stream) checkStore(out *frames) {
	begin := s.now()
	found, more, err := s.find()
	if s.context.Err() != nil {
		return
	}
	outcome := s.metrics.ok
	if err != nil {
		outcome = s.metrics.notOK
	}
	s.metrics.checks.Add(s.context, 1, outcome)
	if errors.Is(err, errTooManyMissed) {
		out.reset(&s.position)
		err = nil
	}
	for _, n := range found {
		if s.send(n, out) {
			s.metrics.sent.Add(s.context, 1, s.metrics.fromStore)
		}
		if out.full() {
			s.flush(out)
		}
	}
	if s.due = more && err == nil; s.due {
		return
	}
	next := s.FirstCheck
	if err == nil {
		s.raise(keyAt(begin.Add(-positionAge))) // nothing is left that the mark could pass
		next = s.wait
	}
	s.wait = min(checkGrowth*next, s.Check)
	if !s.Events.Connected() {
		next = min(next, disconnectedCheck)
	}
	s.setCheck(jitter(min(next, s.Check)))
}

// errTooManyMissed means that the stream has begun anew.
var errTooManyMissed = errors.New("more tweets were missed than are sent one by one")

// find returns what the feed has and the reader has not, in the order of the ids, and whether there is more. It releases the slot that the
// stream holds.
func (s *stream) find() (found []*notice, more bool, err error) {
	defer func() { <-s.checks }()
	ctx, cancel := context.WithTimeout(s.context, checkTimeout)
	defer cancel()
	if err := s.readFollowings(ctx); err != nil {
		return nil, false, err
	}
	rows, err := s.store.FeedRows(ctx, s.who.username, s.window(), maxRows)
	if err != nil {
		return nil, false, err
	}
	missed, err := s.missedTooMany(ctx, rows)
	if err == nil && missed {
		if err = s.startOver(ctx); err == nil {
			err = errTooManyMissed
		}
	}
	if err != nil {
		return nil, false, err
	}
	for _, row := range slices.Backward(rows) {
		switch {
		case row.Retracted && s.shows(row.ID):
			found = append(found, &notice{kind: noticeDeletion, id: row.ID})
		case row.Retracted || !s.lacks(row.ID) || !s.follows(row.Author):
		case len(found) >= maxPerCheck:
			return found, true, nil
		default:
			tweet, err := s.store.Tweet(ctx, row.ID)
			if twtr.ErrorCode(err) == twtr.NotFound { // it is deleted, and the feed will say so
				continue
			}
			if err != nil {
				return found, false, err
			}
			found = append(found, &notice{kind: noticeTweet, id: tweet.ID, body: tweet.Body})
		}
	}
	return found, false, nil
}

// missedTooMany reports whether the feed has had tweets that the reader has not and that are not among the rows: there were more, or a trim
// has removed them.
func (s *stream) missedTooMany(ctx context.Context, rows []twtr.FeedRow) (bool, error) {
	if len(rows) == maxRows {
		return true, nil
	}
	if len(rows) == 0 || tweetKey(rows[0].ID) <= s.newest() {
		return false, nil // a trim keeps the newest row
	}
	floor, err := s.store.FeedFloor(ctx, s.who.username, maxRows)
	return tweetKey(floor) > s.newest(), err
}

// jitter is about that time, so that streams that began together do not stay together.
func jitter(d time.Duration) time.Duration { return d*4/5 + randomUpTo(d*2/5) }

func randomUpTo(d time.Duration) time.Duration { return rand.N(d + 1) } //nolint:gosec // it spreads load, and is no secret
