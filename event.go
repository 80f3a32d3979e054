package twtr

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// EventType names what an event announces: its domain, a dot, and what happened there.
type EventType string

// The types of events.
const (
	EventCreated    EventType = "users.created"
	EventPosted     EventType = "tweets.posted"
	EventDeleted    EventType = "tweets.deleted"
	EventFollowed   EventType = "followers.followed"
	EventUnfollowed EventType = "followers.unfollowed"
	EventDelivered  EventType = "feeds.delivered"
)

// EventTypes lists all types.
var EventTypes = []EventType{EventCreated, EventPosted, EventDeleted, EventFollowed, EventUnfollowed, EventDelivered}

// Event announces a change that is durable to other services. It holds nothing that is not public, except for the receipt of a
// delivery, which the API shows to the author alone.
type Event struct {
	Type EventType `json:"type"`
	// ID is the same each time that the change is announced, and no other event's.
	ID string `json:"id"`
	// Key is the username of the user who acted: who signed up, the author, or the follower.
	Key string `json:"key"`
	// At is when it happened: UTC, whole milliseconds.
	At time.Time `json:"at"`
	// Data is a JSON document, whose form the type decides: see [Event.Decode].
	Data json.RawMessage `json:"data"`
}

// Created is the data of [EventCreated].
type Created struct {
	Username  string    `json:"username"`
	CreatedAt Timestamp `json:"createdAt"`
}

// Posted is the data of [EventPosted]: the tweet as the API serves it.
type Posted struct {
	ID       uuid.UUID `json:"id"`
	Username string    `json:"username"`
	Post
	CreatedAt Timestamp `json:"createdAt"`
}

// Deleted is the data of [EventDeleted].
type Deleted struct {
	ID       uuid.UUID `json:"id"`
	Username string    `json:"username"` // the author
}

// FollowChange is the data of [EventFollowed] and [EventUnfollowed].
type FollowChange struct {
	Follower string    `json:"follower"`
	Followee string    `json:"followee"`
	At       Timestamp `json:"at"`
}

// Delivered is the data of [EventDelivered]: the receipt of a delivery that is over.
type Delivered struct {
	TweetID  uuid.UUID `json:"tweetId"`
	Username string    `json:"username"` // the author
	// Deleted says that a deletion stopped the delivery.
	Deleted bool `json:"deleted"`
	// Delivered counts the feed items that were written, and Failed the feeds that the store refused to write.
	Delivered   int64     `json:"delivered"`
	Failed      int64     `json:"failed"`
	CompletedAt Timestamp `json:"completedAt"`
}

// CreatedEvent announces a user. The request is that of the sign-up.
func CreatedEvent(username string, createdAt time.Time, request uuid.UUID) Event {
	return newEvent(EventCreated, request.String(), username, createdAt, Created{username, Timestamp(createdAt)})
}

// PostedEvent announces a tweet.
func PostedEvent(t Tweet) Event {
	return newEvent(EventPosted, t.ID.String(), t.Username, t.CreatedAt(), t.Body)
}

// DeletedEvent announces that a tweet is deleted.
func DeletedEvent(id uuid.UUID, author string, at time.Time) Event {
	return newEvent(EventDeleted, id.String(), author, at, Deleted{id, author})
}

// FollowEvent announces the last change of an edge, by the request that made it.
func FollowEvent(edge Follow, follows bool, request string) Event {
	kind := EventUnfollowed
	if follows {
		kind = EventFollowed
	}
	return newEvent(kind, request, edge.Follower, edge.At, FollowChange{edge.Follower, edge.Followee, Timestamp(edge.At)})
}

// DeliveredEvent announces that a delivery is over; deleted says that a deletion stopped it.
func DeliveredEvent(r Receipt, deleted bool) Event {
	return newEvent(EventDelivered, r.TweetID.String(), r.Username, r.CompletedAt,
		Delivered{r.TweetID, r.Username, deleted, r.Delivered, r.Failed, Timestamp(r.CompletedAt)})
}

// newEvent is called by workflows: what JSON makes of these types is the same each time.
//
//workflowcheck:ignore
func newEvent(kind EventType, id, key string, at time.Time, data any) Event {
	body, _ := json.Marshal(data) // cannot fail: these are the structs above, and a document that was marshaled before
	return Event{Type: kind, ID: string(kind) + "/" + id, Key: key, At: at.UTC().Truncate(time.Millisecond), Data: body}
}

// Decode returns the data as the type says: a [Created], [Posted], [Deleted], [FollowChange] or [Delivered].
func (e Event) Decode() (any, error) {
	switch e.Type {
	case EventCreated:
		return decode[Created](e)
	case EventPosted:
		return decode[Posted](e)
	case EventDeleted:
		return decode[Deleted](e)
	case EventFollowed, EventUnfollowed:
		return decode[FollowChange](e)
	case EventDelivered:
		return decode[Delivered](e)
	}
	return nil, fmt.Errorf("event %s: no such type of events: %q", e.ID, e.Type)
}

func decode[T any](e Event) (data T, err error) {
	if err = json.Unmarshal(e.Data, &data); err != nil {
		err = fmt.Errorf("event %s: %w", e.ID, err)
	}
	return data, err
}
