package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

const (
	// revocationsEvery is the time between two reads of the sessions that have ended: access tokens of one that ended at another
	// process are refused here that much later, and the time that the read takes.
	revocationsEvery = 2 * time.Second
	// revocationsTimeout bounds one read: with the time between two, 5 s.
	revocationsTimeout = 3 * time.Second
	// revocationsMaxAge is how old the last successful read may be.
	revocationsMaxAge = 10 * time.Second
	// revocationsOverlap is how far each read reaches back before the last one: the process that ended a session may have a clock
	// that is behind by clockLeeway, and its write may take a while.
	revocationsOverlap = clockLeeway + 15*time.Second
)

// revocations are the sessions that have ended lately, whose access tokens must be refused though they have not expired. Sessions
// that end at other processes are read from the store. When they could not be read for revocationsMaxAge, all access tokens are
// refused until they can: nearly every call that needs one needs the store as well.
type revocations struct {
	store twtr.SessionStore
	now   func() time.Time
	log   *slog.Logger

	mu    sync.RWMutex
	ended map[uuid.UUID]time.Time // when this process learned of the end
	read  time.Time               // when the last successful read began; zero before the first
}

func newRevocations(store twtr.SessionStore, now func() time.Time, log *slog.Logger) *revocations {
	return &revocations{store: store, now: now, log: log, ended: map[uuid.UUID]time.Time{}}
}

// check returns an error if the session has ended, or if that is not known.
func (r *revocations) check(session uuid.UUID) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if _, ended := r.ended[session]; ended {
		return twtr.Errorf(twtr.Unauthenticated, "the session has ended: log in")
	}
	if !r.read.IsZero() && r.now().Sub(r.read) > revocationsMaxAge {
		return twtr.Errorf(twtr.Unavailable, "the store does not answer, which knows whether the session has ended")
	}
	return nil
}

func (r *revocations) add(sessions ...uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for _, session := range sessions {
		if _, known := r.ended[session]; !known {
			r.ended[session] = now
		}
	}
}

// load reads the sessions that have ended since the last time, the first time all that are remembered. It forgets those whose
// access tokens have all expired.
func (r *revocations) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, revocationsTimeout)
	defer cancel()
	now := r.now()
	since := now.Add(-twtr.EndedSessionsKept)
	if last := r.lastRead(); !last.IsZero() {
		since = last.Add(-revocationsOverlap)
	}
	ended, err := r.store.EndedSessions(ctx, since)
	if err != nil {
		return err
	}
	r.add(ended...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read = now
	for session, at := range r.ended {
		if now.Sub(at) > twtr.EndedSessionsKept {
			delete(r.ended, session)
		}
	}
	return nil
}

func (r *revocations) lastRead() time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.read
}

// poll reads again and again until ctx ends.
func (r *revocations) poll(ctx context.Context, every time.Duration) {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	failing := false
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		err := r.load(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			r.log.WarnContext(ctx, "ended sessions cannot be read; soon all access tokens are refused", "error", err)
		case err == nil && failing:
			r.log.InfoContext(ctx, "ended sessions can be read again")
		}
		failing = err != nil
	}
}

// Start lets the API know which sessions have ended, and keeps that up to date until stop is called, which returns when it no
// longer uses the store. Requests must not be served before: an access token of a session that has ended would be accepted. When ctx
// ends, live feeds end at once.
func (a *API) Start(ctx context.Context) (stop func(), err error) {
	if err := a.revoked.load(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { a.revoked.poll(ctx, revocationsEvery) })
	running.Go(func() { a.live.run(ctx) })
	return func() { cancel(); running.Wait() }, nil
}
