package natsserver_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/natsserver"
	"github.com/twtr-dev/twtr/internal/events"
)

func start(t *testing.T, addr, dir string) *natsserver.Server {
	s, err := natsserver.Start(addr, dir)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s
}

func connect(t *testing.T, url string) *events.Conn {
	c, err := events.Connect(url, events.Options{})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

var config = events.StreamConfig{Replicas: 1, MaxAge: time.Hour, MaxMegabytes: 1}

func TestAnEventIsStoredOnceAndReachesPlainSubscribers(t *testing.T) {
	c := connect(t, start(t, "127.0.0.1:0", t.TempDir()).URL())
	require.Eventually(t, c.IsConnected, 5*time.Second, time.Millisecond)
	for range 2 {
		require.NoError(t, c.Migrate(t.Context(), config))
	}
	received := make(chan *nats.Msg, 10)
	_, err := c.ChanSubscribe(events.DomainSubject("tweets", "ann"), received)
	require.NoError(t, err)
	require.NoError(t, c.Flush())
	tweet, err := twtr.NewTweet(uuid.Must(uuid.NewV7()), "ann", twtr.Post{Content: "hello, <world> & \"all\""})
	require.NoError(t, err)
	event := twtr.PostedEvent(tweet)
	for range 2 {
		require.NoError(t, c.Publish(t.Context(), event))
	}
	message := <-received
	require.Equal(t, "twtr.tweets.posted.ann", message.Subject)
	parsed, err := events.Parse(message.Data)
	require.NoError(t, err)
	require.Equal(t, event, parsed)
	data, err := parsed.Decode()
	require.NoError(t, err)
	require.Equal(t, twtr.Posted{ID: tweet.ID, Username: "ann", Post: twtr.Post{Content: "hello, <world> & \"all\""},
		CreatedAt: twtr.Timestamp(tweet.CreatedAt())}, data)
	stream, err := c.JetStream().Stream(t.Context(), events.Stream)
	require.NoError(t, err)
	require.EqualValues(t, 1, stream.CachedInfo().State.Msgs)
}

func TestAConnectionOutlivesItsServerAndNeedsNoneToBegin(t *testing.T) {
	dir := t.TempDir()
	first := start(t, "127.0.0.1:0", dir)
	addr := first.Addr().String()
	first.Stop()
	began := time.Now()
	c := connect(t, "nats://"+addr)
	require.Less(t, time.Since(began), time.Second)
	event := twtr.DeletedEvent(uuid.New(), "ann", time.Now())
	require.ErrorContains(t, c.Publish(t.Context(), event), "NATS is not connected")
	second := start(t, addr, dir)
	require.Eventually(t, c.IsConnected, 5*time.Second, time.Millisecond)
	require.Error(t, c.Publish(t.Context(), event), "there is no stream")
	require.NoError(t, c.Migrate(t.Context(), config))
	require.NoError(t, c.Publish(t.Context(), event))
	second.Stop()
	require.Eventually(t, func() bool { return !c.IsConnected() }, 5*time.Second, time.Millisecond)
	require.Error(t, c.Publish(t.Context(), event))
	start(t, addr, dir)
	require.Eventually(t, func() bool { return c.Publish(t.Context(), event) == nil }, 5*time.Second, 10*time.Millisecond)
}
