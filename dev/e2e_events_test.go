package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/api"
	"github.com/twtr-dev/twtr/api/apitest"
	"github.com/twtr-dev/twtr/cmd"
	"github.com/twtr-dev/twtr/dev/natsserver"
	"github.com/twtr-dev/twtr/internal/events"
)

var asyncAPI = sync.OnceValues(func() (*apitest.Events, error) { return apitest.NewEvents(api.AsyncAPI) })

// subscriber reads all events from the stream, each at least once, whatever happens to NATS meanwhile.
type subscriber struct {
	t       *testing.T
	conn    *events.Conn
	mu      sync.Mutex
	events  []twtr.Event // without those that came before
	seen    map[string]bool
	secrets []string // that none may have
}

// subscribe reads events until the end of the test. The stream must be there.
func subscribe(t *testing.T, url string) *subscriber {
	s := &subscriber{t: t, seen: map[string]bool{}, secrets: []string{"correct horse", "@example.com", "$argon2id", "eyJhbGciOi", "assword", "oken"}}
	var err error
	s.conn, err = events.Connect(url, events.Options{})
	require.NoError(t, err)
	t.Cleanup(s.conn.Close)
	require.Eventually(t, s.conn.IsConnected, time.Minute, time.Millisecond)
	consumer, err := s.conn.JetStream().CreateConsumer(t.Context(), events.Stream, jetstream.ConsumerConfig{Durable: "test", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		s.take(m)
		_ = m.Ack() // one that is lost lets the event come again
	})
	require.NoError(t, err)
	t.Cleanup(consuming.Stop)
	return s
}

func (s *subscriber) take(m jetstream.Msg) {
	promised, err := asyncAPI()
	if err == nil {
		err = promised.Check(m.Subject(), m.Headers(), m.Data())
	}
	e, parseErr := events.Parse(m.Data())
	if err != nil || parseErr != nil || m.Headers().Get(jetstream.MsgIDHeader) != e.ID || m.Subject() != events.Subject(e.Type, e.Key) {
		s.t.Errorf("%s: %s: %v, %v", m.Subject(), m.Data(), err, parseErr)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range s.secrets {
		if strings.Contains(string(m.Data()), secret) {
			s.t.Errorf("an event has %q: %s", secret, m.Data())
		}
	}
	if !s.seen[e.ID] {
		s.seen[e.ID] = true
		s.events = append(s.events, e)
	}
}

func (s *subscriber) of(kind twtr.EventType) (of []twtr.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Type == kind {
			of = append(of, e)
		}
	}
	return of
}

// tweets are the ids of the tweets that events of that type are about, sorted.
func (s *subscriber) tweets(kind twtr.EventType) (ids []string) {
	for _, e := range s.of(kind) {
		_, id, _ := strings.Cut(e.ID, "/")
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func newNATS(t *testing.T) string {
	server, err := natsserver.Start("127.0.0.1:0", t.TempDir())
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	return server.URL()
}

func (s *stack) migrateEvents() {
	require.NoError(s.t, cmd.MigrateEvents(s.t.Context(), s.config.Events, 0))
}

func TestEveryChangeIsAnnouncedOnceAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite", "--events-url", newNATS(t))
	s.migrateEvents()
	received := subscribe(t, s.config.Events.URL)
	live := make(chan twtr.Event, 100)
	_, err := received.conn.Subscribe(events.DomainSubject("tweets", "ann"), func(m *nats.Msg) {
		e, err := events.Parse(m.Data)
		if err != nil {
			t.Error(err)
		}
		live <- e
	})
	require.NoError(t, err)
	s.work()
	ann, bob := s.signUp("ann"), s.signUp("bob")
	s.follow(bob, "ann")
	s.follow(bob, "ann") // changes nothing
	first := s.tweet(ann, "first: <b>ü</b> & \u2028")
	s.eventually("it is delivered", func() bool { return s.delivery(ann, first.ID).State == "complete" })
	s.ok("DELETE", "/tweets/"+first.ID.String(), ann, nil, nil)
	s.ok("DELETE", "/follow/ann", bob, nil, nil)
	second := s.tweet(bob, "second")
	s.eventually("all are there", func() bool {
		return len(received.of(twtr.EventDelivered)) == 2 && len(received.of(twtr.EventUnfollowed)) == 1
	})

	got := map[string]any{}
	for _, e := range received.events {
		data, err := e.Decode()
		require.NoError(t, err)
		kind := string(e.Type)
		if e.Type == twtr.EventCreated || e.Type == twtr.EventPosted || e.Type == twtr.EventDelivered {
			kind += " " + e.Key
		}
		require.NotContains(t, got, kind)
		got[kind] = plain(t, data)
	}
	at := func(kind, field string) any { return got[kind].(map[string]any)[field] }
	asEvent := func(one tweet) map[string]any {
		return map[string]any{"id": one.ID.String(), "username": one.Username, "content": one.Content, "createdAt": one.CreatedAt}
	}
	receipt := func(author string, one tweet, delivered float64) map[string]any {
		return map[string]any{"tweetId": one.ID.String(), "username": author, "deleted": false, "delivered": delivered, "failed": 0.0,
			"completedAt": at("feeds.delivered "+author, "completedAt")}
	}
	require.Equal(t, map[string]any{
		"users.created ann":    map[string]any{"username": "ann", "createdAt": at("users.created ann", "createdAt")},
		"users.created bob":    map[string]any{"username": "bob", "createdAt": at("users.created bob", "createdAt")},
		"tweets.posted ann":    asEvent(first),
		"tweets.posted bob":    asEvent(second),
		"tweets.deleted":       map[string]any{"id": first.ID.String(), "username": "ann"},
		"followers.followed":   map[string]any{"follower": "bob", "followee": "ann", "at": at("followers.followed", "at")},
		"followers.unfollowed": map[string]any{"follower": "bob", "followee": "ann", "at": at("followers.unfollowed", "at")},
		"feeds.delivered ann":  receipt("ann", first, 1),
		"feeds.delivered bob":  receipt("bob", second, 0),
	}, got)
	require.Equal(t, twtr.EventPosted, (<-live).Type, "plain subscriptions get them, too")
	require.Equal(t, twtr.EventDeleted, (<-live).Type)
	for _, token := range []string{ann, bob} {
		require.NotContains(t, fmt.Sprint(got), token)
	}
}

// plain is a value as JSON has it.
func plain(t *testing.T, v any) (plain any) {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &plain))
	return plain
}

// NATS that hangs is worse than one that is gone: only time tells.
func TestANATSThatHangsDelaysEventsAndNothingElse(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	server := start(t, t.TempDir(), "dev", nil, "nats", "--nats-addr", addr)
	server.says(t, "NATS at ")
	s := newStack(t, "sqlite", "--events-url", "nats://"+addr)
	s.migrateEvents()
	received := subscribe(t, s.config.Events.URL)
	s.work()
	ann := s.signUpAtWork("ann")
	require.NoError(t, server.Process.Signal(syscall.SIGSTOP))
	bob := s.signUp("bob")
	s.follow(bob, "ann")
	kept, gone := s.tweet(ann, "kept"), s.tweet(ann, "gone")
	s.eventually("both are delivered", func() bool { return len(s.feed(bob)) == 2 && s.delivery(ann, gone.ID).State == "complete" })
	s.ok("DELETE", "/tweets/"+gone.ID.String(), ann, nil, nil)
	s.eventually("and removed", func() bool { return len(s.feed(bob)) == 1 })
	s.ok("DELETE", "/follow/ann", bob, nil, nil)
	s.eventually("and swept", func() bool { return len(s.feed(bob)) == 0 })
	require.Empty(t, received.of(twtr.EventPosted))
	require.NoError(t, server.Process.Signal(syscall.SIGCONT))
	s.eventually("the events come", func() bool {
		return len(received.of(twtr.EventUnfollowed)) == 1 && len(received.of(twtr.EventDelivered)) == 2 && len(received.of(twtr.EventDeleted)) == 1
	})
	require.ElementsMatch(t, []string{kept.ID.String(), gone.ID.String()}, received.tweets(twtr.EventPosted))
	require.Len(t, received.of(twtr.EventFollowed), 1)
	require.Equal(t, "bob", received.of(twtr.EventCreated)[len(received.of(twtr.EventCreated))-1].Key)
}

// parts are processes that can be killed and started again.
type parts struct {
	t       *testing.T
	dir     string
	env     []string
	running map[string]*process
	args    map[string][]string
}

func (p *parts) start(name string) {
	as, said := "twtr", ""
	switch name {
	case "nats":
		as, said = "dev", "NATS at "
	case "temporal":
		as, said = "dev", "Temporal at "
	}
	p.running[name] = start(p.t, p.dir, as, p.env, p.args[name]...)
	if said != "" {
		p.running[name].says(p.t, said)
	}
}

func (p *parts) kill(name string) {
	require.NoError(p.t, p.running[name].Process.Kill())
	_ = p.running[name].Wait()
}

func TestKill9OfAnythingLosesNoEventAndInventsNone(t *testing.T) {
	t.Parallel()
	const tweets, clients, deletions = 500, 10, 25
	addr, events := freeAddr(t), freeAddr(t)
	temporal, ops := freeAddr(t), freeAddr(t)
	p := &parts{t: t, dir: t.TempDir(), running: map[string]*process{}, args: map[string][]string{
		"temporal": {"temporal", "--temporal-addr", temporal, "--temporal-ui-addr", freeAddr(t)},
		"nats":     {"nats", "--nats-addr", events},
		"api":      {"api"},
		"users":    {"worker", "users", "--ops-addr", ops}, "tweets": {"worker", "tweets"},
		"followers": {"worker", "followers"}, "feeds": {"worker", "feeds"},
	}}
	p.env = append([]string{
		"TEMPORAL_ADDRESS=" + temporal, "TWTR_HTTP_ADDR=" + addr, "TWTR_SQLITE_PATH=" + filepath.Join(p.dir, "twtr.db"),
		"TWTR_EVENTS_URL=nats://" + events, "TWTR_RATELIMIT_TWEETS=0", "TWTR_RATELIMIT_SIGNUPS=0", "TWTR_LOG_LEVEL=error",
	}, secretsEnv...)
	p.start("temporal")
	p.start("nats")
	migrate := start(t, p.dir, "twtr", p.env, "migrate")
	migrate.says(t, "the stream of events is up to date")
	require.NoError(t, migrate.Wait())
	p.kill("nats")
	for _, name := range []string{"api", "users", "tweets", "followers", "feeds"} {
		p.start(name)
	}
	s := &stack{t: t, url: "http://" + addr}
	requireHealthy(t, s.url)
	requireHealthy(t, "http://"+ops)
	requireReady(t, "http://"+ops) // without NATS
	p.start("nats")
	received := subscribe(t, "nats://"+events)
	// insists repeats a request until it is answered, as a client does.
	insists := func(method, path, token string, body any, want ...int) (a answer) {
		key := map[string]string{"Idempotency-Key": uuid.NewString()}
		for end := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
			if a = s.callWith(method, path, token, body, key); slices.Contains(want, a.Status) || time.Now().After(end) {
				return a
			}
		}
	}
	tokens := make([]string, clients)
	for i := range tokens {
		var user struct{ AccessToken string }
		a := insists("POST", "/users", "", signUpBody(fmt.Sprintf("user-%d", i)), 200)
		require.NoError(t, json.Unmarshal(a.Data, &user), a.Error)
		tokens[i] = user.AccessToken
	}
	var (
		mu              sync.Mutex
		posted, deleted []string
		group           sync.WaitGroup
	)
	for i, token := range tokens {
		group.Go(func() {
			for n := range tweets / clients {
				var one tweet
				a := insists("POST", "/tweets", token, map[string]string{"content": fmt.Sprintf("%d of %d", n, i)}, 200)
				if err := json.Unmarshal(a.Data, &one); err != nil || a.Status != 200 {
					t.Errorf("%d: %s, %v", a.Status, a.Error, err)
					return
				}
				mu.Lock()
				posted = append(posted, one.ID.String())
				remove := len(posted)%(tweets/deletions) == 0
				mu.Unlock()
				if !remove {
					continue
				}
				// 404: an attempt before has deleted it.
				if a := insists("DELETE", "/tweets/"+one.ID.String(), token, nil, 200, 404); a.Status == 0 || a.Status >= 500 {
					t.Errorf("%d: %s", a.Status, a.Error)
				}
				mu.Lock()
				deleted = append(deleted, one.ID.String())
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	victims := []string{"nats", "tweets", "api", "feeds", "nats", "users", "followers", "tweets"}
	for i, name := range victims {
		s.eventually("clients are halfway to the next crash", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(posted) >= (i+1)*tweets/(len(victims)+1)
		})
		p.kill(name)
		time.Sleep(200 * time.Millisecond)
		p.start(name)
	}
	<-done
	slices.Sort(posted)
	slices.Sort(deleted)
	s.eventually("all events come", func() bool {
		return len(received.of(twtr.EventDelivered)) >= tweets && len(received.of(twtr.EventPosted)) >= tweets && len(received.of(twtr.EventDeleted)) >= deletions
	})
	require.Len(t, posted, tweets)
	require.Equal(t, posted, received.tweets(twtr.EventPosted))
	require.Equal(t, posted, received.tweets(twtr.EventDelivered))
	require.Equal(t, deleted, received.tweets(twtr.EventDeleted))
	require.Len(t, received.of(twtr.EventCreated), clients)
}
