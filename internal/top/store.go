package top

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twtr-dev/twtr"
)

// Store is a store that may not be available yet. It is opened in the background, because an attempt may take long, and the view works
// without it.
type Store struct {
	mu     sync.Mutex
	store  twtr.Store
	err    error
	closed bool
}

const (
	// openEvery is the pause between two attempts to open the store.
	openEvery = 2 * time.Second
	// openTimeout is how long the first snapshot waits for the store.
	openTimeout = time.Second
)

// OpenInBackground opens a store, and tries again until it is open or ctx ends. It returns after the first attempt, or after a second.
func OpenInBackground(ctx context.Context, open func(context.Context) (twtr.Store, error)) *Store {
	s := &Store{err: errors.New("connecting")}
	first := make(chan struct{})
	go func() {
		done := s.set(open(ctx))
		close(first)
		for !done {
			select {
			case <-time.After(openEvery):
			case <-ctx.Done():
				return
			}
			done = s.set(open(ctx))
		}
	}()
	select {
	case <-first:
	case <-time.After(openTimeout):
	case <-ctx.Done():
	}
	return s
}

// set keeps the result of an attempt, and reports whether it was the last one.
func (s *Store) set(store twtr.Store, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store, s.err = store, err
	if store != nil && s.closed {
		store.Close()
	}
	return err == nil || s.closed
}

// Get returns the store, or why it is not open yet.
func (s *Store) Get() (twtr.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store, s.err
}

// Close closes the store if it is open, or as soon as it is.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.store != nil {
		s.store.Close()
	}
}
