package api

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

// slowStore does what it is asked to, and then does not say so.
type slowStore struct {
	twtr.Store
	slow bool
}

func (s *slowStore) RotateSession(ctx context.Context, spent []byte, next twtr.Session) error {
	err := s.Store.RotateSession(ctx, spent, next)
	if s.slow {
		return context.DeadlineExceeded
	}
	return err
}

// lateSessions creates each session only after something else was done.
type lateSessions struct {
	twtr.Store
	before func()
}

func (s *lateSessions) CreateSession(ctx context.Context, session twtr.Session) error {
	s.before()
	return s.Store.CreateSession(ctx, session)
}

func TestALogInIsRefusedIfThePasswordIsChangedOrTheAccountDeletedMeanwhile(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	ann, bob := p.signUp("ann"), p.signUp("bob")
	store := &lateSessions{Store: s.store}
	late := s.process(func(c *Config) { c.Store = store })
	store.before = func() {
		change := object{"oldPassword": "correct horse", "newPassword": "battery staple"}
		require.Equal(t, 200, p.call("PUT", "/users/me/password", change, token(ann.AccessToken)).status)
	}
	r := late.logIn("ann", "correct horse")
	require.Equal(t, 422, r.status)
	require.Equal(t, "password is wrong", r.err)
	var sessions []any
	p.call("GET", "/users/me/sessions", nil, token(ann.AccessToken)).into(t, &sessions)
	require.Len(t, sessions, 1)

	store.before = func() {
		require.Equal(t, 200, p.call("DELETE", "/users/me", nil, token(bob.AccessToken)).status)
	}
	require.Equal(t, 404, late.logIn("bob", "correct horse").status)
	left, err := s.store.SessionsByUser(t.Context(), "bob", uuid.Nil, 10)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestARefreshWhoseResponseWasLostIsRepeated(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	first := p.signUp("ann")
	lost := p.refreshWith(first.RefreshToken).tokens(t)
	s.sleep(refreshGrace)
	again := p.refreshWith(first.RefreshToken).tokens(t)
	require.Equal(t, lost.RefreshToken, again.RefreshToken, "whichever response arrives, its token works")
	require.True(t, p.works(again.AccessToken))
	s.sleep(time.Hour)
	next := p.refreshWith(again.RefreshToken).tokens(t)
	require.NotEqual(t, again.RefreshToken, next.RefreshToken)
}

func TestARefreshAfterATimeoutOfTheStoreIsRepeated(t *testing.T) {
	s := newSystem(t)
	store := &slowStore{Store: s.store, slow: true}
	p := s.process(func(c *Config) { c.Store = store })
	first := p.signUp("ann")
	require.Equal(t, 503, p.refreshWith(first.RefreshToken).status)
	store.slow = false
	second := p.refreshWith(first.RefreshToken).tokens(t)
	p.refreshWith(second.RefreshToken).tokens(t)
}

func TestOfTwoTabsThatRefreshAtOnceBothHaveATokenThatWorks(t *testing.T) {
	s := newSystem(t)
	one := s.process(func(c *Config) { c.AuthKeys = []Key{key(t, "a"), key(t, "b")} })
	two := s.process(func(c *Config) { c.AuthKeys = []Key{key(t, "b"), key(t, "a")} }) // the keys are being exchanged
	pair := one.signUp("ann")
	for range 20 {
		replies := make([]reply, 8)
		var all sync.WaitGroup
		for i := range replies {
			all.Go(func() { replies[i] = []*process{one, two}[i%2].refreshWith(pair.RefreshToken) })
		}
		all.Wait()
		pair = replies[0].tokens(t)
		for i, r := range replies {
			got := r.tokens(t)
			require.Equal(t, pair.RefreshToken, got.RefreshToken, "there is one that works")
			require.True(t, []*process{two, one}[i%2].works(got.AccessToken))
		}
	}
}

func TestAnOlderRefreshTokenEndsTheSession(t *testing.T) {
	p := newSystem(t).process()
	first := p.signUp("ann")
	second := p.refreshWith(first.RefreshToken).tokens(t)
	third := p.refreshWith(second.RefreshToken).tokens(t)
	r := p.refreshWith(first.RefreshToken)
	require.Equal(t, 401, r.status)
	require.Equal(t, "the refresh token is spent, unknown or expired: log in", r.err)
	require.Equal(t, 401, p.refreshWith(third.RefreshToken).status)
	require.False(t, p.works(third.AccessToken))
}

func TestASpentRefreshTokenEndsTheSessionAfterTheGrace(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	first := p.signUp("ann")
	second := p.refreshWith(first.RefreshToken).tokens(t)
	s.sleep(refreshGrace + clockLeeway + time.Second)
	require.Equal(t, 401, p.refreshWith(first.RefreshToken).status)
	require.Equal(t, 401, p.refreshWith(second.RefreshToken).status)
}

func TestTheGraceIsThereWhereTheClockIsAheadOrBehind(t *testing.T) {
	for _, skew := range []time.Duration{-clockLeeway, clockLeeway} {
		s := newSystem(t)
		here, there := s.process(), s.process()
		there.clock = skew
		first := here.signUp("ann")
		second := here.refreshWith(first.RefreshToken).tokens(t)
		s.sleep(refreshGrace - time.Second)
		require.Equal(t, second.RefreshToken, there.refreshWith(first.RefreshToken).tokens(t).RefreshToken, skew)
	}
}

func TestASessionLastsNoLongerThan90Days(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	pair := p.signUp("ann")
	token, ok := parseRefreshToken(pair.RefreshToken)
	require.True(t, ok)
	session, err := s.store.Session(t.Context(), token.family)
	require.NoError(t, err)
	created := s.time().UTC().Truncate(time.Millisecond)
	require.Equal(t, twtr.Session{Family: token.family, Username: "ann", TokenHash: token.hash(),
		CreatedAt: created, RefreshedAt: created, ExpiresAt: created.Add(30 * 24 * time.Hour)}, session)
	for range 4 {
		s.sleep(22 * 24 * time.Hour)
		pair = p.refreshWith(pair.RefreshToken).tokens(t)
	}
	session, err = s.store.Session(t.Context(), token.family)
	require.NoError(t, err)
	require.Equal(t, created.Add(88*24*time.Hour), session.RefreshedAt)
	require.Equal(t, created.Add(90*24*time.Hour), session.ExpiresAt)
	s.sleep(2 * 24 * time.Hour)
	require.Equal(t, 401, p.refreshWith(pair.RefreshToken).status)
}

func TestARandomRefreshTokenGetsNothing(t *testing.T) {
	p := newSystem(t).process()
	pair := p.signUp("ann")
	real, _ := parseRefreshToken(pair.RefreshToken)
	require.Equal(t, 401, p.refreshWith(newRefreshToken(uuid.New()).String()).status)
	require.Equal(t, 200, p.call("POST", "/users/logout", object{"refreshToken": newRefreshToken(uuid.New()).String()}).status)
	ended, err := p.store.EndedSessions(t.Context(), time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Empty(t, ended, "tokens that are made up fill nothing")
	require.Equal(t, 401, p.refreshWith(newRefreshToken(real.family).String()).status)
}

func TestALogOutIsKnownHereAtOnceAndElsewhereSoon(t *testing.T) {
	s := newSystem(t)
	here, there := s.process(), s.process()
	stop, err := there.Start(t.Context())
	require.NoError(t, err)
	defer stop()
	pair, other := here.signUp("ann"), here.logIn("ann", "correct horse").tokens(t)
	require.True(t, there.works(pair.AccessToken))
	require.Equal(t, 200, here.call("POST", "/users/logout", object{"refreshToken": pair.RefreshToken}).status)
	require.False(t, here.works(pair.AccessToken))
	require.Eventually(t, func() bool { return !there.works(pair.AccessToken) }, 10*time.Second, 50*time.Millisecond)
	require.Equal(t, 401, there.refreshWith(pair.RefreshToken).status)
	require.True(t, there.works(other.AccessToken), "another session stays")
	require.Equal(t, 200, there.call("POST", "/users/logout", object{"refreshToken": pair.RefreshToken}).status, "again")
	require.Less(t, revocationsEvery+requestTimeout/2, 5*time.Second)
}

func TestAProcessThatStartsKnowsWhichSessionsEndedBefore(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	pair := p.signUp("ann")
	p.call("POST", "/users/logout", object{"refreshToken": pair.RefreshToken})
	s.sleep(accessTokenLife - time.Minute)
	late := s.process(func(c *Config) {})
	require.False(t, late.works(pair.AccessToken))
}

func TestALogOutAtAProcessWhoseClockIsBehindIsNoticed(t *testing.T) {
	s := newSystem(t)
	behind, p := s.process(), s.process()
	behind.clock = -clockLeeway
	pair := p.signUp("ann")
	s.sleep(time.Minute)
	require.NoError(t, p.revoked.load(t.Context()))
	behind.call("POST", "/users/logout", object{"refreshToken": pair.RefreshToken})
	require.NoError(t, p.revoked.load(t.Context()))
	require.False(t, p.works(pair.AccessToken))
}

func TestEndedSessionsAreForgottenWhenTheirTokensHaveExpired(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	pair := p.signUp("ann")
	p.call("POST", "/users/logout", object{"refreshToken": pair.RefreshToken})
	s.sleep(twtr.EndedSessionsKept)
	require.NoError(t, p.revoked.load(t.Context()))
	require.Len(t, p.revoked.ended, 1)
	s.sleep(time.Second)
	require.NoError(t, p.revoked.load(t.Context()))
	require.Empty(t, p.revoked.ended)
	require.False(t, p.works(pair.AccessToken), "it has expired")
}

// outage makes reads of ended sessions fail.
type outage struct {
	twtr.Store
	mu    sync.Mutex
	err   error
	reads int
}

func (o *outage) set(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err, o.reads = err, 0
}

func (o *outage) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reads
}

func (o *outage) EndedSessions(ctx context.Context, since time.Time) ([]uuid.UUID, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reads++
	if o.err != nil {
		return nil, o.err
	}
	return o.Store.EndedSessions(ctx, since)
}

func TestAnOutageOfTheStoreForgetsNoEndedSessionAndMissesNone(t *testing.T) {
	s := newSystem(t)
	store := &outage{Store: s.store}
	p, other := s.process(func(c *Config) { c.Store = store }), s.process()
	before, during := p.signUp("ann"), p.logIn("ann", "correct horse").tokens(t)
	p.call("POST", "/users/logout", object{"refreshToken": before.RefreshToken})
	store.set(twtr.Errorf(twtr.Unavailable, "away"))
	_, err := p.Start(t.Context())
	require.Equal(t, twtr.Unavailable, twtr.ErrorCode(err), "a process that can't know them does not start")

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.revoked.poll(ctx, time.Millisecond) }()
	await := func(n int) {
		require.Eventually(t, func() bool { return store.count() >= n }, time.Minute, time.Millisecond)
	}
	await(3)
	other.call("POST", "/users/logout", object{"refreshToken": during.RefreshToken})
	require.True(t, p.works(during.AccessToken))
	s.sleep(revocationsMaxAge + time.Millisecond)
	require.False(t, p.works(before.AccessToken))
	require.Equal(t, 503, p.call("GET", "/users/me", nil, token(during.AccessToken)).status, "it may have ended")
	store.set(nil)
	await(2)
	require.False(t, p.works(during.AccessToken))
	cancel()
	<-done
	p.logs.mu.Lock()
	defer p.logs.mu.Unlock()
	require.Equal(t, 1, strings.Count(p.logs.b.String(), "ended sessions cannot be read"))
	require.Equal(t, 1, strings.Count(p.logs.b.String(), "ended sessions can be read again"))
}

func TestAUserSeesTheirSessionsAndEndsOne(t *testing.T) {
	s := newSystem(t)
	p := s.process()
	p.signUp("bob")
	pairs := []tokenPair{p.signUp("ann", agent("first"))}
	for i := range 3 {
		s.sleep(time.Second)
		pairs = append(pairs, p.logIn("ann", "correct horse", agent(fmt.Sprintf("client %d", i))).tokens(t))
	}
	s.sleep(time.Minute)
	pairs[0] = p.refreshWith(pairs[0].RefreshToken).tokens(t)
	now := s.time()

	type item struct {
		ID                                uuid.UUID
		Client                            string
		CreatedAt, RefreshedAt, ExpiresAt time.Time
		Current                           bool
	}
	list := func(query string) (items []item, next string) {
		r := p.call("GET", "/users/me/sessions"+query, nil, token(pairs[0].AccessToken))
		r.into(t, &items)
		return items, r.next
	}
	newest, next := list("?limit=3")
	oldest, end := list("?limit=3&cursor=" + next)
	require.Empty(t, end)
	all := append(newest, oldest...)
	require.Len(t, all, 4)
	for i, want := range []string{"client 2", "client 1", "client 0", "first"} {
		require.Equal(t, want, all[i].Client)
		require.Equal(t, want == "first", all[i].Current)
	}
	created := now.Add(-time.Minute - 3*time.Second)
	require.WithinDuration(t, created, all[3].CreatedAt, time.Millisecond)
	require.WithinDuration(t, now, all[3].RefreshedAt, time.Millisecond)
	require.WithinDuration(t, now.Add(refreshTokenLife), all[3].ExpiresAt, time.Millisecond)

	path := "/users/me/sessions/" + strings.ToUpper(all[0].ID.String())
	bob := p.logIn("bob", "correct horse").tokens(t)
	for what, r := range map[string]reply{
		"of another user": p.call("DELETE", path, nil, token(bob.AccessToken)),
		"unknown":         p.call("DELETE", "/users/me/sessions/"+uuid.NewString(), nil, token(bob.AccessToken)),
		"no id":           p.call("DELETE", "/users/me/sessions/x", nil, token(bob.AccessToken)),
	} {
		require.Equal(t, 404, r.status, what)
		require.Equal(t, "you have no session of that id", r.err, what)
	}
	require.Equal(t, 200, p.call("DELETE", path, nil, token(pairs[0].AccessToken)).status)
	require.False(t, p.works(pairs[3].AccessToken))
	require.Equal(t, 401, p.refreshWith(pairs[3].RefreshToken).status)
	rest, _ := list("")
	require.Equal(t, all[1:], rest)
}

func TestAClientsNameIsCutAndValid(t *testing.T) {
	p := newSystem(t).process()
	pair := p.signUp("ann", agent("\xff"+strings.Repeat("ä", 300)))
	token, _ := parseRefreshToken(pair.RefreshToken)
	session, err := p.store.Session(t.Context(), token.family)
	require.NoError(t, err)
	require.Equal(t, "\uFFFD"+strings.Repeat("ä", 199), session.Client)
}

func TestSuccessorsDependOnTokenAndKey(t *testing.T) {
	spent := newRefreshToken(uuid.New())
	one := newTokens([]Key{key(t, "a"), key(t, "b")}, time.Now).successors(spent)
	two := newTokens([]Key{key(t, "b")}, time.Now).successors(spent)
	require.Equal(t, one[1:], two)
	require.NotEqual(t, one[0], one[1])
	require.Equal(t, spent.family, one[0].family)
	sameSecret := spent
	sameSecret.family = uuid.New()
	require.False(t, bytes.Equal(one[0].hash(), newTokens([]Key{key(t, "a")}, time.Now).successors(sameSecret)[0].hash()))
}
