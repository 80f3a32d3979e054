// Package subscriber is the example of docs/events.md.
package subscriber

import (
	"context"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Run calls handle with each event of the subject since a time, at least once, until ctx ends. NATS stores under the name which events
// were handled. A process that starts again continues from there. Several processes with one name share the events.
func Run(ctx context.Context, url, name, subject string, since time.Time, handle func(cloudevents.Event) error) error {
	conn, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	consumer, err := stream.CreateOrUpdateConsumer(ctx, "twtr", jetstream.ConsumerConfig{
		Durable: name, FilterSubject: subject, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	})
	if err != nil {
		return err
	}
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		event := cloudevents.NewEvent()
		err := event.UnmarshalJSON(m.Data())
		if err == nil {
			err = handle(event)
		}
		if err != nil {
			_ = m.NakWithDelay(time.Second) // it comes again
			return
		}
		_ = m.Ack() // if this is lost, it comes again, too
	})
	if err != nil {
		return err
	}
	defer consuming.Stop()
	<-ctx.Done()
	return nil
}
