package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/seal"
	"github.com/twtr-dev/twtr/internal/telemetry"
	"github.com/twtr-dev/twtr/store/sqlite/sqlitetest"
	"github.com/twtr-dev/twtr/workflows"
)

// process is one of several API processes over one store.
type process struct {
	*API
	t        *testing.T
	store    twtr.Store
	temporal *accountTemporal
	logs     *lockedBuilder
	metrics  *telemetry.Metrics
	clock    time.Duration // what its clock differs by from the test's
}

// system is a store with a clock.
type system struct {
	t     *testing.T
	store twtr.Store

	mu        sync.Mutex
	now       time.Time
	processes []*process
}

func newSystem(t *testing.T) *system {
	return &system{t: t, store: sqlitetest.Open(t), now: time.Now()}
}

// sleep lets time pass. If that is long, all processes have read the ended sessions after it, if they can.
func (s *system) sleep(d time.Duration) {
	s.mu.Lock()
	s.now = s.now.Add(d)
	processes := s.processes
	s.mu.Unlock()
	if d < revocationsMaxAge {
		return
	}
	for _, p := range processes {
		_ = p.revoked.load(s.t.Context())
	}
}

func (s *system) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// process starts another API process, whose passwords are hashed cheaply.
func (s *system) process(change ...func(*Config)) *process {
	p := &process{t: s.t, store: s.store, logs: &lockedBuilder{}, metrics: newMetrics(s.t)}
	sealer, err := seal.New("secret")
	require.NoError(s.t, err)
	p.temporal = &accountTemporal{store: s.store, sealer: sealer}
	c := Config{
		Store: s.store, Temporal: p.temporal, AuthKeys: []Key{key(s.t, "k")}, SealKeys: []string{"secret"},
		TrustedProxies: []string{"192.0.2.1"}, // whom httptest's requests come from
		Now:            func() time.Time { return s.time().Add(p.clock) },
		Logger:         slog.New(slog.NewJSONHandler(p.logs, nil)), Metrics: p.metrics,
	}
	for _, f := range change {
		f(&c)
	}
	p.API, err = New(c)
	require.NoError(s.t, err)
	p.hasher.derive = cheap
	p.guard.pause = func(context.Context, time.Duration) error { return nil } // the clock is the test's
	require.NoError(s.t, p.revoked.load(s.t.Context()))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, p)
	return p
}

// cheap is a hash that takes no time.
func cheap(password, salt []byte, _, _ uint32, _ uint8, length uint32) []byte {
	return seal.Key(string(password)+string(salt), "cheap")[:length]
}

type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// reply is a response.
type reply struct {
	status int
	data   json.RawMessage
	err    string
	next   string
	header http.Header
}

// into reads the data of a response that must be 200.
func (r reply) into(t *testing.T, dest any) {
	t.Helper()
	require.Equal(t, 200, r.status, r.err)
	require.NoError(t, json.Unmarshal(r.data, dest))
}

// tokens are those of a response that must be 200.
func (r reply) tokens(t *testing.T) (pair tokenPair) {
	t.Helper()
	r.into(t, &pair)
	return pair
}

// with changes a request.
type with func(*http.Request)

func token(text string) with {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+text) }
}

func from(address string) with {
	return func(r *http.Request) { r.Header.Set("X-Forwarded-For", address) }
}

func agent(name string) with {
	return func(r *http.Request) { r.Header.Set("User-Agent", name) }
}

func (p *process) request(method, path string, body any, changes ...with) *http.Request {
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		require.NoError(p.t, err)
		text = string(b)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(text))
	for _, change := range changes {
		change(r)
	}
	return r
}

func (p *process) call(method, path string, body any, changes ...with) reply {
	p.t.Helper()
	w := serve(p.t, p.API, p.request(method, path, body, changes...))
	var e struct {
		Data       json.RawMessage
		Error      string
		NextCursor string
	}
	require.NoError(p.t, json.Unmarshal(w.Body.Bytes(), &e))
	return reply{w.Code, e.Data, e.Error, e.NextCursor, w.Header()}
}

type object map[string]string

func signUpBody(username string) object {
	return object{"username": username, "password": "correct horse", "passwordConfirmation": "correct horse",
		"email": username + "@example.com", "displayName": strings.ToUpper(username)}
}

// but is the object with another value.
func (o object) but(name, value string) object {
	changed := object{}
	for k, v := range o {
		changed[k] = v
	}
	changed[name] = value
	return changed
}

func (p *process) signUp(username string, changes ...with) tokenPair {
	p.t.Helper()
	return p.call("POST", "/users", signUpBody(username), changes...).tokens(p.t)
}

func (p *process) logIn(username, password string, changes ...with) reply {
	p.t.Helper()
	return p.call("POST", "/users/authorize", object{"username": username, "password": password}, changes...)
}

func (p *process) refreshWith(refreshToken string) reply {
	p.t.Helper()
	return p.call("POST", "/users/refresh", object{"refreshToken": refreshToken})
}

// works reports whether an access token is accepted.
func (p *process) works(accessToken string) bool {
	p.t.Helper()
	r := p.call("GET", "/users/me", nil, token(accessToken))
	if r.status != 200 {
		require.Equal(p.t, 401, r.status, r.err)
	}
	return r.status == 200
}

// accountTemporal does at once what the workflows of accounts do.
type accountTemporal struct {
	client.Client // nil: all other methods panic

	store  twtr.Store
	sealer *seal.Sealer
	// answer makes an error of what was done; nil leaves it.
	answer func(error) error
}

type accountStart struct {
	options client.StartWorkflowOptions
	input   any
}

func (accountStart) Get(context.Context) (client.WorkflowRun, error) { panic("not called") }

func (f *accountTemporal) NewWithStartWorkflowOperation(o client.StartWorkflowOptions, _ any, args ...any) client.WithStartWorkflowOperation {
	return accountStart{o, args[0]}
}

type accountUpdate struct {
	client.WorkflowUpdateHandle
	err error
}

func (u accountUpdate) Get(context.Context, any) error { return u.err }

func (f *accountTemporal) UpdateWithStartWorkflow(ctx context.Context, o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	start := o.StartWorkflowOperation.(accountStart)
	err := f.run(ctx, start.options.ID, start.input)
	if code := twtr.ErrorCode(err); err != nil && code.Permanent() {
		err = temporal.NewApplicationErrorWithOptions(err.Error(), string(code), temporal.ApplicationErrorOptions{NonRetryable: true})
	}
	if f.answer != nil {
		err = f.answer(err)
	}
	return accountUpdate{err: err}, nil
}

func (f *accountTemporal) run(ctx context.Context, workflowID string, input any) error {
	switch in := input.(type) {
	case workflows.CreateUserInput:
		var user twtr.User
		if err := f.sealer.Unseal(workflowID, in.Sealed, &user); err != nil {
			return err
		}
		return f.store.CreateUser(ctx, user)
	case workflows.ChangePasswordInput:
		var change twtr.PasswordChange
		if err := f.sealer.Unseal(workflowID, in.Sealed, &change); err != nil {
			return err
		}
		if err := f.store.SetPassword(ctx, change.Username, change.OldHash, change.NewHash); err != nil {
			return err
		}
		return f.endSessions(ctx, change.Username, change.Keep)
	case workflows.DeleteUserInput:
		if err := f.store.RetireUser(ctx, in.Username); err != nil {
			return err
		}
		return f.endSessions(ctx, in.Username, uuid.Nil)
	}
	return fmt.Errorf("no workflow takes %T", input)
}

func (f *accountTemporal) endSessions(ctx context.Context, username string, keep uuid.UUID) error {
	sessions, err := f.store.SessionsByUser(ctx, username, uuid.Nil, 100)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		if s.Family == keep {
			continue
		}
		if err := f.store.EndSession(ctx, s.Family, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

func TestTheSamePersonSignsUpAgainAndIsLoggedIn(t *testing.T) {
	p := newSystem(t).process()
	first := p.signUp("ann")
	body := signUpBody("Ann").but("email", "ann@example.com").but("displayName", "Another")
	again := p.call("POST", "/users", body)
	var user map[string]string
	again.into(t, &user)
	require.Equal(t, "ann", user["username"])
	require.Equal(t, "ANN", user["displayName"], "the name that is stored")
	require.True(t, p.works(first.AccessToken))
	require.True(t, p.works(user["accessToken"]))
	p.refreshWith(user["refreshToken"]).tokens(t)

	for what, body := range map[string]object{
		"another address":  signUpBody("ann").but("email", "ann@example.org"),
		"another password": signUpBody("ann").but("password", "battery staple").but("passwordConfirmation", "battery staple"),
	} {
		r := p.call("POST", "/users", body)
		require.Equal(t, 409, r.status, what)
		require.Equal(t, "username ann is taken", r.err, what)
	}
}

func TestASignUpThatMayHaveBeenAcceptedSaysSoAndIsRepeated(t *testing.T) {
	p := newSystem(t).process()
	p.temporal.answer = func(error) error { return context.DeadlineExceeded }
	r := p.call("POST", "/users", signUpBody("ann"))
	require.Equal(t, 503, r.status)
	require.Contains(t, r.err, "the sign-up may have been accepted all the same: the same request again is safe")
	require.Equal(t, "1", r.header.Get("Retry-After"))
	p.temporal.answer = nil
	require.True(t, p.works(p.signUp("ann").AccessToken))
}

// reads is a store whose reads of a user fail as the test says: nil leaves a read.
type reads struct {
	twtr.Store
	mu    sync.Mutex
	fails []error
}

func (s *reads) User(ctx context.Context, username string) (twtr.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fails) > 0 {
		err := s.fails[0]
		if s.fails = s.fails[1:]; err != nil {
			return twtr.User{}, err
		}
	}
	return s.Store.User(ctx, username)
}

func TestTheOwnerOfANameIsNotToldThatItIsTakenWhileTheStoreIsUnavailable(t *testing.T) {
	system := newSystem(t)
	store := &reads{Store: system.store}
	p := system.process(func(c *Config) { c.Store = store })
	p.signUp("ann")
	// The same request was sent twice: this one reads before the other one is done, and learns of it from the workflow.
	early := twtr.Errorf(twtr.NotFound, "there is no user of that name")
	store.fails = []error{early, twtr.Errorf(twtr.Unavailable, "the store is unavailable")}
	r := p.call("POST", "/users", signUpBody("ann"))
	require.Equal(t, 503, r.status, r.err)
	require.Equal(t, "1", r.header.Get("Retry-After"))
	require.Contains(t, r.err, "the same request again is safe")
	require.True(t, p.works(p.signUp("ann").AccessToken))

	store.fails = []error{early, early} // a retired user's name
	r = p.call("POST", "/users", signUpBody("ann"))
	require.Equal(t, 409, r.status, r.err)
	require.Equal(t, "username ann is taken", r.err)
}

func TestOfManyPeopleWhoWantANameAtOnceOneGetsItAndTheOthersAreTold(t *testing.T) {
	p := newSystem(t).process()
	replies := make([]reply, 20)
	var all sync.WaitGroup
	for i := range replies {
		all.Go(func() {
			password := fmt.Sprintf("correct horse %d", i)
			replies[i] = p.call("POST", "/users", signUpBody("ann").but("email", fmt.Sprintf("%d@example.com", i)).
				but("password", password).but("passwordConfirmation", password))
		})
	}
	all.Wait()
	count := map[int]int{}
	for _, r := range replies {
		count[r.status]++
	}
	require.Equal(t, map[int]int{200: 1, 409: 19}, count)
}

func TestAPersonWhoSignsUpTwiceAtOnceIsLoggedInTwice(t *testing.T) {
	p := newSystem(t).process()
	replies := make([]reply, 4)
	var all sync.WaitGroup
	for i := range replies {
		all.Go(func() { replies[i] = p.call("POST", "/users", signUpBody("ann")) })
	}
	all.Wait()
	for _, r := range replies {
		require.True(t, p.works(r.tokens(t).AccessToken))
	}
}

func TestANameIsOneInEitherCase(t *testing.T) {
	p := newSystem(t).process()
	p.call("POST", "/users", signUpBody("Ann")).tokens(t)
	var user struct{ Username string }
	p.call("GET", "/users/ANN", nil).into(t, &user)
	require.Equal(t, "ann", user.Username)
	p.logIn("aNN", "correct horse").tokens(t)
	r := p.call("POST", "/users", signUpBody("ANN").but("email", "other@example.com"))
	require.Equal(t, 409, r.status)
	require.Equal(t, 422, p.call("POST", "/users", signUpBody("Admin")).status)
}

func TestAPasswordIsOneHoweverItsCharactersAreComposed(t *testing.T) {
	p := newSystem(t).process()
	nfc, nfd := "pässwörter\u00e9", "pa\u0308sswo\u0308rtere\u0301"
	pair := p.call("POST", "/users", signUpBody("ann").but("password", nfd).but("passwordConfirmation", nfc)).tokens(t)
	p.logIn("ann", nfc).tokens(t)
	p.logIn("ann", nfd).tokens(t)
	change := object{"oldPassword": nfd, "newPassword": "e\u0301" + strings.Repeat("x", 127)}
	r := p.call("PUT", "/users/me/password", change, token(pair.AccessToken))
	require.Equal(t, 200, r.status, "128 characters: %s", r.err)
	p.logIn("ann", "\u00e9"+strings.Repeat("x", 127)).tokens(t)
}

func TestAllThatIsWrongWithASignUpIsSaid(t *testing.T) {
	p := newSystem(t).process()
	r := p.call("POST", "/users", object{"username": "a b", "password": "Password1", "passwordConfirmation": "Password1", "email": "x", "displayName": "Ann"})
	require.Equal(t, 422, r.status)
	require.Equal(t, "username may contain only the letters a-z, digits, _ and -; email must have 3 to 254 characters, not 1; "+
		"password must not be one of the most common passwords", r.err)
	r = p.call("POST", "/users", object{})
	require.Equal(t, "username must not be empty; password must not be empty; email must not be empty; displayName must not be empty", r.err)
}

func TestAUserReadsTheirOwnAccount(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	pair := p.signUp("ann")
	var me map[string]any
	p.call("GET", "/users/me", nil, token(pair.AccessToken)).into(t, &me)
	require.NotEmpty(t, me["createdAt"])
	delete(me, "createdAt")
	require.Equal(t, map[string]any{"username": "ann", "displayName": "ANN", "email": "ann@example.com", "followers": 0., "followings": 0.}, me)
	require.Equal(t, 401, p.call("GET", "/users/me", nil).status)
}

func TestANewPasswordEndsTheOtherSessions(t *testing.T) {
	s := newSystem(t)
	p, other := s.process(), s.process()
	here := p.signUp("ann")
	there := p.logIn("ann", "correct horse").tokens(t)
	for what, c := range map[string]struct {
		change object
		err    string
	}{
		"a wrong password":  {object{"oldPassword": "wrong", "newPassword": "battery staple"}, "oldPassword is wrong"},
		"a common one":      {object{"oldPassword": "correct horse", "newPassword": "password1"}, "newPassword must not be one of the most common passwords"},
		"the user's e-mail": {object{"oldPassword": "correct horse", "newPassword": "Ann@example.com"}, "newPassword must not be your username, e-mail address or display name"},
		"nothing":           {object{}, "oldPassword must not be empty; newPassword must not be empty"},
	} {
		r := p.call("PUT", "/users/me/password", c.change, token(here.AccessToken))
		require.Equal(t, 422, r.status, what)
		require.Equal(t, c.err, r.err, what)
	}
	change := object{"oldPassword": "correct horse", "newPassword": "battery staple"}
	for _, what := range []string{"the first time", "again, because the response was lost"} {
		r := p.call("PUT", "/users/me/password", change, token(here.AccessToken))
		require.Equal(t, 200, r.status, "%s: %s", what, r.err)
		require.NoError(t, p.revoked.load(t.Context()))
		require.NoError(t, other.revoked.load(t.Context()))
		for _, each := range []*process{p, other} {
			require.True(t, each.works(here.AccessToken), what)
			require.False(t, each.works(there.AccessToken), what)
		}
		require.Equal(t, 401, p.refreshWith(there.RefreshToken).status)
		there = p.logIn("ann", "battery staple").tokens(t)
	}
	require.Equal(t, 422, p.logIn("ann", "correct horse").status)
	p.refreshWith(here.RefreshToken).tokens(t)
}

func TestAChangeOfPasswordThatMayHaveBeenMadeSaysSo(t *testing.T) {
	p := newSystem(t).process()
	pair := p.signUp("ann")
	p.temporal.answer = func(error) error { return context.DeadlineExceeded }
	r := p.call("PUT", "/users/me/password", object{"oldPassword": "correct horse", "newPassword": "battery staple"}, token(pair.AccessToken))
	require.Equal(t, 503, r.status)
	require.Contains(t, r.err, "the password may have been changed all the same: the same request again is safe")
}

func TestADeletedAccountIsGoneAndItsTokensAreRefused(t *testing.T) {
	s := newSystem(t)
	p, other := s.process(), s.process()
	pair := p.signUp("ann")
	require.Equal(t, 200, p.call("DELETE", "/users/me", nil, token(pair.AccessToken)).status)
	require.False(t, p.works(pair.AccessToken))
	require.NoError(t, other.revoked.load(t.Context()))
	require.False(t, other.works(pair.AccessToken))
	require.Equal(t, 401, p.refreshWith(pair.RefreshToken).status)
	require.Equal(t, 404, p.call("GET", "/users/ann", nil).status)
	require.Equal(t, 409, p.call("POST", "/users", signUpBody("ann")).status, "the name is not free yet")
}
