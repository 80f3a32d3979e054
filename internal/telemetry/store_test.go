package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/store/sqlite/sqlitetest"
)

func scrape(m *Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// eachCall calls each method of the store that is measured, with zeros.
func eachCall(store twtr.Store, before func() context.Context, after func(method string)) {
	methods := reflect.TypeFor[twtr.Store]()
	for i := range methods.NumMethod() {
		method := methods.Method(i)
		if method.Name == "Ping" || method.Name == "Close" {
			continue
		}
		args := []reflect.Value{reflect.ValueOf(before())}
		for i := 1; i < method.Type.NumIn(); i++ {
			args = append(args, reflect.Zero(method.Type.In(i)))
		}
		reflect.ValueOf(store).MethodByName(method.Name).Call(args)
		after(method.Name)
	}
}

func TestEachMethodOfTheStoreIsMeasuredWithASpanOrWithout(t *testing.T) {
	traces, spans := recorded(t)
	inSpan, span := traces.Tracer().Start(t.Context(), "test")
	defer span.End()
	opened := sqlitetest.Open(t)
	for _, ctx := range []context.Context{t.Context(), inSpan} {
		m, err := New("test")
		require.NoError(t, err)
		store, err := m.Store(opened, "sqlite", traces)
		require.NoError(t, err)
		eachCall(store, func() context.Context { return ctx }, func(method string) {
			require.Regexp(t, `\ntwtr_store_call_duration_seconds_count\{engine="sqlite",method="`+method+`",outcome="[a-z-]+"\} 1\n`, scrape(m))
		})
	}
	require.NotEmpty(t, spans.GetSpans())
}

// slow is a store that has no user, and takes three seconds to write a feed.
type slow struct{ twtr.Store }

func (slow) User(context.Context, string) (twtr.User, error) {
	return twtr.User{}, twtr.Errorf(twtr.NotFound, "there is none")
}

func (slow) PutFeedItem(context.Context, twtr.Tweet, []string) error {
	time.Sleep(3 * time.Second)
	return nil
}

func TestCallsAreMeasuredByTheirMethodAndOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := New("test")
		require.NoError(t, err)
		store, err := m.Store(slow{}, "none", nil)
		require.NoError(t, err)
		_, err = store.User(t.Context(), "ann")
		require.Equal(t, twtr.NotFound, twtr.ErrorCode(err))
		require.NoError(t, store.PutFeedItem(t.Context(), twtr.Tweet{Username: "ann"}, []string{"bob", "eve"}))
		text := scrape(m)
		for _, line := range []string{
			`twtr_store_call_duration_seconds_count{engine="none",method="User",outcome="not-found"} 1`,
			`twtr_store_rows_total{engine="none",method="User",outcome="not-found"} 1`,
			`twtr_store_call_duration_seconds_sum{engine="none",method="PutFeedItem",outcome="ok"} 3`,
			`twtr_store_call_duration_seconds_bucket{engine="none",method="PutFeedItem",outcome="ok",le="2.5"} 0`,
			`twtr_store_call_duration_seconds_bucket{engine="none",method="PutFeedItem",outcome="ok",le="5"} 1`,
			`twtr_store_rows_total{engine="none",method="PutFeedItem",outcome="ok"} 2`,
		} {
			require.Contains(t, text, line+"\n")
		}
		require.NotContains(t, text, "ann")
	})
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
