package activities

import (
	"context"

	"github.com/twtr-dev/twtr"
)

// Publisher publishes events to other services.
type Publisher interface {
	// Publish returns once the event is durable. An event with the same id as one that was published a moment ago is published once.
	Publish(ctx context.Context, e twtr.Event) error
}

// Events are the activities of each domain that announce its changes.
type Events struct {
	Publisher Publisher // nil: the worker publishes nothing
}

// Announce publishes the events in their order. A retry begins with the first one again.
func (a *Events) Announce(ctx context.Context, all []twtr.Event) error {
	if a.Publisher == nil {
		return twtr.Errorf(twtr.Unavailable, "this worker has no events.url, unlike the API")
	}
	for _, e := range all {
		if err := a.Publisher.Publish(ctx, e); err != nil {
			return err
		}
	}
	return nil
}
