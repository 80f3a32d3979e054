package events

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"

	"github.com/twtr-dev/twtr"
)

// Options say how to connect. The zero value is a connection without a login.
type Options struct {
	Name               string // of the client, which NATS's monitoring shows
	Credentials        string // file with a JWT and a key (.creds); "": none
	Username, Password string
	CAFile             string // "": the system's certificate authorities
	CertFile, KeyFile  string // of the client; "": none
	Logger             *slog.Logger
	Meter              metric.MeterProvider // nil: no metrics
}

const (
	dialTimeout = 2 * time.Second
	// Between two attempts to connect to one server.
	reconnectWait   = 500 * time.Millisecond
	reconnectJitter = 250 * time.Millisecond
	// A server that answers no ping for pingInterval × maxPings is unavailable: what is published then fails at once.
	pingInterval = 2 * time.Second
	maxPings     = 2
)

// Conn is a connection to NATS that connects, and reconnects, for as long as it is open. Its subscriptions live as long; while it is
// not connected they receive nothing.
type Conn struct {
	*nats.Conn
	stream  jetstream.JetStream
	metrics *metrics
}

// Connect returns at once, and connects in the background. It fails only if the options are invalid, such as a file that cannot be
// read. The URLs are separated by commas. The caller must close the connection.
func Connect(url string, o Options) (*Conn, error) {
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	metrics, err := newMetrics(o.Meter)
	if err != nil {
		return nil, err
	}
	var failing atomic.Bool // and logged
	options := []nats.Option{
		nats.Name(o.Name),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.Timeout(dialTimeout), nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(maxPings),
		nats.ReconnectBufSize(-1), // nothing is kept while NATS is unavailable: the caller must know
		// These two make Connect return before the first attempt.
		nats.SkipHostLookup(), nats.SetCustomDialer(&dialer{}),
		nats.IgnoreAuthErrorAbort(), // a login that is refused may be accepted later
		nats.ConnectHandler(func(*nats.Conn) { failing.Store(false); log.Info("connected to NATS") }),
		nats.ReconnectHandler(func(*nats.Conn) { failing.Store(false); log.Info("connected to NATS again") }),
		nats.DisconnectErrHandler(func(c *nats.Conn, err error) {
			if !c.IsClosed() && !failing.Swap(true) {
				log.Warn("NATS is unavailable; events are delayed", "error", errorText(err))
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if !errors.Is(err, errNotYet) && !failing.Swap(true) {
				log.Warn("NATS is unavailable; events are delayed", "error", errorText(err))
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("NATS reports an error", "error", errorText(err))
		}),
	}
	if o.Credentials != "" {
		options = append(options, nats.UserCredentials(o.Credentials))
	}
	if o.Username != "" {
		options = append(options, nats.UserInfo(o.Username, o.Password))
	}
	if o.CAFile != "" {
		options = append(options, nats.RootCAs(o.CAFile))
	}
	if o.CertFile != "" {
		options = append(options, nats.ClientCert(o.CertFile, o.KeyFile))
	}
	c, err := nats.Connect(url, options...)
	if err != nil {
		return nil, err
	}
	stream, err := jetstream.New(c)
	if err != nil {
		c.Close()
		return nil, err
	}
	return &Conn{Conn: c, stream: stream, metrics: metrics}, nil
}

// Close closes the connection; a nil one is closed already.
func (c *Conn) Close() {
	if c != nil {
		c.Conn.Close()
	}
}

// JetStream returns access to the stream, for consumers.
func (c *Conn) JetStream() jetstream.JetStream { return c.stream }

func errorText(err error) string {
	if err == nil {
		return "the connection is closed"
	}
	return err.Error()
}

// dialer fails the first time, so that the first connection, too, is made in the background.
type dialer struct{ called atomic.Bool }

var errNotYet = errors.New("connecting in the background")

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	if !d.called.Swap(true) {
		return nil, errNotYet
	}
	return (&net.Dialer{Timeout: dialTimeout}).Dial(network, address)
}

var errUnavailable = twtr.Errorf(twtr.Unavailable, "NATS is not connected")

// Publish returns once the stream has the event, or had it: an event that is published again within the stream's window for
// duplicates is not stored again. While NATS is not connected it fails at once.
func (c *Conn) Publish(ctx context.Context, e twtr.Event) (err error) {
	defer c.metrics.published(ctx, e.Type, time.Now(), &err)
	if !c.IsConnected() {
		return errUnavailable
	}
	message, err := Message(e)
	if err != nil {
		return err
	}
	_, err = c.stream.PublishMsg(ctx, message, jetstream.WithExpectStream(Stream), jetstream.WithRetryAttempts(0))
	return err
}
