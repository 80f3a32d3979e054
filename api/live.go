package api

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/events"
)

// StreamConfig configures the live feeds. The zero value has none.
type StreamConfig struct {
	Events *events.Live // nil: there are no live feeds
	// PerUser and PerProcess bound the streams that are open at a time.
	PerUser, PerProcess int
	// Comment is the time between two comments; 0 is 15 seconds.
	Comment time.Duration
	// FirstCheck is when a stream checks the store again after it has begun, after the reader has followed a user, and after events
	// may have been missed: a delivery may be under way. Further checks come later and later, up to Check apart. 0 is 2 seconds and 5
	// minutes.
	FirstCheck, Check time.Duration
}

const (
	defaultComment    = 15 * time.Second
	defaultFirstCheck = 2 * time.Second
	defaultCheck      = 5 * time.Minute
	// concurrentChecks bounds how many streams check the store at a time.
	concurrentChecks = 16
	// sweepEvery is how soon a stream ends whose token has expired or whose session has ended.
	sweepEvery = time.Second
)

// live is what the streams of this process share: the subscriptions, one for each author, whose followers may be many, and the limits.
type live struct {
	StreamConfig
	store   twtr.Store
	revoked *revocations
	now     func() time.Time
	checks  chan struct{} // holds one for each stream that checks the store
	metrics *streamMetrics
	log     *slog.Logger

	serving sync.WaitGroup // counts the streams

	mu      sync.Mutex
	stopped bool
	streams map[*stream]struct{}
	topics  map[topicKey]*topic
}

// topicKey names events of a domain that one user caused.
type topicKey struct{ domain, username string }

func (k topicKey) subject() string { return events.DomainSubject(k.domain, k.username) }

// The domains whose events streams receive.
const (
	tweetsDomain    = "tweets"
	followersDomain = "followers"
)

// topic is a subscription, and the streams that it is for.
type topic struct {
	topicKey
	streams map[*stream]struct{}
}

func newLive(c StreamConfig, store twtr.Store, revoked *revocations, now func() time.Time, log *slog.Logger, provider metric.MeterProvider) (*live, error) {
	c.Comment, c.FirstCheck, c.Check = cmp.Or(c.Comment, defaultComment), cmp.Or(c.FirstCheck, defaultFirstCheck), cmp.Or(c.Check, defaultCheck)
	metrics, err := newStreamMetrics(provider)
	return &live{StreamConfig: c, store: store, revoked: revoked, now: now, log: log, metrics: metrics, checks: make(chan struct{}, concurrentChecks),
		streams: map[*stream]struct{}{}, topics: map[topicKey]*topic{}}, err
}

// run serves the streams until ctx ends, and then ends them all at once.
func (l *live) run(ctx context.Context) {
	var sweeping sync.WaitGroup
	sweeping.Go(func() { l.sweep(ctx) })
	if l.Events != nil {
		l.Events.Run(ctx, l.receive, l.missed)
	}
	sweeping.Wait()
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.all(func(s *stream) { s.end(endStopped) })
	l.serving.Wait()
}

// start serves an admitted stream on the connection. The response begins with head.
func (l *live) start(s *stream, connection net.Conn, head string) {
	go func() { // clients send nothing more, so this returns when the connection ends
		_, _ = connection.Read(make([]byte, 1))
		s.end(endClient)
	}()
	go func() {
		defer l.remove(s)
		defer connection.Close()
		defer l.over(s)
		s.serve(connection, head)
	}()
}

// over notes why the stream has ended. A panic ends this stream alone, as it does a request.
func (l *live) over(s *stream) {
	if p := recover(); p != nil {
		l.log.Error("panic", requestIDKey, s.request, "panic", p, "stack", string(debug.Stack()))
		s.end(endClient)
	}
	l.metrics.ended.Add(context.Background(), 1, l.metrics.endedReasons[s.reason])
	l.log.Info("stream ended", requestIDKey, s.request, "user", s.who.username, "reason", s.reason, "took_ms", l.now().Sub(s.opened).Milliseconds())
}

// sweep ends streams whose tokens would be refused. While it is not known whether a session has ended its streams stay: what they
// send is public.
func (l *live) sweep(ctx context.Context) {
	ticks := time.NewTicker(sweepEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		now := l.now()
		l.all(func(s *stream) {
			switch {
			case !now.Before(s.expires):
				s.end(endExpired)
			case twtr.ErrorCode(l.revoked.check(s.who.session)) == twtr.Unauthenticated:
				s.end(endRevoked)
			}
		})
	}
}

func (l *live) all(do func(*stream)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.streams {
		do(s)
	}
}

// errFull is not about a dependency, but another process may have room.
func errFull(why string) error {
	return &dependencyError{dependency: "streams", err: twtr.Errorf(twtr.Unavailable, "this process %s", why)}
}

// perUserRetry is when a user with too many streams may try again.
const perUserRetry = 10 * time.Second

// admit counts the stream, unless there are too many.
func (l *live) admit(s *stream) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped:
		return errFull("is about to end")
	case len(l.streams) >= l.PerProcess:
		return errFull("has too many streams")
	}
	if self := l.topics[topicKey{followersDomain, s.who.username}]; self != nil && len(self.streams) >= l.PerUser {
		return &twtr.Error{Code: twtr.TooManyRequests, Err: retryAfter(perUserRetry),
			Message: fmt.Sprintf("you have %d streams at this process: close one, or retry in %v", len(self.streams), perUserRetry)}
	}
	s.self = l.join(s, followersDomain, s.who.username)
	l.streams[s] = struct{}{}
	l.serving.Add(1)
	l.metrics.open.Add(context.Background(), 1)
	return nil
}

// remove forgets the stream.
func (l *live) remove(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.streams, s)
	l.serving.Done()
	l.metrics.open.Add(context.Background(), -1)
	l.part(s, s.self)
	for _, t := range s.authors {
		l.part(s, t)
	}
}

// join lets the stream receive a user's events in a domain. The caller has the lock.
func (l *live) join(s *stream, domain, username string) *topic {
	key := topicKey{domain, username}
	t := l.topics[key]
	if t == nil {
		l.Events.Subscribe(key.subject())
		t = &topic{key, make(map[*stream]struct{}, 1)}
		l.topics[key] = t
	}
	t.streams[s] = struct{}{}
	return t
}

// part is the opposite of join.
func (l *live) part(s *stream, t *topic) {
	delete(t.streams, s)
	if len(t.streams) == 0 {
		l.Events.Unsubscribe(t.subject())
		delete(l.topics, t.topicKey)
	}
}

// missed lets all streams check the store, though not all at once.
func (l *live) missed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := &notice{kind: noticeMissed, spread: missedSpread * time.Duration(len(l.streams))}
	for s := range l.streams {
		s.push(n)
	}
}

// receive passes an event on to the streams that it is for. A stream whose reader is too slow is ended.
func (l *live) receive(e twtr.Event) {
	n := noticeOf(e)
	if n == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.topics[topicKey{n.domain(), e.Key}]; t != nil {
		for s := range t.streams {
			s.push(n)
		}
	}
}
