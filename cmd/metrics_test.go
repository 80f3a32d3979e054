package cmd

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
	"github.com/twtr-dev/twtr/api"
	"github.com/twtr-dev/twtr/internal/backlog"
	"github.com/twtr-dev/twtr/internal/events"
	"github.com/twtr-dev/twtr/internal/telemetry"
	"github.com/twtr-dev/twtr/store/sqlite/sqlitetest"
	"github.com/twtr-dev/twtr/workers"
)

// idle is a Temporal on which nothing runs.
type idle struct {
	client.Client
	down error
}

func (i idle) WorkflowService() workflowservice.WorkflowServiceClient {
	return idleService{down: i.down}
}

func (i idle) ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	return &workflowservice.ListWorkflowExecutionsResponse{}, i.down
}

type idleService struct {
	workflowservice.WorkflowServiceClient
	down error
}

func (i idleService) DescribeTaskQueue(context.Context, *workflowservice.DescribeTaskQueueRequest, ...grpc.CallOption) (*workflowservice.DescribeTaskQueueResponse, error) {
	return &workflowservice.DescribeTaskQueueResponse{}, i.down
}

// allMetrics are those of a process with an API and workers that has done a little.
func allMetrics(t *testing.T, temporal client.Client) string {
	ctx := t.Context()
	metrics, err := telemetry.New("v1")
	require.NoError(t, err)
	store, err := metrics.Store(sqlitetest.Open(t), "sqlite", nil)
	require.NoError(t, err)
	handler, err := api.New(api.Config{
		Store: store, Temporal: temporal, Logger: slog.New(slog.DiscardHandler), Metrics: metrics,
		AuthKeys: []api.Key{{ID: "k", Secret: []byte(strings.Repeat("a", 32))}}, SealKeys: []string{strings.Repeat("s", 32)},
		RateLimits: api.RateLimits{Reads: 1},
	})
	require.NoError(t, err)
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/users/authorize", strings.NewReader(`{"username":"ann","password":"correct horse"}`)))
	m, err := activities.NewMetrics(metrics.Provider, "sqlite")
	require.NoError(t, err)
	require.NoError(t, store.PutFollow(ctx, twtr.Follow{Follower: "bob", Followee: "ann", At: time.Now()}))
	_, err = activities.NewFeeds(store, activities.FeedsConfig{Metrics: m}).Backfill(ctx, activities.FeedEdgeInput{Reader: "bob", Author: "ann", At: time.Now()})
	require.NoError(t, err)
	tweet, err := twtr.NewTweetID(time.Now().Add(-time.Minute))
	require.NoError(t, err)
	tweets := activities.Tweets{Store: store, Deliveries: store, Metrics: m}
	require.NoError(t, tweets.StoreReceipt(ctx, receipt(tweet)))
	conn, err := events.Connect("nats://127.0.0.1:1", events.Options{Meter: metrics.Provider})
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	require.Error(t, conn.Publish(ctx, twtr.DeletedEvent(tweet, "ann", time.Now())))
	observer, err := backlog.New(metrics.Provider, temporal, "default", workers.Domains())
	require.NoError(t, err)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	observer.Run(canceled) // one round
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func receipt(id uuid.UUID) twtr.Receipt {
	return twtr.Receipt{TweetID: id, Username: "ann", State: twtr.DeliveryComplete, Delivered: 3, CompletedAt: twtr.TimeOf(id).Add(2 * time.Second)}
}

func TestTheTableOfMetricsIsWhatProcessesExpose(t *testing.T) {
	exposed := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^# TYPE ((?:twtr|http_server|target_info)\w*) `).FindAllStringSubmatch(allMetrics(t, idle{}), -1) {
		exposed[line[1]] = true
	}
	text, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "\n## Metrics\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|.*\\|.*\\|.*\\|$").FindAllStringSubmatch(section, -1) {
		require.False(t, documented[row[1]], "%s twice", row[1])
		documented[row[1]] = true
	}
	require.Equal(t, slices.Sorted(maps.Keys(exposed)), slices.Sorted(maps.Keys(documented)))
}

func TestTheLagIsFromThePostToTheEndOfTheDelivery(t *testing.T) {
	text := allMetrics(t, idle{})
	require.Contains(t, text, `twtr_delivery_lag_seconds_sum{feeds="to 100"} 2`)
	require.Contains(t, text, "twtr_deliveries_completed_total 1")
	require.Contains(t, text, `target_info{service_name="twtr",service_version="v1"} 1`)
}

func TestWithoutTemporalItsMetricsAreGoneAndSaidToBe(t *testing.T) {
	down := allMetrics(t, idle{down: errors.New("refused")})
	require.Contains(t, down, "twtr_temporal_up 0")
	require.NotContains(t, down, "twtr_deliveries_running")
	up := allMetrics(t, idle{})
	require.Contains(t, up, "twtr_temporal_up 1")
	require.Contains(t, up, "twtr_deliveries_running 0")
	require.Contains(t, up, `twtr_queue_pollers{queue="feeds",type="activity"} 0`)
}
