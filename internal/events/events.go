// Package events publishes domain events to NATS JetStream, as CloudEvents, and reads them.
//
// Live subscribers need no JetStream: what is published to the stream also reaches plain subscriptions of its subjects.
package events

import (
	"errors"
	"fmt"
	"strings"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/twtr-dev/twtr"
)

const (
	// Stream is the name of the stream that keeps all events.
	Stream = "twtr"
	// prefix begins all subjects, and the type of each CloudEvent.
	prefix = "twtr."
	// AllSubjects matches the subjects of all events.
	AllSubjects = prefix + ">"
	// Source is the source of all CloudEvents.
	Source = "/twtr"
	// contentType is that of a CloudEvent in the structured mode.
	contentType = "application/cloudevents+json"
)

// Subject is where events of that type are published that a user caused: twtr.<domain>.<event>.<username>. An asterisk as the
// username matches all users.
func Subject(kind twtr.EventType, username string) string {
	return prefix + string(kind) + "." + username
}

// DomainSubject matches the events of a domain, such as tweets or followers, that a user caused.
func DomainSubject(domain, username string) string { return prefix + domain + ".*." + username }

// Message returns the message that announces the event.
func Message(e twtr.Event) (*nats.Msg, error) {
	c := cloudevents.NewEvent()
	c.SetID(e.ID)
	c.SetSource(Source)
	c.SetType(prefix + string(e.Type))
	c.SetSubject(e.Key)
	c.SetTime(e.At)
	if err := c.SetData(cloudevents.ApplicationJSON, e.Data); err != nil {
		return nil, err
	}
	body, err := c.MarshalJSON()
	if err != nil {
		return nil, err
	}
	m := nats.NewMsg(Subject(e.Type, e.Key))
	m.Header.Set(jetstream.MsgIDHeader, e.ID)
	m.Header.Set("Content-Type", contentType)
	m.Data = body
	return m, nil
}

var errNoEvent = errors.New("the message is no event of twtr")

// Parse reads the data of a received message. It refuses what twtr does not publish.
func Parse(message []byte) (twtr.Event, error) {
	var c cloudevents.Event
	if err := c.UnmarshalJSON(message); err != nil {
		return twtr.Event{}, fmt.Errorf("%w: %w", errNoEvent, err)
	}
	kind, ok := strings.CutPrefix(c.Type(), prefix)
	if !ok || c.Source() != Source {
		return twtr.Event{}, fmt.Errorf("%w: type %q, source %q", errNoEvent, c.Type(), c.Source())
	}
	return twtr.Event{Type: twtr.EventType(kind), ID: c.ID(), Key: c.Subject(), At: c.Time(), Data: c.Data()}, nil
}
