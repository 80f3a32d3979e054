package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithoutEventsThereAreNoLiveFeeds(t *testing.T) {
	a := newAPI(t, &strings.Builder{})
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r := httptest.NewRequest(method, streamPath, nil)
		require.Equal(t, http.StatusUnauthorized, serve(t, a, r).Code)
		w := serve(t, a, request(t, a, "ann", method, streamPath, "", ""))
		require.Equal(t, http.StatusNotFound, w.Code)
		if method == http.MethodGet {
			require.JSONEq(t, `{"status":404,"data":null,"error":"there are no live feeds here: read GET /feeds/me again and again","code":"not-found"}`, w.Body.String())
		}
	}
}
