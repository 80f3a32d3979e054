//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/chaos/history"
	"github.com/twtr-dev/twtr/dev/internal/traffic"
	"github.com/twtr-dev/twtr/workflows"
)

// settled returns when no workflow has been running for a moment.
func (s *system) settled(ctx context.Context) error {
	quiet := 0
	return traffic.Eventually(ctx, 15*time.Minute, func() error {
		count, err := s.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: "ExecutionStatus = 'Running'"})
		if err != nil {
			return err
		}
		quiet++
		if count.Count > 0 {
			quiet = 0
		}
		if quiet < 6 { // some 3 s: the list of workflows is a moment behind
			return fmt.Errorf("%d workflows are running", count.Count)
		}
		return nil
	})
}

// maxEvents is what docs/operations.md promises of histories.
const maxEvents = 2000

// longestHistory returns how many events the longest history has of those that have ended.
func (s *system) longestHistory(ctx context.Context) (longest int64, err error) {
	request := &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000, Query: "ExecutionStatus != 'Running'"}
	for {
		list, err := s.client.ListWorkflow(ctx, request)
		if err != nil {
			return 0, err
		}
		for _, e := range list.Executions {
			longest = max(longest, e.HistoryLength)
		}
		if request.NextPageToken = list.NextPageToken; len(request.NextPageToken) == 0 {
			return longest, nil
		}
	}
}

// maxItems is the default of feed.max_items.
const maxItems = 1000

// read reads everything, once nothing changes any more. followers have no account, but a feed.
func (s *system) read(ctx context.Context, c *clients, followers []string) (f history.Final, err error) {
	f = history.Final{
		Tweets: map[string][]string{}, Feeds: map[string][]string{}, Followings: map[string][]string{}, Followers: map[string][]string{},
		Counts: map[string]history.Counts{}, Audits: map[string]history.Audit{},
		MaxItems: maxItems,
	}
	// The driver notices with the first call that its idle connections are gone.
	if err := traffic.Eventually(ctx, time.Minute, func() error { return s.store.Ping(ctx) }); err != nil {
		return f, err
	}
	if err := s.readFeeds(ctx, followers, f.Feeds); err != nil {
		return f, err
	}
	for _, name := range c.names() {
		if err := s.readUser(ctx, c.api, name, f); err != nil {
			return f, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range slices.Concat(c.users, []string{celebrity}) { // whose password is known
		d := &device{clients: c, name: name}
		if d.logIn(ctx, 0); d.access == "" {
			return f, fmt.Errorf("%s can't log in", name)
		}
		if f.Feeds[name], err = c.api.Feed(ctx, d.access); err != nil {
			return f, err
		}
	}
	return f, nil
}

// readUser reads what anybody may read of a user, if there is one, and the feed.
func (s *system) readUser(ctx context.Context, api *traffic.Client, name string, f history.Final) (err error) {
	var counts history.Counts
	err = api.Call(ctx, http.MethodGet, "/users/"+name, "", nil, &counts)
	if refused, ok := errors.AsType[*traffic.Refused](err); ok && refused.Code == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	f.Counts[name] = counts
	if f.Tweets[name], err = api.Tweets(ctx, name); err != nil {
		return err
	}
	if f.Followings[name], err = api.Names(ctx, "/users/"+name+"/followings", ""); err != nil {
		return err
	}
	if f.Followers[name], err = api.Names(ctx, "/users/"+name+"/followers", ""); err != nil {
		return err
	}
	if err := s.readFeeds(ctx, []string{name}, f.Feeds); err != nil {
		return err
	}
	in := workflows.RebuildFeedInput{Reader: name, DryRun: true}
	run, err := s.client.ExecuteWorkflow(ctx, in.StartOptions(), workflows.RebuildFeed, in)
	if err != nil {
		return err
	}
	var found twtr.Audit
	if err := run.Get(ctx, &found); err != nil {
		return err
	}
	f.Audits[name] = history.Audit{Missing: found.Missing, Extra: found.Extra}
	return nil
}

// readFeeds reads feeds from the store, also of users who have no account.
func (s *system) readFeeds(ctx context.Context, readers []string, feeds map[string][]string) error {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, reader := range readers {
		g.Go(func() error {
			var all []string
			for window := (twtr.Window{}); ; {
				page, err := s.store.Feed(ctx, reader, window, 500)
				if err != nil {
					return err
				}
				for _, t := range page {
					all = append(all, t.ID.String())
				}
				if len(page) < 500 {
					break
				}
				window.Before = page[len(page)-1].ID
			}
			mu.Lock()
			defer mu.Unlock()
			feeds[reader] = all
			return nil
		})
	}
	return g.Wait()
}
