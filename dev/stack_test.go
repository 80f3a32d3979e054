package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/api"
	"github.com/twtr-dev/twtr/api/apitest"
	"github.com/twtr-dev/twtr/cmd"
	"github.com/twtr-dev/twtr/dev/internal/freeaddr"
	"github.com/twtr-dev/twtr/dev/temporalserver"
	"github.com/twtr-dev/twtr/internal/codec"
	"github.com/twtr-dev/twtr/internal/telemetry"
	"github.com/twtr-dev/twtr/store/cassandra"
	"github.com/twtr-dev/twtr/store/sqlite"
	"github.com/twtr-dev/twtr/workers"
)

var (
	authKeys = "test:" + strings.Repeat("a", 32)
	sealKey  = strings.Repeat("s", 32)
	// secretsEnv gives them to a process of twtr.
	secretsEnv = []string{"TWTR_AUTH_KEYS=" + authKeys, "TWTR_SEAL_KEY=" + sealKey}
)

// stack is the whole system in this process: API, Temporal server, store; the workers are started by each test.
type stack struct {
	t        *testing.T
	engine   string
	url      string
	ops      string // URL of the API process's ops port; "" if it is this process
	temporal string // address
	server   *temporalserver.Server
	client   client.Client // of the test's own
	app      *cmd.App
	config   cmd.Config
	store    twtr.Store // a connection of the test's own
	file     string     // of the SQLite store

	temporalFile string   // of the Temporal server
	args         []string // the settings, as flags; those that are secret are in secretsEnv
	logs         *buffer

	mu      sync.Mutex
	secrets []string // tokens that the API gave
}

// onEachEngine runs a test on both stores, with settings given as flags. Tests run in parallel because they mostly wait.
func onEachEngine(t *testing.T, test func(*testing.T, *stack), flags ...string) {
	t.Parallel()
	onEachEngineWith(t, nil, test, flags...)
}

// promptlyOnEachEngine is onEachEngine for a test of how soon something happens: only the other engine runs at the same time.
func promptlyOnEachEngine(t *testing.T, test func(*testing.T, *stack)) {
	onEachEngineWith(t, nil, test)
}

// onEachEngineWith runs a test on both stores with values of the Temporal server's dynamic configuration.
func onEachEngineWith(t *testing.T, temporalConfig map[string]any, test func(*testing.T, *stack), flags ...string) {
	for _, engine := range []string{"sqlite", "cassandra"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(t, newStackWith(t, engine, temporalConfig, flags...))
		})
	}
}

func newStack(t *testing.T, engine string, flags ...string) *stack {
	return newStackWith(t, engine, nil, flags...)
}

// promptDeletions lets the Temporal server delete a history soon after its workflow has ended. By default it takes half a minute.
var promptDeletions = map[string]any{"history.transferProcessorUpdateAckInterval": time.Second}

// newStackWith is newStack with values of the Temporal server's dynamic configuration.
func newStackWith(t *testing.T, engine string, temporalConfig map[string]any, with ...string) *stack {
	return newStackOn(t, engine, temporalserver.Options{DynamicConfig: temporalConfig}, with...)
}

// newStackOn is newStack with options of the Temporal server.
func newStackOn(t *testing.T, engine string, o temporalserver.Options, with ...string) *stack {
	dir := t.TempDir()
	s := &stack{t: t, engine: engine, file: filepath.Join(dir, "twtr.db"), logs: &buffer{}}
	addr := freeAddr(t)
	s.url = "http://" + addr
	args := []string{
		"--store", engine, "--http-addr", addr, "--sqlite-path", s.file,
		"--ratelimit-signups", "0", "--ratelimit-logins", "0", "--ratelimit-tweets", "0", "--ratelimit-follows", "0", "--ratelimit-reads", "0",
	}
	args = append(args, with...)
	keyspace := "twtr_e2e_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:16]
	hosts := os.Getenv("TWTR_TEST_CASSANDRA")
	if engine == "cassandra" {
		if hosts == "" {
			if os.Getenv("REQUIRE_CASSANDRA") != "" {
				t.Fatal("REQUIRE_CASSANDRA is set, and TWTR_TEST_CASSANDRA names no Cassandra")
			}
			t.Skip("no Cassandra: set TWTR_TEST_CASSANDRA to its hosts, or run make test")
		}
		args = append(args, "--cassandra-hosts", hosts, "--cassandra-keyspace", keyspace)
		t.Cleanup(func() { dropKeyspace(t, hosts, keyspace) })
	}
	s.args = args
	flags := pflag.NewFlagSet("test", pflag.PanicOnError)
	settings := cmd.NewSettings(flags)
	settings.SetDefault("auth.keys", authKeys)
	settings.SetDefault("seal.key", sealKey)
	require.NoError(t, flags.Parse(args))
	require.NoError(t, settings.Read())
	config, err := settings.Parse()
	require.NoError(t, err)
	s.config = config
	require.NoError(t, cmd.Migrate(t.Context(), config.Store))

	s.temporalFile = filepath.Join(dir, "temporal.db")
	o.Addr, o.File = "127.0.0.1:0", s.temporalFile
	server, err := temporalserver.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { s.checkSecrets(s.temporalFile) }) // when the server has stopped
	t.Cleanup(server.Stop)
	s.server, s.temporal = server, server.Addr()
	options := client.Options{HostPort: s.temporal, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))}
	payloads, err := codec.New(config.Codec.Keys...)
	require.NoError(t, err)
	require.NoError(t, payloads.Install(&options))
	s.client, err = client.Dial(options)
	require.NoError(t, err)
	t.Cleanup(s.client.Close)
	s.app, err = cmd.Connect(t.Context(), config, server.Addr(), s.logs)
	require.NoError(t, err)
	t.Cleanup(s.app.Close)
	if engine == "cassandra" {
		s.store, err = cassandra.Open(t.Context(), cassandra.Config{Hosts: strings.Split(hosts, ","), Keyspace: keyspace})
	} else {
		s.store, err = sqlite.Open(t.Context(), s.file)
	}
	require.NoError(t, err)
	t.Cleanup(s.store.Close)

	s.background(func(ctx context.Context) error { return s.app.ServeAPI(ctx, config.API) })
	requireHealthy(t, s.url)
	return s
}

// work starts workers, which stop at the end of the test or when stop is called.
func (s *stack) work(domains ...string) (stop func()) {
	if len(domains) == 0 {
		domains = workers.Domains()
	}
	return s.background(func(ctx context.Context) error { return s.app.RunWorkers(ctx, s.config.Workers, domains...) })
}

func (s *stack) background(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// with is the same stack with an API and workers of its own, which have other settings.
func (s *stack) with(change func(*cmd.Config)) *stack {
	other := &stack{t: s.t, temporal: s.temporal, config: s.config, client: s.client, store: s.store, logs: &buffer{}}
	change(&other.config)
	other.config.API.Addr = freeAddr(s.t)
	other.url = "http://" + other.config.API.Addr
	var err error
	other.app, err = cmd.Connect(s.t.Context(), other.config, s.temporal, other.logs)
	require.NoError(s.t, err)
	s.t.Cleanup(other.app.Close)
	other.background(func(ctx context.Context) error { return other.app.ServeAPI(ctx, other.config.API) })
	requireHealthy(s.t, other.url)
	return other
}

func freeAddr(t *testing.T) string {
	addr, err := freeaddr.Find(t.Context())
	require.NoError(t, err)
	return addr
}

// requireHealthy waits until an API answers there.
func requireHealthy(t *testing.T, url string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.True(t, healthy(ctx, url), "no response from %s", url)
}

func requireReady(t *testing.T, ops string) {
	t.Helper()
	response, err := http.Get(ops + "/readyz")
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, 200, response.StatusCode)
}

func dropKeyspace(t *testing.T, hosts, keyspace string) {
	session, err := gocql.NewCluster(strings.Split(hosts, ",")...).CreateSession()
	require.NoError(t, err)
	defer session.Close()
	require.NoError(t, session.Query("DROP KEYSPACE IF EXISTS "+keyspace).Exec())
}

// answer is an answer of the API.
type answer struct {
	Status     int             `json:"status"`
	Data       json.RawMessage `json:"data"`
	Error      string          `json:"error"`
	NextCursor string          `json:"nextCursor"`

	header http.Header
}

// call makes a request; body may be a string, sent as it is, or anything that JSON can hold. It may be used from any
// goroutine, and answers status 0 if there was none.
func (s *stack) call(method, path, token string, body any) answer {
	return s.callWith(method, path, token, body, nil)
}

// callWith is call with further headers.
func (s *stack) callWith(method, path, token string, body any, header map[string]string) (a answer) {
	text, raw := body.(string)
	if !raw && body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return answer{Error: err.Error()}
		}
		text = string(b)
	}
	request, err := http.NewRequest(method, s.url+path, strings.NewReader(text))
	if err != nil {
		return answer{Error: err.Error()}
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil {
		err = json.Unmarshal(content, &a)
	}
	if err == nil {
		err = s.check(request, response, content)
	}
	s.remember(content)
	if err != nil || a.Status != response.StatusCode {
		return answer{Error: fmt.Sprintf("%s %s: %s, %v: %s", method, path, response.Status, err, content)}
	}
	a.header = response.Header
	return a
}

var contract = sync.OnceValues(func() (*apitest.Contract, error) { return apitest.New(api.OpenAPI) })

// check holds an answer to the API's document. That it does not hold fails the test, whatever the test makes of it.
func (s *stack) check(request *http.Request, response *http.Response, body []byte) error {
	promised, err := contract()
	if err == nil {
		err = promised.Check(request, response, body)
	}
	if err != nil {
		s.t.Error(err)
	}
	return err
}

// insist does what a client has to: what is answered 503 is tried again, by the same Idempotency-Key. So a test in which the
// machine is busier than the deadline allows still knows what came of its calls.
func (s *stack) insist(method, path, token string, body any) answer {
	key := map[string]string{"Idempotency-Key": uuid.NewString()}
	for end, tries := time.Now().Add(time.Minute), 0; ; tries++ {
		a := s.callWith(method, path, token, body, key)
		if tries > 0 && method == http.MethodDelete && a.Status == http.StatusNotFound { // an earlier try has done it
			a.Status = http.StatusOK
		}
		if a.Status != http.StatusServiceUnavailable || time.Now().After(end) {
			return a
		}
		time.Sleep(time.Second)
	}
}

// ok is a call that must be answered 200; its data is read into dest. Like a client it repeats a call that is answered 503 with a
// Retry-After: on a busy machine the deadline of 5 s may pass, such as while the workers start.
func (s *stack) ok(method, path, token string, body, dest any) answer {
	s.t.Helper()
	a := s.call(method, path, token, body)
	for end := time.Now().Add(time.Minute); a.Status == 503 && a.header.Get("Retry-After") != "" && time.Now().Before(end); {
		time.Sleep(time.Second)
		a = s.call(method, path, token, body)
		if method == http.MethodDelete && a.Status == http.StatusNotFound { // an earlier try has done it
			a.Status, a.Data = http.StatusOK, json.RawMessage(`{}`)
		}
	}
	require.Equal(s.t, 200, a.Status, a.Error)
	if dest != nil {
		require.NoError(s.t, json.Unmarshal(a.Data, dest))
	}
	return a
}

type tweet struct {
	ID        uuid.UUID `json:"id"`
	Username  string    `json:"username"`
	Content   string    `json:"content"`
	CreatedAt string    `json:"createdAt"`
}

func (one tweet) at(t *testing.T) time.Time {
	at, err := time.Parse("2006-01-02T15:04:05.000Z", one.CreatedAt)
	require.NoError(t, err)
	return at
}

// apiWithClock is another API of the same stack, whose clock differs by that much.
func (s *stack) apiWithClock(skew time.Duration) *stack {
	return s.apiWith(s.client, s.store, func() time.Time { return time.Now().Add(skew) })
}

// apiWith is another API of the same stack, with that client of Temporal, that store and that clock.
func (s *stack) apiWith(temporal client.Client, store twtr.Store, now func() time.Time) *stack {
	metrics, err := telemetry.New("test")
	require.NoError(s.t, err)
	handler, err := api.New(api.Config{
		Store: store, Temporal: temporal, SealKeys: []string{sealKey},
		AuthKeys: []api.Key{{ID: "test", Secret: []byte(strings.Repeat("a", 32))}},
		Logger:   slog.New(slog.DiscardHandler), Metrics: metrics,
		Now: now,
	})
	require.NoError(s.t, err)
	stop, err := handler.Start(s.t.Context())
	require.NoError(s.t, err)
	s.t.Cleanup(stop)
	server := httptest.NewServer(handler)
	s.t.Cleanup(server.Close)
	return &stack{t: s.t, url: server.URL}
}

func signUpBody(username string) map[string]string {
	return map[string]string{"username": username, "password": "correct horse", "passwordConfirmation": "correct horse",
		"email": username + "@example.com", "displayName": strings.ToUpper(username)}
}

// signUp returns the new user's access token.
func (s *stack) signUp(username string) string {
	s.t.Helper()
	var user struct{ AccessToken string }
	s.ok("POST", "/users", "", signUpBody(username), &user)
	return user.AccessToken
}

func (s *stack) follow(token, username string) {
	s.t.Helper()
	s.ok("POST", "/follow", token, map[string]string{"followingUsername": username}, nil)
}

func (s *stack) tweet(token, content string) (t tweet) {
	s.t.Helper()
	s.ok("POST", "/tweets", token, map[string]string{"content": content}, &t)
	return t
}

// feed reads a whole feed, page by page.
func (s *stack) feed(token string) (all []tweet) {
	s.t.Helper()
	for cursor := ""; ; {
		var page []tweet
		a := s.ok("GET", "/feeds/me?limit=100"+cursor, token, nil, &page)
		all = append(all, page...)
		if a.NextCursor == "" {
			return all
		}
		cursor = "&cursor=" + a.NextCursor
	}
}

// eventually waits for what is delivered after the answer, for long enough that a busy machine does not fail the test.
func (s *stack) eventually(what string, condition func() bool) {
	s.t.Helper()
	require.Eventually(s.t, condition, 3*time.Minute, 20*time.Millisecond, what)
}

// buffer is written and read by several goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
