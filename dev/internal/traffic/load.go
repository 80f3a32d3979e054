package traffic

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Load is what clients do while something happens to the deployment: an author posts, a follower reads, and the author follows and
// unfollows.
type Load struct {
	client           *Client
	name             string // of the author
	author, follower string // tokens
	stop             context.CancelFunc
	done             sync.WaitGroup

	mu       sync.Mutex
	posted   []string // the tweets that the author was told are posted, in that order
	requests int
	failures []error
	inRow    map[string]int // successes of each kind of request since its last failure
}

// StartLoad signs up the author and the follower, with names that begin with prefix, and starts the load. No request is sent more
// often than the limits for a user and for an address allow.
func StartLoad(ctx context.Context, client *Client, prefix string) (*Load, error) {
	l := &Load{client: client, name: prefix + "_author", inRow: map[string]int{}}
	var err error
	if l.author, err = client.SignUp(ctx, l.name); err != nil {
		return nil, err
	}
	if l.follower, err = client.SignUp(ctx, prefix+"_follower"); err != nil {
		return nil, err
	}
	if err := client.Follow(ctx, l.follower, l.name); err != nil {
		return nil, err
	}
	ctx, l.stop = context.WithCancel(ctx)
	next := 1
	l.repeat(ctx, "posts", 1100*time.Millisecond, func() error {
		// A call that failed may have posted, so the next one has the same key.
		id, err := client.Post(ctx, l.author, fmt.Sprintf("number %d under load", next), fmt.Sprintf("%s-%d", prefix, next))
		if err != nil {
			return err
		}
		next++
		l.mu.Lock()
		defer l.mu.Unlock()
		l.posted = append(l.posted, id)
		return nil
	})
	l.repeat(ctx, "feed reads", 150*time.Millisecond, func() error {
		return client.Call(ctx, http.MethodGet, "/feeds/me", l.follower, nil, nil)
	})
	l.repeat(ctx, "profile reads", 200*time.Millisecond, func() error {
		return client.Call(ctx, http.MethodGet, "/users/"+l.name, "", nil, nil)
	})
	followed := false
	l.repeat(ctx, "follows", 1500*time.Millisecond, func() error {
		var err error
		if followed {
			err = client.Call(ctx, http.MethodDelete, "/follow/"+prefix+"_follower", l.author, nil, nil)
		} else {
			err = client.Follow(ctx, l.author, prefix+"_follower")
		}
		if err == nil {
			followed = !followed
		}
		return err
	})
	return l, nil
}

// repeat calls f at an interval until the load is stopped.
func (l *Load) repeat(ctx context.Context, kind string, interval time.Duration, f func() error) {
	l.inRow[kind] = 0
	l.done.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			err := f()
			if ctx.Err() != nil {
				return // of the end, not of the API
			}
			l.record(kind, began, err)
			select {
			case <-ctx.Done():
			case <-time.After(interval - time.Since(began)):
			}
		}
	})
}

func (l *Load) record(kind string, began time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	l.inRow[kind]++
	if err != nil {
		l.inRow[kind] = 0
		l.failures = append(l.failures, fmt.Errorf("%s: %w", began.Format("15:04:05.000"), err))
	}
}

// AwaitSuccess returns when each kind of request has succeeded three times in a row from now on.
func (l *Load) AwaitSuccess(ctx context.Context, limit time.Duration) error {
	l.mu.Lock()
	for kind := range l.inRow {
		l.inRow[kind] = 0
	}
	l.mu.Unlock()
	return Eventually(ctx, limit, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for kind, n := range l.inRow {
			if n < 3 {
				var last error
				if len(l.failures) > 0 {
					last = l.failures[len(l.failures)-1]
				}
				return fmt.Errorf("%d of %s succeeded in a row; the last failure: %v", n, kind, last) //nolint:errorlint // there may be none
			}
		}
		return nil
	})
}

// Finish stops the load, and compares the author's list and the follower's feed with the tweets that the author was told are posted.
// Failures are errors unless allowed, which can be nil, accepts them.
func (l *Load) Finish(ctx context.Context, allowed func(error) bool) error {
	l.Stop()
	for _, err := range l.failures {
		if allowed == nil || !allowed(err) {
			return fmt.Errorf("of %d requests %d failed, one of them: %w", l.requests, len(l.failures), err)
		}
	}
	if len(l.posted) == 0 {
		return fmt.Errorf("the load posted nothing")
	}
	if err := l.holds(ctx, "the author's list", func() ([]string, error) { return l.client.Tweets(ctx, l.name) }); err != nil {
		return err
	}
	return l.holds(ctx, "the follower's feed", func() ([]string, error) { return l.client.Feed(ctx, l.follower) })
}

// Stop ends the load and returns when its last requests have ended.
func (l *Load) Stop() {
	l.stop()
	l.done.Wait()
}

// Summary tells how many requests there were, after the end of the load.
func (l *Load) Summary() string {
	return fmt.Sprintf("%d requests, %d failed; %d tweets", l.requests, len(l.failures), len(l.posted))
}

func (l *Load) holds(ctx context.Context, what string, read func() ([]string, error)) error {
	want := slices.Clone(l.posted)
	slices.Reverse(want)
	return Eventually(ctx, time.Minute, func() error {
		got, err := read()
		if err != nil {
			return err
		}
		// The request that was in flight at the end may have posted, too.
		if len(got) == len(want)+1 {
			got = got[1:]
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s has %d tweets, not the %d that were posted, in their order", what, len(got), len(want))
		}
		return nil
	})
}
