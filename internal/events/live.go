package events

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/twtr-dev/twtr"
)

// Live receives events as they are published, by plain subscriptions, which cost NATS little. What is published while it is not
// connected it misses, and says so.
type Live struct {
	conn     *Conn
	messages chan *nats.Msg
	missed   chan struct{}
}

// liveBuffer is how many messages may wait for the receiver, which never waits itself.
const liveBuffer = 16 << 10

// Subscription is one subject's.
type Subscription interface {
	Unsubscribe() error
}

// NewLive makes a receiver, of which a connection has one.
func NewLive(c *Conn) *Live {
	l := &Live{conn: c, messages: make(chan *nats.Msg, liveBuffer), missed: make(chan struct{}, 1)}
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

// Subscribe receives what is published to the subject after the next [Live.Sync].
func (l *Live) Subscribe(subject string) (Subscription, error) {
	return l.conn.ChanSubscribe(subject, l.messages)
}

// syncTimeout bounds the wait for the server's answer.
const syncTimeout = 2 * time.Second

// Sync returns when the server knows all subscriptions, or with an error if it does not answer soon.
func (l *Live) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	return l.conn.FlushWithContext(ctx)
}

// Connected reports whether events arrive.
func (l *Live) Connected() bool { return l.conn.IsConnected() }

// Run calls receive for each event, one after the other, until ctx ends. It calls missed when the connection breaks, and whenever events
// may have been missed before. Neither may wait for anything.
func (l *Live) Run(ctx context.Context, receive func(twtr.Event), missed func()) {
	changed := l.conn.StatusChanged(nats.CONNECTED, nats.RECONNECTING)
	for {
		select {
		case m := <-l.messages:
			if e, err := Parse(m.Data); err == nil { // else it is another publisher's
				receive(e)
			}
		case status := <-changed:
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
