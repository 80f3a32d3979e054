package cmd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/telemetry"
)

type pingStore struct {
	twtr.Store
	err error
}

func (s *pingStore) Ping(context.Context) error { return s.err }

type healthClient struct {
	client.Client
	err error
}

func (c *healthClient) CheckHealth(context.Context, *client.CheckHealthRequest) (*client.CheckHealthResponse, error) {
	return &client.CheckHealthResponse{}, c.err
}

// opsPort serves the ops port of an App on that store and Temporal, and returns what requests to it get.
func opsPort(t *testing.T, c OpsConfig, works bool, store *pingStore, temporal *healthClient) (get func(path string) (int, string)) {
	metrics, err := telemetry.New("test")
	require.NoError(t, err)
	a := &App{log: slog.New(slog.DiscardHandler), metrics: metrics, store: store, temporal: temporal}
	server := httptest.NewUnstartedServer(nil)
	server.Config = a.opsServer(c, works)
	server.Start()
	t.Cleanup(server.Close)
	return func(path string) (int, string) {
		response, err := http.Get(server.URL + path)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
}

func TestAnAPIIsReadyWithoutTemporalAndAWorkerNeedsBoth(t *testing.T) {
	down := errors.New("down")
	for _, c := range []struct {
		works           bool
		store, temporal error
		status          int
		body            string
	}{
		{false, nil, down, 200, "ready"},
		{false, down, nil, 503, "the store is unavailable\n"},
		{true, nil, nil, 200, "ready"},
		{true, nil, down, 503, "Temporal is unavailable\n"},
		{true, down, nil, 503, "the store is unavailable\n"},
	} {
		get := opsPort(t, OpsConfig{}, c.works, &pingStore{err: c.store}, &healthClient{err: c.temporal})
		status, body := get("/readyz")
		require.Equal(t, c.status, status, "%+v", c)
		require.Equal(t, c.body, body)
		status, body = get("/healthz")
		require.Equal(t, 200, status)
		require.Equal(t, "ok", body)
		status, body = get("/metrics")
		require.Equal(t, 200, status)
		require.Contains(t, body, "go_goroutines")
	}
}

func TestProfilesAreServedOnlyIfTheSettingSaysSo(t *testing.T) {
	paths := []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1"}
	for enabled, want := range map[bool]int{false: 404, true: 200} {
		get := opsPort(t, OpsConfig{Pprof: enabled}, true, &pingStore{}, &healthClient{})
		for _, path := range paths {
			status, _ := get(path)
			require.Equal(t, want, status, path)
		}
	}
}
