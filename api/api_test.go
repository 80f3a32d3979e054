package api

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/telemetry"
)

func newAPI(t *testing.T, logs *strings.Builder) *API {
	metrics, err := telemetry.New()
	require.NoError(t, err)
	a, err := New(Config{AuthKeys: []Key{key(t, "k")}, SealKey: "secret", Logger: slog.New(slog.NewTextHandler(logs, nil)), Metrics: metrics})
	require.NoError(t, err)
	return a
}

func TestAPanicIsAnswered500WithoutDetail(t *testing.T) {
	var logs strings.Builder
	a := newAPI(t, &logs) // without a store: whatever needs one panics
	w := serve(t, a, httptest.NewRequest(http.MethodGet, "/tweets/ann", nil))
	require.Equal(t, 500, w.Code)
	require.JSONEq(t, `{"status":500,"data":null,"error":"something went wrong on our side"}`, w.Body.String())
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
	require.Contains(t, logs.String(), "request=a-b.c_1")
	for _, bad := range []string{"", "a b", "a\"b", strings.Repeat("a", 65)} {
		require.Len(t, id(bad), 36, "one of ours")
	}
}

func TestWhatIsInAPathQueryOrHeaderIsNotLogged(t *testing.T) {
	var logs strings.Builder
	r := httptest.NewRequest(http.MethodGet, "/SECRET?token=SECRET", nil)
	r.Header.Set("Authorization", "Bearer SECRET")
	serve(t, newAPI(t, &logs), r)
	require.Contains(t, logs.String(), "status=404")
	require.NotContains(t, logs.String(), "SECRET")
}

func TestEveryCodeHasAStatus(t *testing.T) {
	for _, code := range []twtr.Code{twtr.Malformed, twtr.Unauthenticated, twtr.Forbidden, twtr.NotFound, twtr.WrongMethod, twtr.Conflict,
		twtr.TooLarge, twtr.Invalid, twtr.TooManyRequests, twtr.Unavailable, twtr.Internal} {
		require.NotZero(t, statuses[code], code)
	}
}
