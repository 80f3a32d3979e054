package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func scrape(m *Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestEachMethodOfTheStoreIsMeasured(t *testing.T) {
	methods := reflect.TypeFor[twtr.Store]()
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		if name == "Close" || name == "Ping" {
			continue
		}
		own, ok := reflect.TypeFor[*observedStore]().MethodByName(name)
		require.True(t, ok)
		entry := own.Func.Pointer()
		file, _ := runtime.FuncForPC(entry).FileLine(entry)
		require.Equal(t, "store.go", filepath.Base(file), "%s is that of the embedded store, which nothing measures", name)
	}
}

// users is a store that has no user.
type users struct{ twtr.Store }

func (users) User(context.Context, string) (twtr.User, error) {
	return twtr.User{}, twtr.Errorf(twtr.NotFound, "there is none")
}

func TestACallIsCountedByItsMethodAndOutcome(t *testing.T) {
	m, err := New("test")
	require.NoError(t, err)
	store, err := m.Store(users{}, "none", nil)
	require.NoError(t, err)
	_, err = store.User(t.Context(), "ann")
	require.Equal(t, twtr.NotFound, twtr.ErrorCode(err))
	require.Contains(t, scrape(m), `twtr_store_call_duration_seconds_count{engine="none",method="User",outcome="not-found"} 1`)
	require.NotContains(t, scrape(m), "ann")
}

func TestTheOutcomeOfACallTellsAnswersFromFailures(t *testing.T) {
	for want, err := range map[string]error{
		"ok":          nil,
		"not-found":   twtr.Errorf(twtr.NotFound, "no user"),
		"conflict":    fmt.Errorf("put: %w", twtr.Errorf(twtr.Conflict, "taken")),
		"unavailable": &twtr.Error{Code: twtr.Unavailable, Err: errors.New("no host")},
		"timeout":     context.DeadlineExceeded,
		"canceled":    context.Canceled,
		"refused":     errors.New("too large"),
	} {
		require.Equal(t, want, outcome(err))
	}
}

func TestDurationsOfTheTemporalSDKFallIntoBucketsOfSeconds(t *testing.T) {
	m, err := New("test")
	require.NoError(t, err)
	m.Temporal().Timer("temporal_activity_execution_latency").Record(20 * time.Millisecond)
	require.Contains(t, scrape(m), `temporal_activity_execution_latency_seconds_bucket{le="0.01"} 0`)
	require.Contains(t, scrape(m), `temporal_activity_execution_latency_seconds_bucket{le="0.025"} 1`)
}
