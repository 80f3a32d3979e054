package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func TestFollowersAreListedInOneOrderHoweverManyThereAre(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 60} {
		store := &fakeStore{users: map[string]twtr.User{"ann": {Username: "ann"}}, followers: map[string][]string{}}
		for i := range n {
			store.followers["ann"] = append(store.followers["ann"], fmt.Sprintf("user%d", i))
		}
		var want []string
		for bucket := range twtr.FollowerBuckets {
			names, err := store.Followers(t.Context(), "ann", bucket, "", n)
			require.NoError(t, err)
			want = append(want, names...)
		}
		store.calls = nil
		a := newAPIWith(t, &strings.Builder{}, Config{Store: store})
		var got []string
		for cursor := ""; ; {
			w := serve(t, a, httptest.NewRequest(http.MethodGet, "/users/ann/followers?limit=7"+cursor, nil))
			require.Equal(t, 200, w.Code)
			var page struct {
				Data       []struct{ Username string }
				NextCursor string
			}
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &page))
			for _, user := range page.Data {
				got = append(got, user.Username)
			}
			if page.NextCursor == "" {
				break
			}
			cursor = "&cursor=" + page.NextCursor
		}
		require.True(t, slices.Equal(want, got), "%v, not %v", got, want)
		if n <= 7 {
			require.Equal(t, []string{"first followers"}, store.calls, "of a few followers all are known in one read")
		}
	}
}

func TestAListOfAnUnknownUserIs404(t *testing.T) {
	store := &fakeStore{users: map[string]twtr.User{"ann": {Username: "ann"}}}
	a := newAPIWith(t, &strings.Builder{}, Config{Store: store})
	for path, want := range map[string]int{"/users/ann/followings": 200, "/users/eve/followings": 404, "/users/eve/followers": 404, "/users/e.e/followings": 404} {
		require.Equal(t, want, serve(t, a, httptest.NewRequest(http.MethodGet, path, nil)).Code, path)
	}
}

func TestAProfileHasTheCountsOfFollowersAndFollowings(t *testing.T) {
	store := &fakeStore{
		users:     map[string]twtr.User{"ann": {Username: "ann", DisplayName: "Ann", Email: "ann@example.com", CreatedAt: time.Date(2026, 11, 24, 2, 54, 31, 120e6, time.UTC)}},
		followers: map[string][]string{"bob": {"ann"}, "eve": {"ann"}, "joe": {"bob"}},
		counts:    []twtr.FollowerCount{{Bucket: 0, Count: 3}, {Bucket: 9, Count: 4}},
	}
	a := newAPIWith(t, &strings.Builder{}, Config{Store: store})
	w := serve(t, a, httptest.NewRequest(http.MethodGet, "/users/ann", nil))
	require.JSONEq(t, `{"status":200,"data":{"username":"ann","displayName":"Ann","createdAt":"2026-11-24T02:54:31.120Z","followers":7,"followings":2},"error":""}`, w.Body.String())
	w = serve(t, a, httptest.NewRequest(http.MethodGet, "/users/eve", nil))
	require.JSONEq(t, `{"status":404,"data":null,"error":"there is no user eve","code":"not-found"}`, w.Body.String())
}
