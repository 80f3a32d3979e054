package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

// post posts a tweet of ann's, and returns the response.
func post(t *testing.T, a *API, body, header string) *httptest.ResponseRecorder {
	return serve(t, a, request(t, a, "ann", http.MethodPost, "/tweets", body, header))
}

func TestATweetIsPostedByStartingItsWorkflowAndThenWritingIt(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 678_000_000, time.UTC) // of this process, whatever the machine says
	store := &fakeStore{}
	temporal := &fakeTemporal{store: store}
	a := newAPIWith(t, &strings.Builder{}, Config{Store: store, Temporal: temporal, Now: func() time.Time { return now }})
	w := post(t, a, `{"content":"hello, <world> \u2028","id":"ignored"}`, "")
	require.Equal(t, 200, w.Code, w.Body)
	require.Len(t, store.tweets, 1)
	tweet := store.tweets[0]
	require.Equal(t, []string{"start " + workflows.PostTweetID(tweet.ID), "put " + tweet.ID.String()}, store.calls)
	require.Equal(t, []twtr.Tweet{tweet}, temporal.posted)
	require.WithinDuration(t, now, tweet.CreatedAt(), time.Second)
	require.JSONEq(t, fmt.Sprintf(`{"status":200,"data":{"id":"%s","username":"ann","content":"hello, <world> \u2028","createdAt":"%s"},"error":""}`,
		tweet.ID, tweet.CreatedAt().Format("2006-01-02T15:04:05.000Z")), w.Body.String())
	require.Contains(t, w.Body.String(), string(tweet.Body), "byte for byte")
}

func TestATweetThatBreaksARuleIsNotPosted(t *testing.T) {
	store := &fakeStore{}
	a := newAPIWith(t, &strings.Builder{}, Config{Store: store, Temporal: &fakeTemporal{store: store}})
	for body, want := range map[string]int{`{}`: 422, `{"content":" "}`: 422, `{"content":1}`: 400, `{"content":"` + strings.Repeat("x", 281) + `"}`: 422} {
		require.Equal(t, want, post(t, a, body, "").Code, body)
	}
	for _, key := range []string{"Idempotency-Key: ä", "Idempotency-Key: a b", "Idempotency-Key: " + strings.Repeat("a", 256)} {
		require.Equal(t, 422, post(t, a, `{"content":"x"}`, key).Code, key)
	}
	require.Empty(t, store.calls)
}

func TestTheSameIdempotencyKeyPostsTheSameTweet(t *testing.T) {
	store := &fakeStore{}
	a := newAPIWith(t, &strings.Builder{}, Config{Store: store, Temporal: &fakeTemporal{store: store}})
	first := post(t, a, `{"content":"hello"}`, "Idempotency-Key: k")
	require.Equal(t, 200, first.Code)
	id := store.tweets[0].ID
	again := post(t, a, `{ "content": "hel\u006co" }`, "Idempotency-Key: k")
	require.Equal(t, first.Body.String(), again.Body.String())
	once := []string{"claim", "start " + workflows.PostTweetID(id), "put " + id.String()}
	require.Equal(t, append(once, once...), store.calls)

	other := post(t, a, `{"content":"Hello"}`, "Idempotency-Key: k")
	require.JSONEq(t, `{"status":422,"data":null,"error":"Idempotency-Key was used for a tweet with different content: use a new key","code":"invalid","field":"Idempotency-Key",
		"fields":[{"field":"Idempotency-Key","error":"Idempotency-Key was used for a tweet with different content: use a new key"}]}`, other.Body.String())
	require.Equal(t, 200, post(t, a, `{"content":"Hello"}`, "Idempotency-Key: l").Code)
}

func TestATweetThatMayHaveBeenAcceptedIsToBeRepeatedOnlyByItsKey(t *testing.T) {
	const (
		keyed   = "; the tweet may have been accepted all the same, and appear soon: the same Idempotency-Key joins it; try again in a second"
		keyless = "; the tweet may have been accepted all the same, and appear soon: look before you post it again"
	)
	unavailable := twtr.Errorf(twtr.Unavailable, "the store does not answer")
	for _, c := range []struct {
		temporal, store    error
		header, retryAfter string
		message            string
	}{
		{serviceerror.NewUnavailable("x"), nil, "", "", "the service is busy or starting" + keyless},
		{serviceerror.NewUnavailable("x"), nil, "Idempotency-Key: k", "1", "the service is busy or starting" + keyed},
		{nil, unavailable, "", "", "the store does not answer" + keyless},
	} {
		var logs strings.Builder
		store := &fakeStore{err: c.store}
		a := newAPIWith(t, &logs, Config{Store: store, Temporal: &fakeTemporal{store: store, err: c.temporal}})
		w := post(t, a, `{"content":"hello"}`, c.header)
		require.Equal(t, 503, w.Code)
		require.Equal(t, c.retryAfter, w.Header().Get("Retry-After"))
		require.JSONEq(t, fmt.Sprintf(`{"status":503,"data":null,"error":%q,"code":"unavailable"}`, c.message), w.Body.String())
		require.Equal(t, c.temporal != nil, strings.Contains(logs.String(), `"dependency":"Temporal"`), logs.String())
	}
	require.Equal(t, "the store does not answer", unavailable.Error(), "the error itself is not changed")

	// A claim that fails has accepted nothing.
	store := &fakeStore{err: unavailable}
	w := post(t, newAPIWith(t, &strings.Builder{}, Config{Store: store}), `{"content":"hello"}`, "Idempotency-Key: k")
	require.JSONEq(t, `{"status":503,"data":null,"error":"the store does not answer; try again in a second","code":"unavailable"}`, w.Body.String())
}

func TestAStartThatIsNotAllowedIsAFaultOfOurs(t *testing.T) {
	store := &fakeStore{}
	a := newAPIWith(t, &strings.Builder{}, Config{Store: store, Temporal: &fakeTemporal{store: store, err: errors.New("no such namespace")}})
	require.Equal(t, 500, post(t, a, `{"content":"hello"}`, "").Code)
	require.Empty(t, store.tweets)
}

// A page is put together from the tweets' documents; it must be what encoding the whole envelope gives.
func TestAPageIsTheEnvelopeOfItsItems(t *testing.T) {
	for _, next := range []string{"", "UrQSc7i9TGcBogt6ZgV1wpOgVWBvY9EB"} {
		for n := range 3 {
			p := page{items: make([]json.RawMessage, n), next: next}
			for i := range p.items {
				tweet, err := twtr.NewTweet(uuid.Must(uuid.NewV7()), "ann", twtr.Post{Content: "\"<&>\u2028\x01 é"})
				require.NoError(t, err)
				p.items[i] = tweet.Body
			}
			want, err := json.Marshal(envelope{Status: 200, Data: p.items, NextCursor: next})
			require.NoError(t, err)
			require.Equal(t, string(want)+"\n", string(p.appendEnvelope(nil)))
		}
	}
}

func TestAListIsReadPageByPageAndThatOfAnUnknownUserIs404(t *testing.T) {
	store := &fakeStore{users: map[string]twtr.User{"bob": {Username: "bob"}}}
	for range 3 {
		tweet, err := twtr.NewTweet(uuid.Must(uuid.NewV7()), "ann", twtr.Post{Content: "x"})
		require.NoError(t, err)
		require.NoError(t, store.PutTweet(t.Context(), tweet))
	}
	a := newAPIWith(t, &strings.Builder{}, Config{Store: store})
	get := func(path string) *httptest.ResponseRecorder {
		return serve(t, a, httptest.NewRequest(http.MethodGet, path, nil))
	}
	first := get("/tweets/ann?limit=2")
	var body envelope
	require.NoError(t, json.Unmarshal(first.Body.Bytes(), &body))
	require.JSONEq(t, fmt.Sprintf(`{"status":200,"data":[%s,%s],"error":"","nextCursor":"%s"}`, store.tweets[0].Body, store.tweets[1].Body, body.NextCursor), first.Body.String())
	require.Equal(t, fmt.Sprint(first.Body.Len()), first.Header().Get("Content-Length"))
	require.Equal(t, fmt.Sprintf(`</tweets/ann?cursor=%s&limit=2>; rel="next"`, body.NextCursor), first.Header().Get("Link"))
	require.JSONEq(t, fmt.Sprintf(`{"status":200,"data":[%s],"error":""}`, store.tweets[2].Body), get("/tweets/ann?limit=2&cursor="+body.NextCursor).Body.String())
	require.JSONEq(t, `{"status":200,"data":[],"error":""}`, get("/tweets/bob").Body.String())
	require.Equal(t, 404, get("/tweets/eve").Code)
	require.Equal(t, 404, get("/tweets/"+strings.Repeat("x", 17)).Code)
}
