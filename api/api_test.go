package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/telemetry"
)

func newAPI(t *testing.T, logs io.Writer) *API {
	return newAPIWith(t, logs, Config{})
}

// newAPIWith makes an API with what c has; the logs are of level DEBUG.
func newAPIWith(t *testing.T, logs io.Writer, c Config) *API {
	if c.Metrics == nil {
		c.Metrics = newMetrics(t)
	}
	c.AuthKeys, c.SealKeys = []Key{key(t, "k")}, []string{"secret"}
	c.Logger = slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a, err := New(c)
	require.NoError(t, err)
	return a
}

func newMetrics(t *testing.T) *telemetry.Metrics {
	metrics, err := telemetry.New("test")
	require.NoError(t, err)
	return metrics
}

// scrape reads the metrics as Prometheus does.
func scrape(metrics *telemetry.Metrics) string {
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// request is a request of the user, with an access token; the header is written "Name: value", "" for none.
func request(t *testing.T, a *API, username, method, path, body, header string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	token, err := a.tokens.issue(identity{username, uuid.New()})
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	if name, value, ok := strings.Cut(header, ": "); ok {
		r.Header.Set(name, value)
	}
	return r
}

func TestAPanicIsAnswered500WithoutDetail(t *testing.T) {
	var logs strings.Builder
	a := newAPI(t, &logs) // without a store: reading from it panics
	w := serve(t, a, httptest.NewRequest(http.MethodGet, "/tweets/ann", nil))
	require.Equal(t, 500, w.Code)
	require.JSONEq(t, `{"status":500,"data":null,"error":"something went wrong on our side","code":"internal"}`, w.Body.String())
	require.Contains(t, logs.String(), "nil pointer dereference")
}

func TestARequestKeepsItsIDIfThatIsHarmless(t *testing.T) {
	var logs strings.Builder
	a := newAPI(t, &logs)
	id := func(given string) string {
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		r.Header.Set("X-Request-Id", given)
		return serve(t, a, r).Header().Get("X-Request-Id")
	}
	require.Equal(t, "a-b.c_1", id("a-b.c_1"))
	require.Contains(t, logs.String(), `"request_id":"a-b.c_1"`)
	for _, bad := range []string{"", "a b", "a\"b", strings.Repeat("a", 65)} {
		require.Len(t, id(bad), 36, "a new one")
	}
}

func TestPathQueryAndHeadersAreNotLogged(t *testing.T) {
	var logs strings.Builder
	r := httptest.NewRequest(http.MethodGet, "/SECRET?token=SECRET", nil)
	r.Header.Set("Authorization", "Bearer SECRET")
	serve(t, newAPI(t, &logs), r)
	require.Contains(t, logs.String(), `"status":404`)
	require.NotContains(t, logs.String(), "SECRET")
}

func TestEveryCodeHasAStatus(t *testing.T) {
	for _, code := range []twtr.Code{twtr.Malformed, twtr.Unauthenticated, twtr.Forbidden, twtr.NotFound, twtr.WrongMethod, twtr.Conflict,
		twtr.TooLarge, twtr.Unsupported,
		twtr.TooSlow, twtr.Invalid, twtr.TooManyRequests, clientClosed, twtr.Unavailable, twtr.Internal} {
		require.NotZero(t, statuses[code], code)
	}
}

// logLines are the lines of that message.
func logLines(t *testing.T, logs *strings.Builder, message string) (lines []map[string]any) {
	for text := range strings.Lines(logs.String()) {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line))
		if line["msg"] == message {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestEachRequestIsLoggedAndProbesAreForDebugging(t *testing.T) {
	var logs strings.Builder
	a := newAPI(t, &logs)
	for path, level := range map[string]string{"/healthz": "DEBUG", "/docs": "INFO", "/nowhere": "INFO"} {
		logs.Reset()
		id := serve(t, a, httptest.NewRequest(http.MethodGet, path, nil)).Header().Get("X-Request-Id")
		lines := logLines(t, &logs, "request")
		require.Len(t, lines, 1)
		require.Equal(t, level, lines[0]["level"], path)
		require.Equal(t, id, lines[0]["request_id"])
		require.IsType(t, 0.0, lines[0]["took_ms"])
	}
}

func TestTheLogOfARequestSaysWhoseItWas(t *testing.T) {
	var logs strings.Builder
	a := newAPIWith(t, &logs, Config{Store: &fakeStore{}})
	serve(t, a, request(t, a, "ann", http.MethodGet, "/feeds/me", "", ""))
	get(t, a, "/tweets/ann")
	lines := logLines(t, &logs, "request")
	require.Len(t, lines, 2)
	require.Equal(t, "ann", lines[0]["user"])
	require.NotContains(t, lines[1], "user")
	require.Equal(t, "192.0.2.1", lines[1]["client"]) // httptest's
}

// deaf is a Temporal that has no worker for an update or, if it is down, does not answer at all.
type deaf struct {
	client.Client
	down error
}

func (d deaf) NewWithStartWorkflowOperation(client.StartWorkflowOptions, any, ...any) client.WithStartWorkflowOperation {
	return nil
}

func (d deaf) UpdateWithStartWorkflow(ctx context.Context, _ client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (d deaf) CheckHealth(context.Context, *client.CheckHealthRequest) (*client.CheckHealthResponse, error) {
	return nil, d.down
}

func TestTheLogSaysWhetherTemporalOrAWorkerDidNotAnswer(t *testing.T) {
	for _, c := range []struct {
		down             error
		dependency, text string
	}{
		{nil, "workers of task queue followers", "no worker of task queue followers answered within 5s"},
		{errors.New("refused"), "Temporal", "no answer from Temporal within 5s: refused"},
	} {
		var logs strings.Builder
		a := newAPIWith(t, &logs, Config{Store: &fakeStore{users: map[string]twtr.User{"ann": {}, "bob": {}}}, Temporal: deaf{down: c.down}})
		r := request(t, a, "ann", http.MethodPost, "/follow", `{"followingUsername":"bob"}`, "")
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Millisecond)
		require.Equal(t, 503, serve(t, a, r.WithContext(ctx)).Code)
		cancel()
		line := logLines(t, &logs, "dependency unavailable")[0]
		require.Equal(t, c.dependency, line["dependency"])
		require.Equal(t, c.text, line["error"])
	}
}

func TestAnUnavailableDependencyIsNamedInTheLogAndTheClientMayTryAgain(t *testing.T) {
	var logs strings.Builder
	store := &fakeStore{err: &twtr.Error{Code: twtr.Unavailable, Message: "the store does not answer", Err: errors.New("SECRET")}}
	a := newAPIWith(t, &logs, Config{Store: store})
	w := serve(t, a, httptest.NewRequest(http.MethodGet, "/tweets/ann", nil))
	require.Equal(t, 503, w.Code)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.JSONEq(t, `{"status":503,"data":null,"error":"the store does not answer; try again in a second","code":"unavailable"}`, w.Body.String())
	lines := logLines(t, &logs, "dependency unavailable")
	require.Len(t, lines, 1)
	require.Equal(t, "store", lines[0]["dependency"])
}

func TestAStoreThatIsTooSlowIs503AndAClientThatDoesNotWaitIs499WithoutAWarning(t *testing.T) {
	for _, err := range []error{context.DeadlineExceeded, fmt.Errorf("read: %w", context.Canceled), twtr.Errorf(twtr.Unavailable, "too slow")} {
		for client, want := range map[string]int{"waits": 503, "does not wait": 499} {
			var logs strings.Builder
			metrics := newMetrics(t)
			a := newAPIWith(t, &logs, Config{Store: &fakeStore{err: err}, Metrics: metrics})
			r := httptest.NewRequest(http.MethodGet, "/tweets/ann", nil)
			if client == "does not wait" {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				r = r.WithContext(ctx)
			}
			w := httptest.NewRecorder()
			a.ServeHTTP(w, r) // 499 is no part of the contract: no client sees it
			require.Equal(t, want, w.Code, "%v, and the client %s", err, client)
			line := logLines(t, &logs, "request")[0]
			require.EqualValues(t, want, line["status"])
			require.Equal(t, "INFO", line["level"])
			require.Equal(t, want == 503, strings.Contains(logs.String(), "WARN"))
			require.Contains(t, scrape(metrics), fmt.Sprintf(`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="%d",http_route="/tweets/:username",url_scheme="http"} 1`, want))
		}
	}
}
