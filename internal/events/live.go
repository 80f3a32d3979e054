package events

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/twtr-dev/twtr"
)

// Live receives events as they are published, by plain subscriptions, which cost NATS little. What is published while it is not
// connected it misses, and says so.
type Live struct {
	conn      *Conn
	connected atomic.Bool
	messages  chan *nats.Msg
	missed    chan struct{}

	mu      sync.Mutex
	changes []change      // to be made, in this order
	changed chan struct{} // tells that there are some
}

// change begins or ends the subscription of a subject or, if done is not nil, tells that the changes before it are made.
type change struct {
	subject   string
	subscribe bool
	done      chan<- struct{}
}

// liveBuffer is how many messages may wait for the receiver, which never waits itself.
const liveBuffer = 16 << 10

// NewLive makes a receiver, of which a connection has one.
func NewLive(c *Conn) *Live {
	l := &Live{conn: c, messages: make(chan *nats.Msg, liveBuffer), missed: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
	report := c.ErrorHandler()
	c.SetErrorHandler(func(nc *nats.Conn, s *nats.Subscription, err error) {
		report(nc, s, err)
		if errors.Is(err, nats.ErrSlowConsumer) {
			l.miss()
		}
	})
	return l
}

// miss notes that events may have been missed.
func (l *Live) miss() {
	select {
	case l.missed <- struct{}{}:
	default: // noted already
	}
}

// Subscribe receives what is published to the subject after the next [Live.Sync]. A subject has one subscription. Subscribe and
// [Live.Unsubscribe] never wait: the client's own methods wait while it connects, for seconds if NATS does not answer.
func (l *Live) Subscribe(subject string) { l.change(change{subject: subject, subscribe: true}) }

// Unsubscribe ends the subscription.
func (l *Live) Unsubscribe(subject string) { l.change(change{subject: subject}) }

func (l *Live) change(c change) {
	l.mu.Lock()
	l.changes = append(l.changes, c)
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default: // told already
	}
}

// keepSubscriptions makes the changes until ctx ends.
func (l *Live) keepSubscriptions(ctx context.Context) {
	subscriptions := map[string]*nats.Subscription{}
	for {
		select {
		case <-l.changed:
		case <-ctx.Done():
			return
		}
		l.mu.Lock()
		changes := l.changes
		l.changes = nil
		l.mu.Unlock()
		for _, c := range changes {
			switch {
			case c.done != nil:
				close(c.done)
			case c.subscribe:
				// It fails only if the connection is closed.
				subscriptions[c.subject], _ = l.conn.ChanSubscribe(c.subject, l.messages)
			default:
				_ = subscriptions[c.subject].Unsubscribe()
				delete(subscriptions, c.subject)
			}
		}
	}
}

// syncTimeout bounds the wait for the server's answer.
const syncTimeout = 2 * time.Second

// Sync returns when the server knows all subscriptions, or with an error if it does not answer soon.
func (l *Live) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	done := make(chan struct{})
	l.change(change{done: done})
	select {
	case <-done:
		return l.conn.FlushWithContext(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Connected reports whether events arrive.
func (l *Live) Connected() bool { return l.connected.Load() }

// Run calls receive for each event, one after the other, until ctx ends. It calls missed when the connection breaks, and whenever events
// may have been missed before. Neither may wait for anything.
func (l *Live) Run(ctx context.Context, receive func(twtr.Event), missed func()) {
	changed := l.conn.StatusChanged(nats.CONNECTED, nats.RECONNECTING)
	l.connected.Store(l.conn.IsConnected())
	var keeping sync.WaitGroup
	keeping.Go(func() { l.keepSubscriptions(ctx) })
	defer keeping.Wait()
	for {
		select {
		case m := <-l.messages:
			if e, err := Parse(m.Data); err == nil { // else it is another publisher's
				receive(e)
			}
		case status := <-changed:
			l.connected.Store(status == nats.CONNECTED)
			go func() {
				if status == nats.CONNECTED { // the client has sent all subscriptions again
					_ = l.Sync(ctx) // if this fails, the connection does, too
				}
				l.miss()
			}()
		case <-l.missed:
			missed()
		case <-ctx.Done():
			return
		}
	}
}
