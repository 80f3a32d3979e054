package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/api"
	"github.com/twtr-dev/twtr/api/apitest"
	"github.com/twtr-dev/twtr/internal/events"
	"github.com/twtr-dev/twtr/workflows"
)

// published are the events of an environment. It implements [activities.Publisher].
type published struct {
	t        *testing.T
	mu       sync.Mutex
	before   func(twtr.Event) error // of each attempt; nil: none fails
	attempts int
	events   []twtr.Event // without those that were published before
}

func (p *published) Publish(_ context.Context, e twtr.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts++
	p.check(e)
	if p.before != nil {
		if err := p.before(e); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(p.events, func(other twtr.Event) bool { return other.ID == e.ID }) {
		p.events = append(p.events, e)
	}
	return nil
}

var asyncAPI = sync.OnceValues(func() (*apitest.Events, error) { return apitest.NewEvents(api.AsyncAPI) })

// check holds an event to the document.
func (p *published) check(e twtr.Event) {
	promised, err := asyncAPI()
	require.NoError(p.t, err)
	m, err := events.Message(e)
	require.NoError(p.t, err)
	require.NoError(p.t, promised.Check(m.Subject, m.Header, m.Data))
}

// away makes NATS unavailable until so long after the start.
func (e *env) away(d time.Duration) {
	e.published.before = func(twtr.Event) error {
		if e.Now().Before(start.Add(d)) {
			return twtr.Errorf(twtr.Unavailable, "NATS is not connected")
		}
		return nil
	}
}

func (p *published) types() (types []twtr.EventType) {
	for _, e := range p.events {
		types = append(types, e.Type)
	}
	return types
}

func (e *env) announced(tweet twtr.Tweet) {
	e.t.Helper()
	e.ExecuteWorkflow(workflows.PostTweet, workflows.PostTweetInput{Tweet: tweet, Announce: true})
	require.NoError(e.t, e.GetWorkflowError())
}

func TestATweetIsAnnouncedWhenItIsStoredAndItsDeliveryWhenThatIsOver(t *testing.T) {
	e := newEnv(t)
	require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start}))
	tweet := newTweet(t)
	e.store.before = unavailable("PutTweet", 8)
	e.published.before = func(event twtr.Event) error {
		_, err := e.store.Tweet(t.Context(), tweet.ID)
		require.NoError(t, err, "%s before the tweet is stored", event.Type)
		if event.Type == twtr.EventDelivered {
			receipt, err := e.store.Receipt(t.Context(), tweet.ID)
			require.NoError(t, err)
			require.Equal(t, twtr.DeliveryComplete, receipt.State)
		}
		return nil
	}
	e.announced(tweet)
	require.Equal(t, []twtr.EventType{twtr.EventPosted, twtr.EventDelivered}, e.published.types())
	posted := e.published.events[0]
	require.Equal(t, "tweets.posted/"+tweet.ID.String(), posted.ID)
	require.Equal(t, "ann", posted.Key)
	require.Equal(t, tweet.Body, posted.Data, "byte for byte")
	require.Equal(t, tweet.CreatedAt(), posted.At)
	receipt, err := e.store.Receipt(t.Context(), tweet.ID)
	require.NoError(t, err)
	data, err := e.published.events[1].Decode()
	require.NoError(t, err)
	require.Equal(t, twtr.Delivered{TweetID: tweet.ID, Username: "ann", Delivered: 1, CompletedAt: twtr.Timestamp(receipt.CompletedAt)}, data)
}

func TestNothingIsAnnouncedWithoutTheWord(t *testing.T) {
	e := newEnv(t)
	e.post(newTweet(t))
	e.next()
	e.request(0, false)
	require.NoError(t, e.follow(bobAndAnn))
	require.Zero(t, e.published.attempts)
}

func TestWhatIsNotStoredIsNotAnnounced(t *testing.T) {
	e := newEnv(t)
	taken, stored := createUser("ann"), &result{}
	e.RegisterDelayedCallback(func() {
		e.UpdateWorkflow(taken.Update().UpdateName, taken.Update().UpdateID, stored.callback())
	}, 0)
	e.ExecuteWorkflow(workflows.CreateUser, taken)
	require.Error(t, stored.err)
	e.next()
	results := e.requests(0, true)
	in := bobAndAnn
	in.Announce = true
	require.NoError(t, e.follow(in))
	e.requireDone(results...)
	require.Empty(t, e.published.events, "a name that is taken, an unfollow of one who does not follow")
}

func createUser(name string) workflows.CreateUserInput {
	sealed, _ := json.Marshal(twtr.User{Username: name, Email: name + "@x.example", PasswordHash: "other", CreatedAt: start})
	return workflows.CreateUserInput{Request: uuid.New(), Username: name, Sealed: sealed, Announce: start}
}

// The answer, and what follows from the change, come while NATS is unavailable; the event comes when it is there again, and the
// workflow ends then.
func TestAnOutageOfNATSDelaysEventsAndNothingElse(t *testing.T) {
	for _, outage := range outages {
		t.Run(outage.String()+" of a tweet", func(t *testing.T) {
			e := newEnvWithOutage(t, 0)
			e.away(outage)
			activities := e.countActivities()
			require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start}))
			tweet := newTweet(t)
			e.RegisterDelayedCallback(func() {
				require.Len(t, e.feed(), 1)
				_, err := e.store.Receipt(t.Context(), tweet.ID)
				require.NoError(t, err)
				require.Empty(t, e.published.events)
			}, 10*time.Second)
			e.announced(tweet)
			require.Equal(t, []twtr.EventType{twtr.EventPosted, twtr.EventDelivered}, e.published.types())
			require.Less(t, e.Now().Sub(start), outage+11*time.Minute)
			require.Less(t, activities(), 10, "a retry adds nothing to the history")
			require.Less(t, e.published.attempts, 200)
		})
		t.Run(outage.String()+" of a deletion", func(t *testing.T) {
			e := newEnvWithOutage(t, 0)
			require.NoError(t, e.store.Store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: start}))
			tweet := newTweet(t)
			e.post(tweet)
			e.next()
			e.SetWorkflowRunTimeout(30 * 24 * time.Hour)
			e.away(outage)
			in, deleted := workflows.DeleteTweetInput{TweetID: tweet.ID, Username: "ann", Announce: true}, &result{}
			e.RegisterDelayedCallback(func() {
				e.UpdateWorkflow(in.Update().UpdateName, in.Update().UpdateID, deleted.callback())
			}, 0)
			e.RegisterDelayedCallback(func() {
				e.requireDone(deleted)
				require.Empty(t, e.feed())
				require.Empty(t, e.published.events)
			}, 10*time.Second)
			e.ExecuteWorkflow(workflows.DeleteTweet, in)
			require.NoError(t, e.GetWorkflowError())
			require.Equal(t, []twtr.EventType{twtr.EventDeleted}, e.published.types())
		})
		t.Run(outage.String()+" of a sign-up", func(t *testing.T) {
			e := newEnvWithOutage(t, 0)
			e.away(outage)
			in, stored := createUser("cat"), &result{}
			e.RegisterDelayedCallback(func() {
				e.UpdateWorkflow(in.Update().UpdateName, in.Update().UpdateID, stored.callback())
			}, 0)
			e.RegisterDelayedCallback(func() {
				e.requireDone(stored)
				require.Empty(t, e.published.events)
			}, 10*time.Second)
			e.ExecuteWorkflow(workflows.CreateUser, in)
			require.NoError(t, e.GetWorkflowError())
			require.Equal(t, []twtr.Event{twtr.CreatedEvent("cat", start, in.Request)}, e.published.events)
		})
	}
}

func TestTheChangesOfAPairAreAnnouncedInTheirOrderHoweverLongNATSIsUnavailable(t *testing.T) {
	e := newEnvWithOutage(t, 0)
	e.away(15 * time.Minute)
	const changes = 40
	var results []*result
	for i := range changes {
		results = append(results, e.request(time.Duration(i)*10*time.Second, i%2 == 1))
	}
	e.RegisterDelayedCallback(func() { e.requireDone(results...) }, changes*10*time.Second)
	in := bobAndAnn
	in.Announce = true
	require.NoError(t, e.follow(in))
	e.requireChanges(changes)
	require.Less(t, e.Now().Sub(start), 30*time.Minute)
}

// requireChanges wants so many follows and unfollows of bob's, in turns.
func (e *env) requireChanges(n int) {
	e.t.Helper()
	require.Len(e.t, e.published.events, n)
	var last time.Time
	for i, event := range e.published.events {
		require.Equal(e.t, []twtr.EventType{twtr.EventFollowed, twtr.EventUnfollowed}[i%2], event.Type)
		require.Equal(e.t, "bob", event.Key)
		data, err := event.Decode()
		require.NoError(e.t, err)
		require.Equal(e.t, "ann", data.(twtr.FollowChange).Followee)
		require.False(e.t, event.At.Before(last))
		last = event.At
	}
}

func TestALongRunLeavesItsEventsToTheNextOne(t *testing.T) {
	e := newEnvWithOutage(t, 0)
	e.away(time.Hour)
	results := []*result{e.request(0, false), e.request(time.Minute, true), e.request(2*time.Minute, false)}
	e.RegisterDelayedCallback(func() {
		e.SetContinueAsNewSuggested(true)
		e.request(0, true) // is refused, and wakes the run
	}, 3*time.Minute)
	in := bobAndAnn
	in.Announce = true
	var continued *workflow.ContinueAsNewError
	require.ErrorAs(t, e.follow(in), &continued)
	e.requireDone(results...)
	var next workflows.FollowInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(continued.Input, &next))
	require.True(t, next.Announce)
	require.Len(t, next.Unfinished.Events, 3)
	e.next()
	e.SetWorkflowRunTimeout(30 * 24 * time.Hour)
	e.away(time.Hour)
	last := e.request(time.Minute, true)
	require.NoError(t, e.follow(next))
	e.requireDone(last)
	e.requireChanges(4)
}

func TestAPairWithTooManyEventsToPublishTakesNoMoreRequests(t *testing.T) {
	e := newEnvWithOutage(t, 0)
	e.away(time.Hour)
	in := bobAndAnn
	in.Announce, in.Unfinished = true, &workflows.UnfinishedFollow{Swept: true}
	for i := range 1000 {
		in.Unfinished.Events = append(in.Unfinished.Events, twtr.FollowEvent(twtr.Follow{Follower: "bob", Followee: "ann", At: start}, i%2 == 0, uuid.NewString()))
	}
	refused := e.request(time.Minute, false)
	activities := e.countActivities()
	require.NoError(t, e.follow(in))
	require.ErrorContains(t, refused.err, "too many changes of the pair are not published yet")
	require.Equal(t, in.Unfinished.Events, e.published.events, "in their order")
	require.Less(t, activities(), 20, "many in one step")
}

// A worker writes an edge and dies: the request is taken again by another run, which finds it done.
func TestAChangeOfALostTaskIsAnnouncedByWhoRepeatsIt(t *testing.T) {
	e := newEnv(t)
	id := uuid.NewString()
	edge := twtr.Follow{Follower: "bob", Followee: "ann", At: start.Add(-time.Second), Requests: []string{id}}
	require.NoError(t, e.store.Store.PutFollow(t.Context(), edge))
	results := e.send(0, []string{id}, false)
	in := bobAndAnn
	in.Announce = true
	require.NoError(t, e.follow(in))
	e.requireDone(results...)
	require.Equal(t, []twtr.Event{twtr.FollowEvent(edge, true, id)}, e.published.events)
}

// Only of a tweet does no caller wait for the workflow's task, which a local activity prolongs.
func TestNoAnswerWaitsForAnEvent(t *testing.T) {
	e := newEnv(t)
	var local []string
	e.SetOnLocalActivityStartedListener(func(info *activity.Info, _ context.Context, _ []any) { local = append(local, info.ActivityType.Name) })
	regular := map[string]bool{}
	e.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		regular[info.ActivityType.Name] = true
	})
	result := e.request(0, false)
	in := bobAndAnn
	in.Announce = true
	require.NoError(t, e.follow(in))
	e.requireDone(result)
	require.NotContains(t, local, "Announce")
	require.True(t, regular["Announce"], fmt.Sprint(regular))
	require.Len(t, e.published.events, 1)
}
