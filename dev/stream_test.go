package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/api"
	"github.com/twtr-dev/twtr/cmd"
	"github.com/twtr-dev/twtr/dev/natsserver"
	"github.com/twtr-dev/twtr/dev/temporalserver"
	"github.com/twtr-dev/twtr/internal/events"
	"github.com/twtr-dev/twtr/internal/telemetry"
)

// liveStack is a stack with a NATS of its own, and the address and folder to start it again with.
type liveStack struct {
	*stack
	nats      *natsserver.Server
	addr, dir string
}

func newLiveStack(t *testing.T, engine string, flags ...string) *liveStack {
	return newLiveStackOn(t, engine, temporalserver.Options{}, flags...)
}

func newLiveStackOn(t *testing.T, engine string, o temporalserver.Options, flags ...string) *liveStack {
	l := &liveStack{addr: freeAddr(t), dir: t.TempDir()}
	l.startNATS(t)
	t.Cleanup(func() { l.nats.Stop() })
	l.stack = newStackOn(t, engine, o, append(flags, "--events-url", "nats://"+l.addr)...)
	require.NoError(t, cmd.MigrateEvents(t.Context(), l.config.Events, time.Minute))
	return l
}

func (l *liveStack) startNATS(t *testing.T) {
	var err error
	l.nats, err = natsserver.Start(l.addr, l.dir)
	require.NoError(t, err)
}

// connect is a connection of the test's own to NATS.
func (l *liveStack) connect() *events.Conn {
	conn, err := events.Connect("nats://"+l.addr, events.Options{})
	require.NoError(l.t, err)
	l.t.Cleanup(conn.Close)
	require.Eventually(l.t, conn.IsConnected, time.Minute, 10*time.Millisecond)
	return conn
}

// api is another API of the same stack; change may change its configuration. It stops when stop is called.
func (l *liveStack) api(change func(*api.Config)) (other *stack, stop func()) {
	metrics, err := telemetry.New("test")
	require.NoError(l.t, err)
	config := api.Config{
		Store: l.store, Temporal: l.client, SealKeys: []string{sealKey}, Announce: true,
		AuthKeys: []api.Key{{ID: "test", Secret: []byte(strings.Repeat("a", 32))}},
		Logger:   slog.New(slog.DiscardHandler), Metrics: metrics,
		Streams: api.StreamConfig{Events: events.NewLive(l.connect()), PerUser: 1000, PerProcess: 1000},
	}
	if change != nil {
		change(&config)
	}
	handler, err := api.New(config)
	require.NoError(l.t, err)
	ctx, cancel := context.WithCancel(l.t.Context())
	stopped, err := handler.Start(ctx)
	require.NoError(l.t, err)
	server := httptest.NewServer(handler)
	stop = sync.OnceFunc(func() { cancel(); stopped(); server.Close() })
	l.t.Cleanup(stop)
	return &stack{t: l.t, url: server.URL, store: l.store}, stop
}

// sent is an event as it arrives.
type sent struct{ event, id, data string }

// follower reads a live feed.
type follower struct {
	*http.Response
	t     *testing.T
	close func()
	ended chan struct{}

	mu       sync.Mutex
	events   []sent
	comments int
	lastID   string
}

// stream opens a live feed, which must be answered 200.
func (s *stack) stream(token, lastID string) *follower {
	s.t.Helper()
	f := s.tryStream(token, lastID)
	require.Equal(s.t, 200, f.StatusCode)
	return f
}

// tryStream opens a live feed; the status may be any, or 0 if there was no response.
func (s *stack) tryStream(token, lastID string) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/feeds/me/stream", nil)
	require.NoError(s.t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	f := &follower{t: s.t, lastID: lastID, ended: make(chan struct{}), close: cancel}
	if f.Response, err = http.DefaultClient.Do(request); err != nil { //nolint:bodyclose // read closes it
		f.Response = &http.Response{}
		close(f.ended)
		return f
	}
	go f.read()
	return f
}

func (f *follower) read() {
	defer close(f.ended)
	defer f.Body.Close()
	var one sent
	for lines := bufio.NewScanner(f.Body); lines.Scan(); {
		line := lines.Text()
		field, value, _ := strings.Cut(line, ": ")
		f.mu.Lock()
		switch field {
		case "id":
			one.id = value
		case "event":
			one.event = value
		case "data":
			one.data = value
		case "":
			if line != "" {
				f.comments++
				break
			}
			if one.id != "" {
				f.lastID = one.id
			}
			if one.event != "" {
				f.events = append(f.events, one)
			}
			one = sent{}
		}
		f.mu.Unlock()
	}
}

// all returns what has arrived.
func (f *follower) all() []sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

func (f *follower) id() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lastID
}

// stop closes the stream and returns all that has arrived.
func (f *follower) stop() []sent {
	f.close()
	<-f.ended
	return f.all()
}

// await waits until so many events have arrived, and returns them.
func (f *follower) await(n int) []sent {
	f.t.Helper()
	require.Eventually(f.t, func() bool { return len(f.all()) >= n }, time.Minute, 5*time.Millisecond, "%d events", n)
	return f.all()
}

func (f *follower) awaitEnd() {
	f.t.Helper()
	select {
	case <-f.ended:
	case <-time.After(30 * time.Second):
		require.Fail(f.t, "the stream does not end")
	}
}

// told are the texts of the tweets, and the ids of deletions.
func told(t *testing.T, all []sent) (texts []string) {
	for _, one := range all {
		var data struct{ ID, Content string }
		require.NoError(t, json.Unmarshal([]byte(one.data), &data))
		if one.event == "tweet" {
			texts = append(texts, data.Content)
		} else {
			texts = append(texts, one.event+" "+data.ID)
		}
	}
	return texts
}

func TestALiveFeedHasTweetsDeletionsFollowsAndUnfollows(t *testing.T) {
	t.Parallel()
	l := newLiveStack(t, "sqlite")
	l.work()
	ann, bob, carl := l.signUp("ann"), l.signUp("bob"), l.signUp("carl")
	l.follow(bob, "ann")
	l.tweet(ann, "before")
	l.eventually("it is delivered", func() bool { return len(l.feed(bob)) == 1 })
	f := l.stream(bob, "")
	require.Equal(t, "text/event-stream", f.Header.Get("Content-Type"))
	require.Equal(t, "no-store", f.Header.Get("Cache-Control"))
	require.Equal(t, "no", f.Header.Get("X-Accel-Buffering"))
	require.Eventually(t, func() bool { return f.id() != "" }, time.Minute, time.Millisecond, "an id at once")

	one := l.tweet(ann, `<"live" & ü>`)
	got := f.await(1)
	l.eventually("it is delivered", func() bool { return len(l.feed(bob)) == 2 })
	var inFeed []json.RawMessage
	l.ok("GET", "/feeds/me", bob, nil, &inFeed)
	require.Equal(t, string(inFeed[0]), got[0].data, "as in the feed")
	l.ok("DELETE", "/tweets/"+one.ID.String(), ann, nil, nil)
	require.Equal(t, sent{"delete", f.await(2)[1].id, fmt.Sprintf(`{"id":"%s"}`, one.ID)}, f.all()[1])

	l.tweet(carl, "not followed")
	l.follow(bob, "carl")
	require.Equal(t, "not followed", told(t, f.await(3))[2], "what the follow brings")
	l.tweet(carl, "followed")
	require.Equal(t, "followed", told(t, f.await(4))[3])
	l.ok("DELETE", "/follow/carl", bob, nil, nil)
	l.eventually("its subscription ends", func() bool { return subscriptions(l.nats, "twtr.tweets.*.carl") == 0 })
	l.tweet(carl, "unfollowed")
	last := l.tweet(ann, "last")
	require.Equal(t, []string{`<"live" & ü>`, "delete " + one.ID.String(), "not followed", "followed", "last"}, told(t, f.await(5)))

	// A stream that continues has what came meanwhile, once.
	id := f.id()
	require.Len(t, f.stop(), 5)
	l.tweet(ann, "meanwhile")
	l.ok("DELETE", "/tweets/"+last.ID.String(), ann, nil, nil)
	l.eventually("both reach the feed", func() bool {
		feed := l.feed(bob)
		return len(feed) == 2 && feed[0].Content == "meanwhile"
	})
	f = l.stream(bob, id)
	require.Equal(t, []string{"delete " + last.ID.String(), "meanwhile"}, told(t, f.await(2)))
	head := l.callWithoutBody(http.MethodHead, "/feeds/me/stream", bob) //nolint:bodyclose // it is closed
	require.Equal(t, 200, head.StatusCode)
	require.Equal(t, "text/event-stream", head.Header.Get("Content-Type"))
}

func (s *stack) callWithoutBody(method, path, token string) *http.Response {
	request, err := http.NewRequest(method, s.url+path, nil)
	require.NoError(s.t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	require.NoError(s.t, response.Body.Close())
	return response
}

// subscriptions counts NATS's subscriptions to a subject.
func subscriptions(s *natsserver.Server, subject string) (n int) {
	connections, err := s.Connz(&server.ConnzOptions{Subscriptions: true})
	if err != nil {
		return -1
	}
	for _, c := range connections.Conns {
		for _, one := range c.Subs {
			if one == subject {
				n++
			}
		}
	}
	return n
}

func TestAnAuthorHasOneSubscriptionHoweverManyFollowersAreConnected(t *testing.T) {
	t.Parallel()
	l := newLiveStack(t, "sqlite")
	a, _ := l.api(nil)
	l.work()
	ann := l.signUp("ann")
	var streams []*follower
	for i := range 100 {
		name := fmt.Sprintf("f%d", i)
		require.NoError(t, l.store.PutFollow(t.Context(), twtr.Follow{Follower: name, Followee: "ann", At: time.Now()}))
		token, err := accessToken(name)
		require.NoError(t, err)
		streams = append(streams, a.stream(token, ""))
	}
	require.Equal(t, 1, subscriptions(l.nats, "twtr.tweets.*.ann"))
	l.tweet(ann, "to all")
	for _, f := range streams {
		require.Equal(t, []string{"to all"}, told(t, f.await(1)))
	}
	for _, f := range streams {
		f.stop()
	}
	l.eventually("all subscriptions end", func() bool {
		return subscriptions(l.nats, "twtr.tweets.*.ann") == 0 && subscriptions(l.nats, "twtr.followers.*.f7") == 0
	})
}

func TestAStreamContinuesThoughTweetsComeInAnotherOrderThanTheirIDs(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"sqlite", "cassandra"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			l := newLiveStack(t, engine)
			l.work()
			ann, bob := l.signUp("ann"), l.signUp("bob")
			l.follow(bob, "ann")
			behind, _ := l.api(func(c *api.Config) { c.Now = func() time.Time { return time.Now().Add(-10 * time.Second) } })
			f := l.stream(bob, "")
			l.tweet(ann, "new")
			f.await(1)
			behind.tweet(ann, "older id, live")
			f.await(2)
			id := f.id()
			require.Equal(t, []string{"new", "older id, live"}, told(t, f.stop()))
			behind.tweet(ann, "older id, meanwhile")
			l.eventually("it is delivered", func() bool { return len(l.feed(bob)) == 3 })
			f = l.stream(bob, id)
			require.Equal(t, []string{"older id, meanwhile"}, told(t, f.await(1)))

			// A delivery that is late by hours, and whose event was missed.
			late, err := twtr.NewTweetID(time.Now().Add(-20 * time.Hour))
			require.NoError(t, err)
			tweet, err := twtr.NewTweet(late, "ann", twtr.Post{Content: "late by hours"})
			require.NoError(t, err)
			require.NoError(t, l.store.PutTweet(t.Context(), tweet))
			require.NoError(t, l.store.PutFeedItem(t.Context(), tweet, []string{"bob"}))
			f.await(2)
			id = f.id()
			require.Equal(t, []string{"older id, meanwhile", "late by hours"}, told(t, f.stop()))
			f = l.stream(bob, id)
			l.tweet(ann, "end")
			require.Equal(t, []string{"end"}, told(t, f.await(1)), "nothing twice")
			require.NoError(t, l.store.RetractFeedItem(t.Context(), late, []string{"bob"}, time.Now()))
			require.Equal(t, []string{"end", "delete " + late.String()}, told(t, f.await(2)), "a deletion whose event was missed")
		})
	}
}

// hookedStore calls a hook once, after the store has read and before the caller has the result.
type hookedStore struct {
	twtr.Store
	followings, feedRows atomic.Pointer[func()]
}

func callOnce(hook *atomic.Pointer[func()]) {
	if f := hook.Swap(nil); f != nil {
		(*f)()
	}
}

func (s *hookedStore) Followings(ctx context.Context, username, after string, limit int) ([]string, error) {
	defer callOnce(&s.followings)
	return s.Store.Followings(ctx, username, after, limit)
}

func (s *hookedStore) FeedRows(ctx context.Context, reader string, w twtr.Window, limit int) ([]twtr.FeedRow, error) {
	defer callOnce(&s.feedRows)
	return s.Store.FeedRows(ctx, reader, w, limit)
}

func TestWhatHappensWhileAStreamBeginsIsSentOnce(t *testing.T) {
	t.Parallel()
	l := newLiveStack(t, "sqlite")
	publisher := l.connect()
	store := &hookedStore{Store: l.store}
	a, _ := l.api(func(c *api.Config) { c.Store, c.Streams.FirstCheck = store, 500*time.Millisecond })
	bob, err := accessToken("bob")
	require.NoError(t, err)
	edge := func(followee string) twtr.Follow {
		return twtr.Follow{Follower: "bob", Followee: followee, At: time.Now()}
	}
	require.NoError(t, l.store.PutFollow(t.Context(), edge("ann")))
	deliver := func(tweet twtr.Tweet) { require.NoError(t, l.store.PutFeedItem(t.Context(), tweet, []string{"bob"})) }
	publish := func(e twtr.Event) { require.NoError(t, publisher.Publish(t.Context(), e)) }
	var tweet twtr.Tweet
	lastID := ""
	for range 2 { // a new stream, and then one that continues
		from := lastID
		for _, one := range []struct {
			text string
			// What happens after the stream has read whom its reader follows, and after it has read the feed.
			followings, feedRows func()
		}{
			{"event too early, delivery too late", func() {
				tweet = l.putTweet("ann", "event too early, delivery too late")
				publish(twtr.PostedEvent(tweet))
			}, func() { deliver(tweet) }},
			{"event after the feed was read", func() {}, func() {
				tweet = l.putTweet("ann", "event after the feed was read")
				publish(twtr.PostedEvent(tweet))
				deliver(tweet)
			}},
			{"of a user followed meanwhile", func() {
				require.NoError(t, l.store.PutFollow(t.Context(), edge("carl")))
				publish(twtr.FollowEvent(edge("carl"), true, "test"))
			}, func() { deliver(l.putTweet("carl", "of a user followed meanwhile")) }},
		} {
			store.followings.Store(&one.followings)
			store.feedRows.Store(&one.feedRows)
			f := a.stream(bob, from)
			f.await(1)
			end := l.putTweet("ann", "end")
			deliver(end)
			publish(twtr.PostedEvent(end))
			f.await(2)
			time.Sleep(time.Second) // in which the stream checks the store once more
			lastID = f.id()
			require.Equal(t, []string{one.text, "end"}, told(t, f.stop()))
			if from != "" {
				from = lastID
			}
		}
		require.NoError(t, l.store.DeleteFollow(t.Context(), edge("carl")))
	}
}

func TestEventsOfFollowsTakeEffectAndMayComeLateAndTwice(t *testing.T) {
	t.Parallel()
	l := newLiveStack(t, "sqlite")
	a, _ := l.api(func(c *api.Config) { c.Streams.FirstCheck, c.Streams.Check = time.Hour, time.Hour }) // so there is nothing but events
	publisher := l.connect()
	bob, err := accessToken("bob")
	require.NoError(t, err)
	edge := twtr.Follow{Follower: "bob", Followee: "ann", At: time.Now()}
	require.NoError(t, l.store.PutFollow(t.Context(), edge))
	a.stream(bob, "")
	require.Equal(t, 1, subscriptions(l.nats, "twtr.tweets.*.ann"))
	carl := twtr.Follow{Follower: "bob", Followee: "carl", At: time.Now()}
	require.NoError(t, l.store.PutFollow(t.Context(), carl))
	require.NoError(t, publisher.Publish(t.Context(), twtr.FollowEvent(carl, true, "test")))
	l.eventually("a follow takes effect", func() bool { return subscriptions(l.nats, "twtr.tweets.*.carl") == 1 })
	carl.At = carl.At.Add(time.Second)
	require.NoError(t, l.store.DeleteFollow(t.Context(), carl))
	require.NoError(t, publisher.Publish(t.Context(), twtr.FollowEvent(carl, false, "test")))
	l.eventually("an unfollow takes effect", func() bool { return subscriptions(l.nats, "twtr.tweets.*.carl") == 0 })
	for i, follows := range []bool{true, false, false, true, false} {
		require.NoError(t, publisher.Publish(t.Context(), twtr.FollowEvent(edge, follows, fmt.Sprint(i))))
	}
	require.Never(t, func() bool { return subscriptions(l.nats, "twtr.tweets.*.ann") != 1 }, time.Second, 5*time.Millisecond, "the store has the follow")
}

func TestAStreamThatCannotContinueSaysSo(t *testing.T) {
	t.Parallel()
	l := newLiveStack(t, "sqlite")
	l.work()
	ann, bob := l.signUp("ann"), l.signUp("bob")
	l.follow(bob, "ann")
	f := l.stream(bob, "none of ours")
	require.Equal(t, []string{"reset "}, told(t, f.await(1)))
	id := f.id()
	f.stop()
	for i := range 1700 {
		tweet := l.putTweet("ann", fmt.Sprint(i))
		require.NoError(t, l.store.PutFeedItem(t.Context(), tweet, []string{"bob"}))
	}
	f = l.stream(bob, id)
	f.await(1)
	late := l.putTweet("ann", "delivered after a trim")
	l.tweet(ann, "after it")
	require.Equal(t, []string{"reset ", "after it"}, told(t, f.await(2)))
	id = f.id()
	f.stop()
	l.eventually("it is delivered", func() bool { return l.feed(bob)[0].Content == "after it" })

	// A trim has removed tweets that the reader has not.
	deliver := func(n int) {
		for i := range n {
			require.NoError(t, l.store.PutFeedItem(t.Context(), l.putTweet("ann", fmt.Sprint("more ", i)), []string{"bob"}))
		}
	}
	deliver(8)
	require.NoError(t, l.store.TrimFeed(t.Context(), "bob", 5))
	require.NoError(t, l.store.PutFeedItem(t.Context(), late, []string{"bob"}))
	f = l.stream(bob, id)
	require.Equal(t, []string{"reset "}, told(t, f.await(1)))
	id = f.id()
	f.stop()
	deliver(3)
	require.NoError(t, l.store.TrimFeed(t.Context(), "bob", 4)) // it has kept one that the reader has
	f = l.stream(bob, id)
	require.Equal(t, []string{"more 0", "more 1", "more 2"}, told(t, f.await(3)))
}

// putTweet stores a tweet without a workflow.
func (s *stack) putTweet(author, content string) twtr.Tweet {
	id, err := twtr.NewTweetID(time.Now())
	require.NoError(s.t, err)
	tweet, err := twtr.NewTweet(id, author, twtr.Post{Content: content})
	require.NoError(s.t, err)
	require.NoError(s.t, s.store.PutTweet(s.t.Context(), tweet))
	return tweet
}

func TestAnOutageOfNATSLosesNothingInAnOpenStream(t *testing.T) {
	t.Parallel()
	l := newLiveStack(t, "sqlite")
	l.work()
	ann, bob, carl := l.signUp("ann"), l.signUp("bob"), l.signUp("carl")
	l.follow(bob, "ann")
	a, _ := l.api(func(c *api.Config) { c.Streams.FirstCheck, c.Streams.Check = time.Hour, 2*time.Hour })
	f := a.stream(bob, "") // checks the store only when events may have been missed
	l.tweet(ann, "1")
	f.await(1)
	l.nats.Stop()
	l.tweet(ann, "2")
	l.tweet(carl, "3")
	l.follow(bob, "carl")
	g := l.stream(bob, f.id()) // opened meanwhile: from the store alone
	require.ElementsMatch(t, []string{"2", "3"}, told(t, g.await(2)))
	l.startNATS(t)
	require.ElementsMatch(t, []string{"1", "2", "3"}, told(t, f.await(3)))
	l.tweet(carl, "4")
	require.Equal(t, "4", told(t, f.await(4))[3])
	require.Equal(t, "4", told(t, g.await(3))[2])
	time.Sleep(2 * time.Second) // in which the workflows announce what they could not
	require.Len(t, f.all(), 4)
	require.Len(t, g.all(), 3)
}

func TestAStreamSendsWhatItsProcessMissedWhileItWasDisconnected(t *testing.T) {
	t.Parallel()
	l := newLiveStack(t, "sqlite")
	conn := l.connect()
	a, _ := l.api(func(c *api.Config) {
		c.Streams.Events, c.Streams.FirstCheck, c.Streams.Check = events.NewLive(conn), time.Hour, 2*time.Hour
	})
	bob, err := accessToken("bob")
	require.NoError(t, err)
	var f *follower
	for _, author := range []string{"ann", "carl"} {
		require.NoError(t, l.store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: author, At: time.Now()}))
		if author == "ann" {
			f = a.stream(bob, "") // the event of the other follow is missed, too
		}
		require.NoError(t, l.store.PutFeedItem(t.Context(), l.putTweet(author, "of "+author), []string{"bob"}))
	}
	require.NoError(t, conn.ForceReconnect())
	require.Equal(t, []string{"of ann", "of carl"}, told(t, f.await(2)))
	l.nats.Stop()
	time.Sleep(3 * time.Second) // in which the stream checks the store because the connection is broken
	require.NoError(t, l.store.PutFeedItem(t.Context(), l.putTweet("ann", "while NATS is unavailable"), []string{"bob"}))
	require.Equal(t, "while NATS is unavailable", told(t, f.await(3))[2])
}

func TestAStreamEndsWithItsTokenAndItsSession(t *testing.T) {
	t.Parallel()
	l := newLiveStack(t, "sqlite")
	l.work("users")
	var ahead atomic.Int64
	a, stop := l.api(func(c *api.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		c.Streams.Comment = 50 * time.Millisecond
	})
	var user struct{ AccessToken, RefreshToken string }
	l.ok("POST", "/users", "", signUpBody("ann"), &user)
	bob := l.signUp("bob")
	annStream, bobStream := a.stream(user.AccessToken, ""), a.stream(bob, "")
	a.ok("POST", "/users/logout", "", map[string]string{"refreshToken": user.RefreshToken}, nil)
	annStream.awaitEnd()
	time.Sleep(200 * time.Millisecond)
	require.Empty(t, bobStream.all())
	bobStream.mu.Lock()
	require.GreaterOrEqual(t, bobStream.comments, 4)
	bobStream.mu.Unlock()
	ahead.Store(int64(16 * time.Minute))
	bobStream.awaitEnd()
	require.Equal(t, 401, a.tryStream(bob, bobStream.id()).StatusCode)

	ahead.Store(0)
	bobStream = a.stream(bob, "")
	begin := time.Now()
	stop() // waits for requests in flight
	bobStream.awaitEnd()
	require.Less(t, time.Since(begin), 5*time.Second)
}

func TestStreamsAreLimitedByUserAndByProcess(t *testing.T) {
	t.Parallel()
	l := newLiveStack(t, "sqlite")
	l.work("users")
	a, _ := l.api(func(c *api.Config) { c.Streams.PerUser, c.Streams.PerProcess = 2, 3 })
	ann, bob := l.signUp("ann"), l.signUp("bob")
	first := a.stream(ann, "")
	a.stream(ann, "")
	refused := a.tryStream(ann, "")
	require.Equal(t, 429, refused.StatusCode)
	require.Equal(t, "10", refused.Header.Get("Retry-After"))
	b := a.stream(bob, "")
	refused = a.tryStream(bob, "")
	require.Equal(t, 503, refused.StatusCode)
	require.Equal(t, "1", refused.Header.Get("Retry-After"))
	b.stop()
	first.stop()
	for range 2 {
		require.Eventually(t, func() bool {
			return a.tryStream(ann, "").StatusCode == http.StatusOK || a.tryStream(bob, "").StatusCode == http.StatusOK
		},
			time.Minute, 10*time.Millisecond)
	}
}

func TestASlowReaderIsDroppedAndContinues(t *testing.T) {
	t.Parallel()
	l := newLiveStack(t, "sqlite")
	a, _ := l.api(nil)
	l.work("users")
	l.signUp("ann")
	bob := l.signUp("bob")
	require.NoError(t, l.store.PutFollow(t.Context(), twtr.Follow{Follower: "bob", Followee: "ann", At: time.Now()}))
	// A client that does not read.
	connection, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	require.NoError(t, err)
	defer connection.Close()
	_, err = fmt.Fprintf(connection, "GET /feeds/me/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", bob)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return subscriptions(l.nats, "twtr.tweets.*.ann") == 1 }, time.Minute, time.Millisecond)

	const n = 1500
	publisher := l.connect()
	long := strings.Repeat("🐢", 270)
	var want []string
	for i := range n {
		tweet := l.putTweet("ann", fmt.Sprint(i, long))
		want = append(want, fmt.Sprint(i, long))
		require.NoError(t, l.store.PutFeedItem(t.Context(), tweet, []string{"bob"}))
		require.NoError(t, publisher.Publish(t.Context(), twtr.PostedEvent(tweet)))
	}
	require.Eventually(t, func() bool { return subscriptions(l.nats, "twtr.tweets.*.ann") == 0 }, time.Minute, 10*time.Millisecond, "it is dropped")
	response, err := http.ReadResponse(bufio.NewReader(connection), nil) //nolint:bodyclose // read closes it
	require.NoError(t, err)
	f := &follower{t: t, ended: make(chan struct{}), Response: response}
	go f.read()
	f.awaitEnd()
	before := told(t, f.all())
	require.Less(t, len(before), n)
	f = a.stream(bob, f.id())
	require.Equal(t, want, append(before, told(t, f.await(n-len(before)))...))
}

func TestAStreamHasNoGapAndNoDuplicateThoughNATSTheAPIAndTheWorkersAreKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addr, temporal, args := devArgs(t)
	nats := args[len(args)-1]
	env := append([]string{
		"TEMPORAL_ADDRESS=" + temporal, "TWTR_HTTP_ADDR=" + addr, "TWTR_SQLITE_PATH=" + filepath.Join(dir, "twtr.db"), "TWTR_EVENTS_URL=nats://" + nats,
		"TWTR_RATELIMIT_TWEETS=0", "TWTR_RATELIMIT_READS=0",
	}, secretsEnv...)
	start(t, dir, "dev", nil, append([]string{"temporal"}, args[2:]...)...).says(t, "Temporal at "+temporal)
	running := map[string]*process{}
	run := func(name string) {
		switch name {
		case "nats":
			running[name] = start(t, dir, "dev", nil, append([]string{"nats"}, args[2:]...)...)
		case "api":
			running[name] = start(t, dir, "twtr", env, "api")
		case "worker":
			running[name] = start(t, dir, "twtr", env, "worker", "all")
		}
	}
	kill := func(name string) {
		require.NoError(t, running[name].Process.Kill())
		_ = running[name].Wait()
	}
	run("nats")
	migrate := start(t, dir, "twtr", env, "migrate", "--timeout", "1m")
	require.NoError(t, migrate.Wait(), migrate.stderr)
	run("api")
	run("worker")
	s := &stack{t: t, url: "http://" + addr}
	requireHealthy(t, s.url)
	s.eventually("a worker is there", func() bool { return s.call("POST", "/users", "", signUpBody("first")).Status == 200 })
	reader := s.signUp("reader")
	authors := []string{s.signUp("ann"), s.signUp("bob"), s.signUp("carl")}
	for _, name := range []string{"ann", "bob", "carl"} {
		s.follow(reader, name)
	}

	// The reader comes back whenever the stream ends, and now and then by itself.
	var mu sync.Mutex
	received := map[string]int{} // by event and id
	first := s.stream(reader, "")
	require.Eventually(t, func() bool { return first.id() != "" }, time.Minute, time.Millisecond)
	over := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		f := first
		for done := false; !done; {
			select {
			case <-f.ended:
				time.Sleep(50 * time.Millisecond)
			case <-time.After(1500 * time.Millisecond):
			case <-over:
				done = true
			}
			f.close()
			<-f.ended
			mu.Lock()
			for _, one := range f.all() {
				var data struct{ ID string }
				_ = json.Unmarshal([]byte(one.data), &data)
				received[one.event+" "+data.ID]++
			}
			mu.Unlock()
			f = s.tryStream(reader, f.id())
		}
		f.close()
	})

	// The authors post, and delete some of it.
	var posted, maybeDeleted, deleted []string // a deletion whose answer was lost may have been done
	posting := make(chan struct{})
	for _, author := range authors {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-posting:
					return
				case <-time.After(80 * time.Millisecond):
				}
				var one tweet
				a := s.insist("POST", "/tweets", author, map[string]string{"content": fmt.Sprint(n)})
				for ; a.Status == 0 || a.Status == 503; a = s.insist("POST", "/tweets", author, map[string]string{"content": fmt.Sprint(n)}) {
					time.Sleep(100 * time.Millisecond) // the API is down; what it may have accepted is another tweet
				}
				if a.Status != 200 || json.Unmarshal(a.Data, &one) != nil {
					t.Error(a)
					return
				}
				mu.Lock()
				posted = append(posted, one.ID.String())
				mu.Unlock()
				if n%10 != 5 {
					continue
				}
				mu.Lock()
				maybeDeleted = append(maybeDeleted, one.ID.String())
				mu.Unlock()
				if s.call("DELETE", "/tweets/"+one.ID.String(), author, nil).Status == 200 {
					mu.Lock()
					deleted = append(deleted, one.ID.String())
					mu.Unlock()
				}
			}
		})
	}
	for _, together := range [][]string{{"nats"}, {"api"}, {"worker"}, {"nats", "api", "worker"}} {
		time.Sleep(1500 * time.Millisecond)
		for _, name := range together {
			kill(name)
		}
		time.Sleep(time.Second)
		for _, name := range together {
			run(name)
		}
		requireHealthy(t, s.url)
	}
	time.Sleep(1500 * time.Millisecond)
	close(posting)
	missing := func() (missing []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range posted {
			if received["tweet "+id] == 0 && !slices.Contains(maybeDeleted, id) {
				missing = append(missing, id)
			}
		}
		for _, id := range deleted {
			if received["tweet "+id] > 0 && received["delete "+id] == 0 {
				missing = append(missing, "delete "+id)
			}
		}
		return missing
	}
	for end := time.Now().Add(2 * time.Minute); len(missing()) > 0 && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	require.Empty(t, missing())
	close(over)
	all.Wait()
	require.Greater(t, len(posted), 50)
	require.NotEmpty(t, deleted)
	for event, times := range received {
		require.Equal(t, 1, times, event)
	}
	require.Zero(t, received["reset "])
}
