package subscriber_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/natsserver"
	"github.com/twtr-dev/twtr/dev/subscriber"
	"github.com/twtr-dev/twtr/internal/events"
)

func TestTheDocumentShowsTheExample(t *testing.T) {
	source, err := os.ReadFile("subscriber.go")
	require.NoError(t, err)
	_, code, ok := strings.Cut(string(source), "// Run calls")
	require.True(t, ok)
	document, err := os.ReadFile("../../docs/events.md")
	require.NoError(t, err)
	require.Contains(t, string(document), "// Run calls"+code)
}

func TestTheExampleReplaysFromATimeAndGoesOnWhereItWas(t *testing.T) {
	server, err := natsserver.Start("127.0.0.1:0", t.TempDir())
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	conn, err := events.Connect(server.URL(), events.Options{})
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	require.NoError(t, conn.Migrate(t.Context(), events.StreamConfig{Replicas: 1, MaxAge: time.Hour, MaxMegabytes: 1}))
	publish := func(author string) string {
		e := twtr.DeletedEvent(uuid.New(), author, time.Now())
		require.NoError(t, conn.Publish(t.Context(), e))
		return e.ID
	}
	publish("ann") // before
	time.Sleep(10 * time.Millisecond)
	since := time.Now()
	first, second := publish("ann"), publish("ann")
	publish("bob")

	got, failed := make(chan string, 10), false
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- subscriber.Run(ctx, server.URL(), "test", "twtr.tweets.*.ann", since, func(e cloudevents.Event) error {
				if !failed {
					failed = true
					return errors.New("not now")
				}
				got <- e.ID()
				return nil
			})
		}()
		return func() {
			cancel()
			require.NoError(t, <-done)
		}
	}
	stop := run()
	require.ElementsMatch(t, []string{first, second}, []string{<-got, <-got})
	stop()
	third := publish("ann")
	stop = run()
	require.Equal(t, third, <-got)
	stop()
	require.Empty(t, got)
}
