//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// change is a change of a source file for one build.
type change struct {
	file     string // in the repository
	old, new string
}

// breaks are changes that take away a safeguard, to show that the checker finds what it prevents.
var breaks = map[string]change{
	"retraction-mark": { // the tweet stays in the feeds
		"store/cassandra/feeds.go", "SET deleted = true, author = '', body = ''", "SET deleted = false"},
	"tombstone": { // and in the author's list
		"store/cassandra/tweets.go", "row(deleteTweet, at, id), row(markTweetByUser, t.Username, id, at+1)",
		"row(deleteTweet, at-1, id), row(markTweetByUser, t.Username, id, at-1)"},
	"second-sweep": { // nor is what a delivery in flight wrote after the first one removed
		"workflows/followers.go", "\t\tf.sweepAgain = workflow.Now(ctx).Add(sweepAfter)\n\t}\n\tif !f.sweepAgain", "\t}\n\tif !f.sweepAgain"},
	"idempotency-claim": { // each attempt is a tweet of its own
		"api/tweets.go", "return claim.TweetID, nil", "return id, nil"},
	"heartbeat-cursor": { // a retry skips what it has not delivered to
		"activities/walk.go", "\t\t\treturn from, err\n\t\t}\n\t}\n\tw.progress", "\t\t\treturn from, err\n\t\t}\n\t\tfrom.Left = from.Left[min(1, len(from.Left)):]\n\t}\n\tw.progress"},
}

// overlay is the file for `go build -overlay` with changed sources, by their paths.
type overlay struct {
	dir     string
	sources map[string]string // path: content
}

// breakIt takes a safeguard away.
func (o *overlay) breakIt(root, name string) error {
	c, ok := breaks[name]
	if !ok {
		return fmt.Errorf("there is no break %q, only %s", name, strings.Join(slices.Sorted(maps.Keys(breaks)), ", "))
	}
	return o.change(filepath.Join(root, c.file), c.old, c.new)
}

// change replaces a text of a source, which has it once.
func (o *overlay) change(path, old, new string) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if strings.Count(string(source), old) != 1 {
		return fmt.Errorf("%s does not have this once: %s", path, old)
	}
	o.sources[path] = strings.Replace(string(source), old, new, 1)
	return nil
}

// write returns the file's name.
func (o *overlay) write(name string) (string, error) {
	replace := map[string]string{}
	for path, content := range o.sources {
		file := filepath.Join(o.dir, fmt.Sprintf("%s-%d.go", name, len(replace)))
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return "", err
		}
		replace[path] = file
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(o.dir, name+".json")
	return file, os.WriteFile(file, text, 0o600)
}

// skewClock makes time.Now wrong by $CHAOS_CLOCK seconds. Timers and durations use the monotonic clock, which stays right, as on a
// machine whose clock is wrong.
func (o *overlay) skewClock(ctx context.Context) error {
	root, err := goTool(ctx, o.dir, "env", "GOROOT")
	if err != nil {
		return err
	}
	const begin = "\nfunc Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	o.sources[filepath.Join(root, "src", "time", "chaos.go")] = `package time

import "syscall"

var chaosClock = func() (seconds int64) {
	text, _ := syscall.Getenv("CHAOS_CLOCK")
	sign := int64(1)
	for _, c := range []byte(text) {
		if c == '-' {
			sign = -1
		} else {
			seconds = 10*seconds + int64(c-'0')
		}
	}
	return sign * seconds
}()
`
	return o.change(filepath.Join(root, "src", "time", "time.go"), begin, begin+"\tsec += chaosClock\n")
}

// deliverLate makes a delivery wait for $CHAOS_LATE after it has read a page of followers, as a process does that is paused there. A
// pause from outside would have to hit these few milliseconds.
func (o *overlay) deliverLate(root string) error {
	o.sources[filepath.Join(root, "activities", "chaos.go")] = `package activities

import (
	"os"
	"time"
)

var chaosLate, _ = time.ParseDuration(os.Getenv("CHAOS_LATE"))
`
	const write = "\t\tif err := a.feeds.PutFeedItem("
	return o.change(filepath.Join(root, "activities", "feeds.go"), write, "\t\ttime.Sleep(chaosLate)\n"+write)
}
