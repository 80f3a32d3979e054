package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

// tweetOf is a new tweet.
func tweetOf(t *testing.T, username, content string) twtr.Tweet {
	tweet, err := twtr.NewTweet(uuid.Must(uuid.NewV7()), username, twtr.Post{Content: content})
	require.NoError(t, err)
	return tweet
}

func get(t *testing.T, a *API, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Add(name, value)
	}
	return serve(t, a, r)
}

func TestAnErrorNamesItsKindAndTheFieldsThatBreakARule(t *testing.T) {
	a := newAPIWith(t, io.Discard, Config{Store: &fakeStore{}})
	for path, want := range map[string]string{
		"/tweets/ann?limit=0":                         `"error":"limit must be a number from 1 to 100","code":"invalid","field":"limit"`,
		"/tweets/ann?cursor=x":                        `"error":"cursor must be the nextCursor of an earlier page of this list","code":"invalid","field":"cursor"`,
		"/tweets/ann?after=x":                         `"error":"after must be the id of a tweet","code":"invalid","field":"after"`,
		"/tweets/ann?after=":                          `"error":"after must be the id of a tweet","code":"invalid","field":"after"`,
		"/users/ann/tweets?after=" + uuid.NewString(): `"error":"after must be the id of a tweet","code":"invalid","field":"after"`,
	} {
		w := get(t, a, path)
		require.Equal(t, 422, w.Code, path)
		var e struct {
			Error, Field string
			Fields       json.RawMessage
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &e))
		require.Equal(t, fmt.Sprintf(`{"status":422,"data":null,%s,"fields":[{"field":%q,"error":%q}]}`, want, e.Field, e.Error)+"\n", w.Body.String())
	}
	key := "Idempotency-Key must have 1 to 255 visible ASCII characters"
	w := post(t, a, `{"content":"x"}`, "Idempotency-Key: a b")
	require.JSONEq(t, fmt.Sprintf(`{"status":422,"data":null,"error":%q,"code":"invalid","field":"Idempotency-Key","fields":[{"field":"Idempotency-Key","error":%q}]}`,
		key, key), w.Body.String())
	require.JSONEq(t, `{"status":404,"data":null,"error":"there is nothing at this path","code":"not-found"}`, get(t, a, "/nowhere").Body.String())
}

func TestHEADIsWhereverGETIsWithTheSameHeadersAndNoBody(t *testing.T) {
	tweet := tweetOf(t, "ann", "hello")
	store := &fakeStore{users: map[string]twtr.User{"ann": {Username: "ann"}}, tweets: []twtr.Tweet{tweet},
		receipts: map[uuid.UUID]twtr.Receipt{tweet.ID: {Username: "ann", State: twtr.DeliveryComplete}}}
	a := newAPIWith(t, io.Discard, Config{Store: store})
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	answer := func(method, path string) (int, http.Header, string) {
		r := request(t, a, "ann", method, path, "", "X-Request-Id: 1")
		r.RequestURI = ""
		r.URL.Scheme, r.URL.Host = "http", server.Listener.Addr().String()
		response, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		response.Header.Del("Date")
		return response.StatusCode, response.Header, string(body)
	}
	var paths []string
	for _, r := range a.gin.Routes() {
		if r.Method == http.MethodGet {
			paths = append(paths, strings.NewReplacer(":username", "ann", ":id", tweet.ID.String(), ":file", "docs.js").Replace(r.Path))
		}
	}
	require.Greater(t, len(paths), 10)
	for _, path := range append(paths, "/nowhere", "/tweets/eve", "/docs/nothing", "/tweets/ann?limit=0") {
		if strings.HasPrefix(path, "/users/me") {
			continue // needs a store of accounts
		}
		status, header, body := answer(http.MethodGet, path)
		require.NotEmpty(t, body, path)
		require.Equal(t, fmt.Sprint(len(body)), header.Get("Content-Length"), path)
		headStatus, headHeader, headBody := answer(http.MethodHead, path)
		require.Equal(t, status, headStatus, path)
		require.Equal(t, header, headHeader, path)
		require.Empty(t, headBody, path)
	}
	require.Equal(t, "GET, HEAD", serve(t, a, httptest.NewRequest(http.MethodPut, "/users/ann/tweets", nil)).Header().Get("Allow"))
}

func TestAQueryStringThatDoesNotParseIsRefusedEverywhere(t *testing.T) {
	store := &fakeStore{users: map[string]twtr.User{"ann": {Username: "ann"}}}
	a := newAPIWith(t, io.Discard, Config{Store: store})
	for _, query := range []string{"cursor=%zz", "limit=1;cursor=x", "%", "a=1&b=%2"} {
		for _, call := range []string{"GET /tweets/ann", "HEAD /tweets/ann", "GET /feeds/me", "POST /tweets", "DELETE /follow/ann", "GET /healthz", "GET /nowhere"} {
			method, path, _ := strings.Cut(call, " ")
			r := request(t, a, "ann", method, path, "{}", "")
			r.URL.RawQuery = query
			w := serve(t, a, r)
			require.Equal(t, 400, w.Code, "%s?%s", call, query)
			if method != http.MethodHead {
				require.JSONEq(t, `{"status":400,"data":null,"error":"the query string cannot be parsed","code":"malformed"}`, w.Body.String())
			}
		}
	}
	require.Empty(t, store.calls)
	require.Equal(t, 200, get(t, a, "/tweets/ann?unknown=%26&x").Code)
}

// connection is a raw one to a server of the API.
type connection struct {
	net.Conn
	t    *testing.T
	logs *lockedBuilder
	in   *bufio.Reader
}

func (b *lockedBuilder) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func connect(t *testing.T, c Config) *connection {
	logs := &lockedBuilder{}
	server := httptest.NewServer(newAPIWith(t, logs, c))
	t.Cleanup(server.Close)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &connection{conn, t, logs, bufio.NewReader(conn)}
}

func (c *connection) send(text string) {
	_, err := io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n"))
	require.NoError(c.t, err)
}

// received is a response, read to its end.
type received struct {
	status int
	closed bool
	body   string
}

func (c *connection) receive(method string) received {
	response, err := http.ReadResponse(c.in, &http.Request{Method: method})
	require.NoError(c.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	return received{response.StatusCode, response.Close, string(body)}
}

// logged waits for the access log's line.
func (c *connection) logged(want string) {
	require.Eventually(c.t, func() bool { return strings.Contains(c.logs.String(), want) }, 10*time.Second, time.Millisecond, c.logs)
}

func TestABodyThatDoesNotComeInTimeIs408AndNoFaultOfTheService(t *testing.T) {
	for name, request := range map[string]string{
		"with a length":    "POST /follow HTTP/1.1\nHost: x\nContent-Length: 10\n\n{",
		"in chunks":        "POST /follow HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n1\n{\n",
		"of which is none": "DELETE /follow/ann HTTP/1.1\nHost: x\nContent-Length: 10\n\n",
	} {
		c := connect(t, Config{Store: &fakeStore{}, BodyTimeout: 20 * time.Millisecond})
		c.send(request)
		response := c.receive(http.MethodPost)
		require.Equal(t, 408, response.status, name)
		require.True(t, response.closed, "what comes of the body now must not be taken for the next request")
		require.JSONEq(t, `{"status":408,"data":null,"error":"the body did not arrive within 20ms","code":"too-slow"}`, response.body)
		_, err := c.in.ReadByte()
		require.ErrorIs(t, err, io.EOF, "the connection is closed")
		c.logged(`"status":408`)
		require.NotContains(t, c.logs.String(), "WARN")
	}
}

// hooked calls a function when a user is read.
type hooked struct {
	twtr.Store
	hook func(ctx context.Context) error
}

func (s hooked) User(ctx context.Context, username string) (twtr.User, error) {
	return twtr.User{Username: username}, s.hook(ctx)
}

func (s hooked) TweetsByUser(context.Context, string, twtr.Window, int) ([]twtr.Tweet, error) {
	return nil, nil
}

const authorizeBody = `{"username":"ann","password":"x"}`

func TestTheTimeOfARequestBeginsWhenItsBodyIsThere(t *testing.T) {
	deadlines := make(chan time.Time, 1)
	store := hooked{hook: func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		deadlines <- deadline
		return twtr.Errorf(twtr.NotFound, "there is no such user")
	}}
	c := connect(t, Config{Store: store})
	// The server asks for the body when it begins to read it, so the request has begun when this side gets that.
	c.send(fmt.Sprintf("GET /tweets/ann HTTP/1.1\nHost: x\nExpect: 100-continue\nContent-Length: %d\n\n", len(authorizeBody)))
	interim, err := c.in.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", interim)
	_, err = c.in.ReadString('\n')
	require.NoError(t, err)
	begun := time.Now()
	c.send(authorizeBody)
	require.Equal(t, 404, c.receive(http.MethodGet).status)
	require.False(t, (<-deadlines).Before(begun.Add(requestTimeout)))
}

func TestTheTimeForABodyDoesNotEndARequestWhoseBodyIsThere(t *testing.T) {
	const bodyTimeout = 50 * time.Millisecond
	store := hooked{hook: func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(3 * bodyTimeout):
			return nil
		}
	}}
	c := connect(t, Config{Store: store, BodyTimeout: bodyTimeout})
	for range 2 { // on one connection
		c.send("GET /tweets/ann HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}")
		response := c.receive(http.MethodGet)
		require.Equal(t, 200, response.status, response.body)
	}
}

func TestAClientThatGoesAwayIs499AndNoFaultOfTheService(t *testing.T) {
	begun := make(chan struct{}, 1)
	store := hooked{hook: func(ctx context.Context) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	while := map[string]func(c *connection){
		"it sends the body": func(c *connection) { c.send("POST /follow HTTP/1.1\nHost: x\nContent-Length: 10\n\n{") },
		"it sends a chunk":  func(c *connection) { c.send("POST /follow HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n9\n{") },
		"we answer": func(c *connection) {
			c.send("GET /tweets/ann HTTP/1.1\nHost: x\n\n")
			<-begun
		},
		"we answer a request with a body": func(c *connection) {
			c.send("GET /tweets/ann HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}")
			<-begun
		},
	}
	for name, send := range while {
		c := connect(t, Config{Store: store})
		send(c)
		require.NoError(t, c.Close())
		c.logged(`"status":499`)
		require.NotContains(t, c.logs.String(), "WARN", name)
		require.Contains(t, c.logs.String(), `"level":"INFO","msg":"request"`, name)
	}
}

func TestABodyMayComeInChunksAndWithAnyMethod(t *testing.T) {
	store := &fakeStore{users: map[string]twtr.User{"ann": {Username: "ann"}}}
	c := connect(t, Config{Store: store})
	for request, want := range map[string]int{
		"POST /users/authorize HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n2\n{\"\n10\nusername\":\"ann\"}\n0\n\n": 422, // read: no password
		"GET /tweets/ann HTTP/1.1\nHost: x\nContent-Length: 5\n\nhello":                                                 200,
		"GET /tweets/ann HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n1\nx\n0\n\n":                                  200,
		"HEAD /tweets/ann HTTP/1.0\nConnection: keep-alive\nContent-Length: 1\n\nx":                                     200,
	} {
		c.send(request)
		response := c.receive(strings.Fields(request)[0])
		require.Equal(t, want, response.status, "%s: %s", request, response.body)
	}
	large := connect(t, Config{Store: store})
	large.send(fmt.Sprintf("GET /tweets/ann HTTP/1.1\nHost: x\nContent-Length: %d\n\n%s", maxBody+1, strings.Repeat("x", maxBody+1)))
	require.Equal(t, 200, large.receive(http.MethodGet).status, "what does not read the body does not refuse it")
	broken := connect(t, Config{Store: store})
	broken.send("GET /tweets/ann HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\nno number\n")
	require.Equal(t, 400, broken.receive(http.MethodGet).status)
}

func TestABodyThatCannotBeReadIsRefusedAndTheResponseSaysWhy(t *testing.T) {
	const content, length = `{"content":"hé"}`, 65536
	a := newAPIWith(t, io.Discard, Config{Store: &fakeStore{}})
	utf16 := "\xff\xfe" + strings.Join(strings.Split(content, ""), "\x00")
	for _, c := range []struct {
		header, body string
		status       int
		message      string // with what follows it in the envelope
	}{
		{"Content-Encoding: gzip", content, 415, `the body must not be compressed: send it without Content-Encoding","code":"unsupported"`},
		{"Content-Encoding: identity, br", content, 415, `the body must not be compressed: send it without Content-Encoding","code":"unsupported"`},
		{"Content-Type: application/json; charset=iso-8859-1", content, 415,
			`the body must be UTF-8: send it with Content-Type: application/json; charset=utf-8","code":"unsupported"`},
		{"Content-Type: text/plain; charset=\"UTF-16\"", utf16, 415,
			`the body must be UTF-8: send it with Content-Type: application/json; charset=utf-8","code":"unsupported"`},
		{"", utf16, 400, `the body is not UTF-8: this call takes a JSON object in UTF-8, not compressed","code":"malformed"`},
		{"", "\x1f\x8b\x08\x00", 400, `the body is not UTF-8: this call takes a JSON object in UTF-8, not compressed","code":"malformed"`},
		{"", "{\"content\":\"\xe9\"}", 400, `the body is not UTF-8: this call takes a JSON object in UTF-8, not compressed","code":"malformed"`},
		{"", "", 400, `the body is empty: this call takes a JSON object","code":"malformed"`},
		{"", " \n", 400, `the body is empty: this call takes a JSON object","code":"malformed"`},
		{"", "\ufeff", 400, `the body is empty: this call takes a JSON object","code":"malformed"`},
		{"", "[]", 400, `the body must be a JSON object, not an array","code":"malformed"`},
		{"", `"x"`, 400, `the body must be a JSON object, not a string","code":"malformed"`},
		{"", "true", 400, `the body must be a JSON object, not a boolean","code":"malformed"`},
		{"", `{"content":1}`, 400,
			`content must not be a number","code":"malformed","field":"content","fields":[{"field":"content","error":"content must not be a number"}]`},
		{"", `{"content":{}}`, 400,
			`content must not be an object","code":"malformed","field":"content","fields":[{"field":"content","error":"content must not be an object"}]`},
		{"", `{"content":"a","content":"b"}`, 400, `the body has the name \"content\" twice","code":"malformed"`},
		{"", `{"` + strings.Repeat("a", 1000) + `":1,"` + strings.Repeat("a", 1000) + `":1}`, 400,
			`the body has the name \"` + strings.Repeat("a", 64) + `\" twice","code":"malformed"`},
		{"", `{"content":`, 400, `the body is not JSON: it ends too early","code":"malformed"`},
		{"", `content=x`, 400, `the body is not JSON: invalid character 'c' at start of value, at byte 0","code":"malformed"`},
		{"", content + content, 400, `the body is not JSON: invalid character '{' after top-level value, at byte 17","code":"malformed"`},
		{"", `{"content":"` + strings.Repeat("x", length) + `"}`, 413, `the body must have at most 65536 bytes","code":"too-large"`},
	} {
		w := post(t, a, c.body, c.header)
		require.Equal(t, fmt.Sprintf(`{"status":%d,"data":null,"error":"%s}`, c.status, c.message)+"\n", w.Body.String(), "%s %.50q", c.header, c.body)
		require.Equal(t, c.status, w.Code)
		require.Equal(t, map[bool]string{true: "identity"}[strings.HasPrefix(c.header, "Content-Encoding")], w.Header().Get("Accept-Encoding"))
	}
	for _, header := range []string{"", "Content-Encoding: identity", "Content-Encoding: ", "Content-Type: application/json; charset=UTF-8", "Content-Type: text/plain;charset=us-ascii",
		"Content-Type: x", "Content-Type: ;;;", "Content-Type: application/x-www-form-urlencoded; charset=utf8"} {
		for _, mark := range []string{"", "\ufeff"} {
			store := &fakeStore{}
			a := newAPIWith(t, io.Discard, Config{Store: store, Temporal: &fakeTemporal{store: store}})
			w := post(t, a, mark+content, header)
			require.Equal(t, 200, w.Code, "%q %s: %s", mark, header, w.Body)
			require.Contains(t, string(store.tweets[0].Body), `"content":"hé"`)
		}
	}
}

func TestABodyThatWasReadToTheLetterIsStoredToTheLetter(t *testing.T) {
	const family = "👩\u200d👩\u200d👧 ❤\ufe0f 🏴\U000e0067\U000e0062\U000e007f a\u0301\nsecond line\u2028third"
	store := &fakeStore{}
	a := newAPIWith(t, io.Discard, Config{Store: store, Temporal: &fakeTemporal{store: store}})
	body, err := json.Marshal(map[string]string{"content": family})
	require.NoError(t, err)
	require.Equal(t, 200, post(t, a, string(body), "").Code)
	var got struct{ Data struct{ Content string } }
	require.NoError(t, json.Unmarshal(get(t, a, "/tweets/"+store.tweets[0].ID.String()).Body.Bytes(), &got))
	require.Equal(t, family, got.Data.Content)
}

func TestTheDocumentsPatternsOfTextAreTheRules(t *testing.T) {
	schemas := document(t).Components.Schemas
	pattern := func(name string) *regexp.Regexp { return regexp.MustCompile(schemas[name].Value.Pattern) }
	content, displayName := pattern("Content"), pattern("DisplayName")
	good := twtr.SignUp{Username: "ann", Password: "correct horse", PasswordConfirmation: "correct horse", Email: "ann@example.com"}
	wrong := 0
	for r := rune(0); r <= 0x10ffff; r++ {
		if 0xd800 <= r && r <= 0xdfff {
			continue // no character
		}
		for _, text := range []string{string(r), "a" + string(r)} {
			good.DisplayName = text
			if content.MatchString(text) != (twtr.Post{Content: text}.Validate() == nil) || displayName.MatchString(text) != (good.Validate() == nil) {
				wrong++
				t.Logf("%+q", text)
			}
		}
		require.Less(t, wrong, 10)
	}
	require.Zero(t, wrong)
}

func TestAnIDIsTheSameInEitherCaseAndInNoOtherForm(t *testing.T) {
	tweet := tweetOf(t, "ann", "hello")
	id := tweet.ID.String()
	store := &fakeStore{tweets: []twtr.Tweet{tweet}, receipts: map[uuid.UUID]twtr.Receipt{tweet.ID: {Username: "ann", State: twtr.DeliveryComplete}}}
	a := newAPIWith(t, io.Discard, Config{Store: store})
	for text, want := range map[string][3]int{
		id:                               {200, 403, 200},
		strings.ToUpper(id):              {200, 403, 200},
		"{" + id + "}":                   {404, 404, 404},
		"urn:uuid:" + id:                 {404, 404, 404},
		strings.ReplaceAll(id, "-", ""):  {404, 404, 404},
		strings.Replace(id, "-", "x", 1): {404, 404, 404},
		uuid.Must(uuid.NewV7()).String(): {404, 404, 404},
		id[:8] + "%2D" + id[9:]:          {200, 403, 200}, // the same, encoded
		strings.Repeat("0", 36):          {404, 404, 404},
	} {
		w := get(t, a, "/tweets/"+text)
		require.Equal(t, want[0], w.Code, text)
		if w.Code == 200 {
			require.JSONEq(t, fmt.Sprintf(`{"status":200,"data":%s,"error":""}`, tweet.Body), w.Body.String())
		}
		require.Equal(t, want[1], serve(t, a, request(t, a, "bob", http.MethodDelete, "/tweets/"+text, "", "")).Code, text)
		delivery := serve(t, a, request(t, a, "ann", http.MethodGet, "/deliveries/"+text, "", ""))
		require.Equal(t, want[2], delivery.Code, text)
		require.Equal(t, delivery.Code == 200, strings.Contains(delivery.Body.String(), `"tweetId":"`+id+`"`), "in lower case")
	}
}

func TestANameInAPathOrABodyIsTheSameInEitherCase(t *testing.T) {
	tweet := tweetOf(t, "ann", "hello")
	store := &fakeStore{users: map[string]twtr.User{"ann": {Username: "ann"}, "bob": {Username: "bob"}}, tweets: []twtr.Tweet{tweet},
		followers: map[string][]string{"ann": {"bob"}}}
	a := newAPIWith(t, io.Discard, Config{Store: store})
	for _, path := range []string{"/tweets/%s", "/users/%s/tweets", "/users/%s/followers", "/users/%s/followings"} {
		lower, upper := get(t, a, fmt.Sprintf(path, "ann")), get(t, a, fmt.Sprintf(path, "ANN"))
		require.Equal(t, 200, upper.Code, path)
		require.Equal(t, lower.Body.String(), upper.Body.String(), path)
	}
	own := post(t, a, "", "").Code
	require.Equal(t, 400, own)
	w := serve(t, a, request(t, a, "ann", http.MethodPost, "/follow", `{"followingUsername":"Ann"}`, ""))
	require.Equal(t, 422, w.Code)
	require.Contains(t, w.Body.String(), "followingUsername must not be your own name")
	require.Equal(t, 200, serve(t, a, request(t, a, "ann", http.MethodDelete, "/follow/aNN", "", "")).Code, "one does not follow oneself")
}

func TestAProxyMayTellAClientsAddressWithItsPort(t *testing.T) {
	a := newAPIWith(t, io.Discard, Config{Store: &fakeStore{}, TrustedProxies: []string{"192.0.2.1"}, RateLimits: RateLimits{Reads: 1}})
	from := func(header string) int { return get(t, a, "/tweets/ann", header).Code } // from 192.0.2.1
	for _, c := range []struct {
		header string
		want   int
	}{
		{"X-Forwarded-For: 198.51.100.1:4711", 404},
		{"X-Forwarded-For: 198.51.100.1:4712", 429},
		{"X-Forwarded-For: 198.51.100.1", 429},
		{"X-Forwarded-For: 203.0.113.7, 198.51.100.1:1", 429}, // the last one is what our proxy saw
		{"X-Forwarded-For: 198.51.100.2:1, 192.0.2.1:1", 404}, // another one of our proxies
		{"X-Forwarded-For: 198.51.100.2", 429},
		{"X-Forwarded-For: [2001:db8::1]:4711", 404},
		{"X-Forwarded-For: [2001:db8::2]", 429},
		{"X-Forwarded-For: 2001:db8::3", 429},
		{"X-Forwarded-For: [::ffff:198.51.100.1]:1", 429},
		{"X-Real-Ip: 198.51.100.3:1", 404},
		{"X-Real-Ip: 198.51.100.3", 429},
		{"X-Forwarded-For: unknown", 404}, // the proxy's own
		{"X-Forwarded-For: :80", 429},
	} {
		require.Equal(t, c.want, from(c.header), c.header)
	}
	direct := newAPIWith(t, io.Discard, Config{Store: &fakeStore{}, RateLimits: RateLimits{Reads: 1}})
	require.Equal(t, 404, get(t, direct, "/tweets/ann", "X-Forwarded-For: 198.51.100.1:1").Code)
	require.Equal(t, 429, get(t, direct, "/tweets/ann", "X-Forwarded-For: 198.51.100.2:1").Code, "a client does not choose its address")
}

func TestPagesOfOtherOriginsMayCallTheAPIIfTheOperatorSaysSo(t *testing.T) {
	const app = "https://app.example.com"
	var logs strings.Builder
	preflight := func(a *API, path, origin, method, headers string) http.Header {
		r := httptest.NewRequest(http.MethodOptions, path, nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", method)
		if headers != "" {
			r.Header.Set("Access-Control-Request-Headers", headers)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r) // the document says nothing of these: browsers make them by themselves
		require.Equal(t, 204, w.Code, path)
		require.Empty(t, w.Body.String())
		return w.Header()
	}
	metrics := newMetrics(t)
	config := Config{Store: &fakeStore{}, Origins: []string{app, "http://localhost:5173"}, RateLimits: RateLimits{Tweets: 1, Follows: 1, Reads: 1}, Metrics: metrics}
	a := newAPIWith(t, &logs, config)
	for range 3 { // no preflight needs a token or is limited
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
			for _, path := range []string{"/tweets", "/feeds/me", "/tweets/x", "/nowhere"} {
				h := preflight(a, path, app, method, "authorization,content-type,idempotency-key,if-none-match,x-request-id")
				require.Equal(t, app, h.Get("Access-Control-Allow-Origin"))
				require.Equal(t, method, h.Get("Access-Control-Allow-Methods"))
				require.Equal(t, "authorization,content-type,idempotency-key,if-none-match,x-request-id", h.Get("Access-Control-Allow-Headers"))
				require.Equal(t, "7200", h.Get("Access-Control-Max-Age"))
				require.Empty(t, h.Get("Access-Control-Allow-Credentials"))
				require.Equal(t, "Origin, Access-Control-Request-Method, Access-Control-Request-Headers", h.Get("Vary"))
			}
		}
	}
	lines := logLines(t, &logs, "request")
	require.Len(t, lines, 60)
	require.Equal(t, "OPTIONS", lines[0]["method"])
	require.Empty(t, lines[0]["route"])
	require.Contains(t, scrape(metrics),
		`http_server_request_duration_seconds_count{http_request_method="OPTIONS",http_response_status_code="204",url_scheme="http"} 60`)
	for _, refused := range []http.Header{
		preflight(a, "/tweets", "https://evil.example", "POST", ""),
		preflight(a, "/tweets", app+".evil.example", "POST", ""),
		preflight(a, "/tweets", "null", "POST", ""),
		preflight(a, "/tweets", app, "PATCH", ""),
		preflight(a, "/tweets", app, "POST", "x-other"),
	} {
		require.Empty(t, refused.Get("Access-Control-Allow-Origin"))
	}

	// Responses, errors as well, are for pages of these origins.
	for _, want := range []int{404, 429} {
		w := get(t, a, "/users/eve/tweets", "Origin: "+app)
		require.Equal(t, want, w.Code)
		require.Equal(t, app, w.Header().Get("Access-Control-Allow-Origin"))
		require.Equal(t, "Etag, Idempotent-Replayed, Link, Ratelimit, Ratelimit-Policy, Retry-After, Www-Authenticate, X-Request-Id",
			w.Header().Get("Access-Control-Expose-Headers"))
		require.Equal(t, "Origin", w.Header().Get("Vary"))
	}
	require.Equal(t, app, get(t, a, "/feeds/me", "Origin: "+app).Header().Get("Access-Control-Allow-Origin"))
	require.Empty(t, get(t, a, "/healthz", "Origin: https://evil.example").Header().Get("Access-Control-Allow-Origin"))

	all := newAPIWith(t, io.Discard, Config{Store: &fakeStore{}, Origins: []string{"*"}})
	require.Equal(t, "*", preflight(all, "/tweets", "https://any.example", "POST", "authorization").Get("Access-Control-Allow-Origin"))
	require.Equal(t, "*", get(t, all, "/healthz", "Origin: https://any.example").Header().Get("Access-Control-Allow-Origin"))

	off := newAPIWith(t, io.Discard, Config{Store: &fakeStore{}})
	r := httptest.NewRequest(http.MethodOptions, "/tweets", nil)
	r.Header.Set("Origin", app)
	r.Header.Set("Access-Control-Request-Method", "POST")
	w := serve(t, off, r)
	require.Equal(t, 405, w.Code)
	require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
	require.Empty(t, get(t, off, "/healthz", "Origin: "+app).Header().Get("Vary"))
}

func TestA401SaysWhetherATokenWasRefused(t *testing.T) {
	a := newAPIWith(t, io.Discard, Config{Store: &fakeStore{}})
	for header, want := range map[string]string{
		"":                             "Bearer",
		"Authorization: Basic YTpi":    "Bearer",
		"Authorization: Bearer ":       "Bearer",
		"Authorization: Bearer a.b.c":  `Bearer error="invalid_token", error_description="the access token is not valid, or has expired: log in or refresh"`,
		"Authorization: bearer  a.b.c": `Bearer error="invalid_token", error_description="the access token is not valid, or has expired: log in or refresh"`,
	} {
		w := get(t, a, "/feeds/me", header)
		require.Equal(t, 401, w.Code, header)
		require.Equal(t, want, w.Header().Get("WWW-Authenticate"), header)
	}
}

func TestEveryResponseTellsBrowsersNotToGuessItsType(t *testing.T) {
	a := newAPIWith(t, io.Discard, Config{Store: &fakeStore{users: map[string]twtr.User{"ann": {}}}, RateLimits: RateLimits{Reads: 1}})
	for _, path := range []string{"/healthz", "/docs", "/docs/docs.js", "/openapi.yaml", "/nowhere", "/tweets/ann", "/tweets/ann", "/feeds/me", "/tweets/ann?%"} {
		require.Equal(t, "nosniff", get(t, a, path).Header().Get("X-Content-Type-Options"), path)
	}
	require.Equal(t, "nosniff", serve(t, a, httptest.NewRequest(http.MethodPut, "/tweets", nil)).Header().Get("X-Content-Type-Options"))
}

func TestAReadThatHasNotChangedIsNotSentAgain(t *testing.T) {
	tweet := tweetOf(t, "ann", "hello")
	users := map[string]twtr.User{"ann": {Username: "ann", DisplayName: "Ann"}}
	store := &fakeStore{users: users, tweets: []twtr.Tweet{tweet}, receipts: map[uuid.UUID]twtr.Receipt{tweet.ID: {Username: "ann", State: twtr.DeliveryComplete}}}
	a := newAPIWith(t, io.Discard, Config{Store: store})
	another := newAPIWith(t, io.Discard, Config{Store: &fakeStore{users: users, tweets: store.tweets, receipts: store.receipts}})
	read := func(a *API, method, path, ifNoneMatch string) *httptest.ResponseRecorder {
		return serve(t, a, request(t, a, "ann", method, path, "", "If-None-Match: "+ifNoneMatch))
	}
	for path, caching := range map[string]string{
		"/tweets/ann": "no-cache", "/users/ann/tweets?limit=1": "no-cache", "/users/ann": "no-cache", "/users/ann/followers": "no-cache",
		"/tweets/" + tweet.ID.String(): "no-cache", "/feeds/me": "private, no-cache", "/deliveries/" + tweet.ID.String(): "private, no-cache",
	} {
		first := read(a, http.MethodGet, path, `"other"`)
		require.Equal(t, 200, first.Code, path)
		tag := first.Header().Get("ETag")
		require.Equal(t, caching, first.Header().Get("Cache-Control"), path)
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, match := range []string{tag, "W/" + tag, `"other", W/"x",` + tag, "*", " * "} {
				w := read(another, method, path, match) // it does not matter which process answers
				require.Equal(t, 304, w.Code, "%s %s", path, match)
				require.Empty(t, w.Body.String())
				require.Empty(t, w.Header().Get("Content-Type"))
				require.Equal(t, tag, w.Header().Get("ETag"))
				require.Equal(t, caching, w.Header().Get("Cache-Control"))
			}
			for _, other := range []string{"", `"other"`, strings.Trim(tag, `"`), `"x*"`, strings.ToUpper(tag)} {
				require.Equal(t, 200, read(a, method, path, other).Code, "%s %s", path, other)
			}
		}
	}
	list := read(a, http.MethodGet, "/tweets/ann", "").Header().Get("ETag")
	store.tweets = append([]twtr.Tweet{tweetOf(t, "ann", "again")}, store.tweets...)
	require.Equal(t, 200, read(a, http.MethodGet, "/tweets/ann", list).Code)

	// A response that is no success is not kept, and one to a write even less.
	missing := read(a, http.MethodGet, "/tweets/eve", "*")
	require.Equal(t, 404, missing.Code)
	require.Empty(t, missing.Header().Get("ETag"))
	require.Empty(t, missing.Header().Get("Cache-Control"))
	posted := post(t, newAPIWith(t, io.Discard, Config{Store: store, Temporal: &fakeTemporal{store: store}}), `{"content":"x"}`, "If-None-Match: *")
	require.Equal(t, 200, posted.Code)
	require.Equal(t, "no-store", posted.Header().Get("Cache-Control"))
	require.Empty(t, posted.Header().Get("ETag"))
}

func TestTokensAreNotKeptByCaches(t *testing.T) {
	p := newSystem(t).process()
	signedUp := p.call("POST", "/users", signUpBody("ann"))
	loggedIn := p.logIn("ann", signUpBody("ann")["password"])
	refreshed := p.refreshWith(loggedIn.tokens(t).RefreshToken)
	for _, r := range []reply{signedUp, loggedIn, refreshed} {
		r.tokens(t)
		require.Equal(t, "no-store", r.header.Get("Cache-Control"))
	}
}

func TestTheRateLimitIsInTheHeadersOfEveryLimitedCall(t *testing.T) {
	store := &fakeStore{users: map[string]twtr.User{"ann": {Username: "ann"}, "bob": {Username: "bob"}}}
	a := newAPIWith(t, io.Discard, Config{Store: store, Temporal: &fakeTemporal{store: store}, RateLimits: RateLimits{SignUps: 2, Logins: 3, Tweets: 2, Follows: 60, Reads: 600}})
	headers := func(w *httptest.ResponseRecorder) [2]string {
		return [2]string{w.Header().Get("RateLimit-Policy"), w.Header().Get("RateLimit")}
	}
	w := post(t, a, `{"content":"x"}`, "")
	require.Equal(t, [2]string{`"tweets";q=2;w=60`, `"tweets";r=1;t=30`}, headers(w))
	w = post(t, a, `{"content":" "}`, "")
	require.Equal(t, 422, w.Code)
	require.Equal(t, [2]string{`"tweets";q=2;w=60`, `"tweets";r=0;t=60`}, headers(w))
	w = post(t, a, `{"content":"x"}`, "")
	require.Equal(t, 429, w.Code)
	require.Equal(t, "30", w.Header().Get("Retry-After"))
	require.Equal(t, [2]string{`"tweets";q=2;w=60`, `"tweets";r=0;t=60`}, headers(w))
	require.JSONEq(t, `{"status":429,"data":null,"error":"rate limit exceeded (2 per minute); retry in 30s","code":"too-many-requests"}`, w.Body.String())

	require.Equal(t, [2]string{`"follows";q=60;w=60`, `"follows";r=59;t=1`}, headers(serve(t, a, request(t, a, "ann", http.MethodDelete, "/follow/ann", "", ""))))
	require.Equal(t, [2]string{`"signups";q=2;w=60`, `"signups";r=1;t=30`}, headers(serve(t, a, httptest.NewRequest(http.MethodPost, "/users", nil))))
	require.Equal(t, [2]string{`"logins";q=3;w=60`, `"logins";r=2;t=20`}, headers(serve(t, a, httptest.NewRequest(http.MethodPost, "/users/authorize", nil))))
	require.Equal(t, [2]string{`"reads";q=600;w=60`, `"reads";r=599;t=1`}, headers(get(t, a, "/tweets/ann")))
	require.Equal(t, [2]string{`"reads";q=600;w=60`, `"reads";r=599;t=1`}, headers(serve(t, a, request(t, a, "ann", http.MethodGet, "/feeds/me", "", ""))))
	require.Equal(t, [2]string{}, headers(get(t, a, "/feeds/me")), "without a token it is not counted")
	for _, path := range []string{"/healthz", "/docs", "/openapi.yaml", "/nowhere"} {
		require.Equal(t, [2]string{}, headers(get(t, a, path)), path)
	}
	unlimited := newAPIWith(t, io.Discard, Config{Store: store})
	require.Equal(t, [2]string{}, headers(get(t, unlimited, "/tweets/ann")))
}

func TestReadsAreLimitedByUserOrByAddress(t *testing.T) {
	tweet := tweetOf(t, "ann", "hello")
	store := &fakeStore{tweets: []twtr.Tweet{tweet}, users: map[string]twtr.User{"ann": {Username: "ann"}}}
	a := newAPIWith(t, io.Discard, Config{Store: store, RateLimits: RateLimits{Reads: 3}})
	from := func(ip, method, path string) int {
		r := request(t, a, "ann", method, path, "", "")
		r.RemoteAddr = net.JoinHostPort(ip, "1")
		return serve(t, a, r).Code
	}
	for _, path := range []string{"/tweets/ann", "/users/ann/followers", "/tweets/" + tweet.ID.String()} {
		require.Equal(t, 200, from("198.51.100.1", http.MethodGet, path))
	}
	for _, path := range []string{"/tweets/ann", "/users/ann", "/users/ann/tweets", "/users/ann/followings", "/tweets/eve"} {
		require.Equal(t, 429, from("198.51.100.1", http.MethodGet, path), path)
		require.Equal(t, 429, from("198.51.100.1", http.MethodHead, path), path)
	}
	require.Equal(t, 200, from("198.51.100.2", http.MethodGet, "/tweets/ann"))
	require.Equal(t, 200, from("198.51.100.1", http.MethodGet, "/healthz"))

	// Who reads with a token is known, from whatever address.
	for i := range 3 {
		require.Equal(t, 200, from(fmt.Sprintf("192.0.2.%d", i), http.MethodGet, "/feeds/me"))
	}
	require.Equal(t, 429, from("192.0.2.9", http.MethodGet, "/feeds/me"))
	require.Equal(t, 200, from("192.0.2.9", http.MethodGet, "/tweets/ann"))
	require.Equal(t, 200, serve(t, a, request(t, a, "bob", http.MethodGet, "/feeds/me", "", "")).Code)
}

func TestAnIPv6AddressCountsByItsNetworkAndItsSite(t *testing.T) {
	a := newAPIWith(t, io.Discard, Config{Store: &fakeStore{}, RateLimits: RateLimits{Reads: 2}})
	from := func(ip string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/tweets/ann", nil)
		r.RemoteAddr = net.JoinHostPort(ip, "1")
		return serve(t, a, r)
	}
	for i := range 4 { // two are refused by the /64, and count against nothing else
		require.Equal(t, []int{404, 404, 429, 429}[i], from(fmt.Sprintf("2001:db8:1:0::%d", i)).Code)
	}
	for i := 2; i <= 15; i++ {
		require.Equal(t, 404, from(fmt.Sprintf("2001:db8:1:%x::1", i)).Code)
	}
	w := from("2001:db8:1:ffff::1")
	require.Equal(t, 429, w.Code, "sixteen are eight times two")
	require.Equal(t, `"reads";r=0;t=60`, w.Header().Get("RateLimit"))
	require.Equal(t, 404, from("2001:db8:2:1::1").Code, "another site")
	require.Equal(t, 404, from("198.51.100.1").Code)
}

func TestOnlyWhatIsNewerThanATweetIsListed(t *testing.T) {
	store := &fakeStore{users: map[string]twtr.User{"ann": {Username: "ann"}}}
	var tweets []twtr.Tweet // newest first
	for range 5 {
		tweets = append([]twtr.Tweet{tweetOf(t, "ann", "x")}, tweets...)
	}
	store.tweets = tweets
	a := newAPIWith(t, io.Discard, Config{Store: store})
	list := func(tweets []twtr.Tweet) string {
		bodies := make([]string, len(tweets))
		for i, tweet := range tweets {
			bodies[i] = string(tweet.Body)
		}
		return fmt.Sprintf(`{"status":200,"data":[%s],"error":""}`, strings.Join(bodies, ",")) + "\n"
	}
	after := strings.ToUpper(tweets[3].ID.String())
	for _, path := range []string{"/tweets/ann", "/users/ann/tweets"} {
		require.Equal(t, list(tweets[:3]), get(t, a, path+"?after="+after).Body.String())
		require.Equal(t, list(nil), get(t, a, path+"?after="+tweets[0].ID.String()).Body.String())
		first := get(t, a, path+"?limit=2&after="+after)
		var page envelope
		require.NoError(t, json.Unmarshal(first.Body.Bytes(), &page))
		next := fmt.Sprintf("%s?after=%s&cursor=%s&limit=2", path, after, page.NextCursor)
		require.Equal(t, fmt.Sprintf(`<%s>; rel="next"`, next), first.Header().Get("Link"))
		require.Equal(t, list(tweets[2:3]), get(t, a, next).Body.String())
	}
	feed := serve(t, a, request(t, a, "bob", http.MethodGet, "/feeds/me?after="+after, "", ""))
	require.Equal(t, list(tweets[:3]), feed.Body.String())
	require.Equal(t, 422, serve(t, a, request(t, a, "bob", http.MethodGet, "/feeds/me?after=x", "", "")).Code)
}

func TestATweetIsReadByItsIDUntilItIsDeleted(t *testing.T) {
	tweet := tweetOf(t, "ann", "hello")
	store := &fakeStore{tweets: []twtr.Tweet{tweet}}
	a := newAPIWith(t, io.Discard, Config{Store: store})
	path := "/tweets/" + tweet.ID.String()
	require.Equal(t, fmt.Sprintf(`{"status":200,"data":%s,"error":""}`, tweet.Body)+"\n", get(t, a, path).Body.String())
	store.tweets = nil
	require.JSONEq(t, `{"status":404,"data":null,"error":"there is no tweet of that id","code":"not-found"}`, get(t, a, path).Body.String())
}

func TestARepeatedPostSaysThatItIsOneAndStartsNothingAgainWhenTheDeliveryIsOver(t *testing.T) {
	store := &fakeStore{}
	a := newAPIWith(t, io.Discard, Config{Store: store, Temporal: &fakeTemporal{store: store}})
	first := post(t, a, `{"content":"hello"}`, "Idempotency-Key: k")
	require.Empty(t, first.Header().Values("Idempotent-Replayed"))
	id := store.tweets[0].ID
	calls := func(again *httptest.ResponseRecorder) []string {
		require.Equal(t, 200, again.Code)
		require.Equal(t, first.Body.String(), again.Body.String())
		require.Equal(t, "true", again.Header().Get("Idempotent-Replayed"))
		got := store.calls
		store.calls = nil
		return got
	}
	store.calls = nil
	require.Len(t, calls(post(t, a, `{"content":"hello"}`, "Idempotency-Key: k")), 3, "it claims, starts and puts again, in case the first one failed")
	for _, state := range []twtr.DeliveryState{twtr.DeliveryComplete, twtr.DeliveryRetracted} {
		store.receipts = map[uuid.UUID]twtr.Receipt{id: {TweetID: id, Username: "ann", State: state}}
		require.Equal(t, []string{"claim"}, calls(post(t, a, `{"content":"hello"}`, "Idempotency-Key: k")))
	}
	require.Empty(t, post(t, a, `{"content":"hello"}`, "Idempotency-Key: other").Header().Values("Idempotent-Replayed"))
	require.Empty(t, post(t, a, `{"content":"hello"}`, "").Header().Values("Idempotent-Replayed"))
	refused := post(t, a, `{"content":"bye"}`, "Idempotency-Key: k")
	require.Equal(t, 422, refused.Code)
	require.Empty(t, refused.Header().Values("Idempotent-Replayed"))
}

func TestTheTotalOfADeliveryThatIsOverIsWhatWasDelivered(t *testing.T) {
	tweet := tweetOf(t, "ann", "hello")
	for _, state := range []twtr.DeliveryState{twtr.DeliveryComplete, twtr.DeliveryRetracting, twtr.DeliveryRetracted} {
		store := &fakeStore{receipts: map[uuid.UUID]twtr.Receipt{tweet.ID: {TweetID: tweet.ID, Username: "ann", State: state, Delivered: 7}},
			counts: []twtr.FollowerCount{{Bucket: 1, Count: 400}}}
		a := newAPIWith(t, io.Discard, Config{Store: store})
		w := serve(t, a, request(t, a, "ann", http.MethodGet, "/deliveries/"+tweet.ID.String(), "", ""))
		require.Contains(t, w.Body.String(), `"delivered":7,"total":7,`, state)
	}
}

// hostile are requests by kind: what a client chooses in each is a random text.
var hostile = map[string]func(text string) *http.Request{
	"host": func(text string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		r.Host = text + ":" + fmt.Sprint(rand.IntN(65536))
		return r
	},
	"method":         func(text string) *http.Request { return httptest.NewRequest(strings.ToUpper(text), "/healthz", nil) },
	"unknown method": func(text string) *http.Request { return httptest.NewRequest(text, "/"+text, nil) },
	"path":           func(text string) *http.Request { return httptest.NewRequest(http.MethodGet, "/"+text, nil) },
	"user":           func(text string) *http.Request { return httptest.NewRequest(http.MethodGet, "/users/"+text, nil) },
	"list":           func(text string) *http.Request { return httptest.NewRequest(http.MethodHead, "/tweets/"+text, nil) },
	"tweet": func(string) *http.Request {
		return httptest.NewRequest(http.MethodGet, "/tweets/"+uuid.NewString(), nil)
	},
	"query": func(text string) *http.Request {
		return httptest.NewRequest(http.MethodGet, "/healthz?"+text+"="+text, nil)
	},
	"bad query": func(text string) *http.Request { return httptest.NewRequest(http.MethodGet, "/healthz?"+text+";", nil) },
	"body": func(text string) *http.Request {
		return httptest.NewRequest(http.MethodPost, "/users/authorize", strings.NewReader(text))
	},
	"token":      headed(http.MethodGet, "/feeds/me", "Authorization", "Bearer "),
	"user agent": headed(http.MethodGet, "/healthz", "User-Agent", ""),
	"origin":     headed(http.MethodGet, "/healthz", "Origin", "https://"),
	"preflight": func(text string) *http.Request {
		r := headed(http.MethodOptions, "/"+text, "Origin", "https://")(text)
		r.Header.Set("Access-Control-Request-Method", text)
		return r
	},
	"request id":   headed(http.MethodGet, "/healthz", "X-Request-Id", ""),
	"address":      headed(http.MethodGet, "/healthz", "X-Forwarded-For", ""),
	"protocol":     headed(http.MethodGet, "/healthz", "X-Forwarded-Proto", ""),
	"encoding":     headed(http.MethodPost, "/users/authorize", "Content-Encoding", ""),
	"content type": headed(http.MethodPost, "/users/authorize", "Content-Type", "text/"),
	"header": func(text string) *http.Request {
		return headed(http.MethodGet, "/healthz", "X-"+text, "")(text)
	},
}

func headed(method, path, name, prefix string) func(text string) *http.Request {
	return func(text string) *http.Request {
		r := httptest.NewRequest(method, path, strings.NewReader(text))
		r.Header.Set(name, prefix+text)
		return r
	}
}

func TestNoClientMakesSeriesOfMetricsAtWill(t *testing.T) {
	metrics := newMetrics(t)
	a := newAPIWith(t, io.Discard, Config{Store: &fakeStore{}, Origins: []string{"https://app.example.com"}, TrustedProxies: []string{"192.0.2.1"}, Metrics: metrics})
	kinds := make([]string, 0, len(hostile))
	for kind := range hostile {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	send := func(kind string) {
		text := fmt.Sprintf("odd%x", rand.Uint64())
		a.ServeHTTP(httptest.NewRecorder(), hostile[kind](text))
	}
	series := func() (n int, text string) {
		text = scrape(metrics)
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") {
				n++
			}
		}
		return n, text
	}
	for _, kind := range kinds {
		send(kind)
	}
	before, _ := series()
	for range 10_000 {
		send(kinds[rand.IntN(len(kinds))])
	}
	after, text := series()
	require.Equal(t, before, after)
	require.NotContains(t, text, "odd")
	require.Contains(t, text, `http_server_request_duration_seconds_count{http_request_method="_OTHER",http_response_status_code="404",url_scheme="http"}`)
}
