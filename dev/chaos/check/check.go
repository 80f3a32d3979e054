// Package check finds what contradicts the promises of the API in what clients of a run were told, and in what could be read
// at its end.
//
// What it expects, and where that is promised:
//   - A post that returned is durable, and two of one key are one tweet (api/openapi.yaml). A deletion that returned is for good; a 404
//     to a deletion after one of unknown outcome means that the tweet is deleted.
//   - A feed has, of each user whom its reader follows, the newest [twtr.BackfillTweets] and all since the follow, unless newer ones
//     fill it; nothing deleted, and nothing of others (docs/operations.md, audits). It may lag during the run.
//   - A follow or unfollow that returned is durable, and one of unknown outcome takes effect once, at any later time, or never. Requests
//     for one pair take effect one by one, and reads see the latest: both go to quorums, and a newer change has a later time
//     (workflows/followers.go). No weaker promise is documented, so a pair is a linearizable register.
//   - A name has one password from its first sign-up on (api/openapi.yaml): a linearizable register, too.
//   - A session can be refreshed, and repeating a refresh within two minutes is safe (api/openapi.yaml).
//
// A user, or a follow, from before the run needs an acknowledged call in the history.
package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twtr-dev/twtr/dev/chaos/history"
)

// Kind is a kind of finding.
type Kind string

// The kinds of findings.
const (
	Missing         Kind = "missing"          // a tweet, an edge or a session that should be there is not
	Duplicate       Kind = "duplicate"        // a tweet is there twice
	Extra           Kind = "extra"            // something is there that should not be, or is not in its place
	NotLinearizable Kind = "not linearizable" // no order of the calls explains what they returned
)

// Finding is a contradiction.
type Finding struct {
	Kind     Kind
	Sentence string
	// Ops are the calls that contradict each other or the final state, by the time of the call. If the finding is that calls are not
	// linearizable, they are the smallest prefix of the history of the pair or the name that is not.
	Ops []history.Op
}

// Report is the result of a check.
type Report struct {
	// Acknowledged counts the writes that clients were told are durable: sign-ups, tweets, deletions, follows and unfollows. Posts
	// of one key are one tweet.
	Acknowledged int
	// Missing, Duplicate, Extra and NotLinearizable count the findings.
	Missing, Duplicate, Extra, NotLinearizable int
	Findings                                   []Finding
}

// OK reports whether nothing was found.
func (r Report) OK() bool { return len(r.Findings) == 0 }

const (
	// maxFindings and maxOps bound what is printed, of findings and of the calls of each. One fault can lose a thousand tweets.
	maxFindings = 50
	maxOps      = 40
)

// String prints the findings, and their counts as the last line.
func (r Report) String() string {
	var s strings.Builder
	for i, f := range r.Findings {
		if i == maxFindings {
			fmt.Fprintf(&s, "… and %d more findings\n", len(r.Findings)-i)
			break
		}
		fmt.Fprintf(&s, "%s: %s\n", f.Kind, f.Sentence)
		from := max(0, len(f.Ops)-maxOps)
		if from > 0 {
			fmt.Fprintf(&s, "  … %d calls before\n", from)
		}
		for _, op := range f.Ops[from:] {
			fmt.Fprintf(&s, "  %s\n", op)
		}
	}
	fmt.Fprintf(&s, "acknowledged %d, missing %d, duplicate %d, extra %d, not linearizable %d",
		r.Acknowledged, r.Missing, r.Duplicate, r.Extra, r.NotLinearizable)
	return s.String()
}

func (r *Report) find(kind Kind, ops []history.Op, format string, args ...any) {
	switch kind {
	case Missing:
		r.Missing++
	case Duplicate:
		r.Duplicate++
	case Extra:
		r.Extra++
	case NotLinearizable:
		r.NotLinearizable++
	}
	ops = slices.Clone(ops)
	slices.SortStableFunc(ops, byCall)
	r.Findings = append(r.Findings, Finding{kind, fmt.Sprintf(format, args...), ops})
}

// Run checks the calls of a run, in any order, and what was read after it.
func Run(ops []history.Op, final history.Final) Report {
	ops = slices.Clone(ops)
	slices.SortStableFunc(ops, byCall)
	r := &Report{}
	r.checkComplete(final)
	follows := newFollowings(ops, final)
	tweets := newTweets(r, ops, final)
	r.checkReads(ops, tweets)
	r.checkLists(final, tweets)
	r.checkUnexplained(tweets)
	r.checkFeeds(final, tweets, follows)
	r.checkSessions(ops)
	r.checkCounts(final)
	r.checkEdges(ops, final)
	r.checkNames(ops, final)
	r.Acknowledged = tweets.posts
	for _, op := range ops {
		switch op.Kind {
		case history.SignUp, history.Delete, history.Follow, history.Unfollow:
			if op.Known() {
				r.Acknowledged++
			}
		}
	}
	return *r
}

// checkComplete makes sure that no check passes because nothing was read.
func (r *Report) checkComplete(final history.Final) {
	for _, user := range sorted(final.Counts) {
		for _, part := range []struct {
			name string
			read bool
		}{
			{"list", has(final.Tweets, user)}, {"feed", has(final.Feeds, user)}, {"followings", has(final.Followings, user)},
			{"followers", has(final.Followers, user)}, {"audit", has(final.Audits, user)}} {
			if !part.read {
				r.find(Missing, nil, "the final state lacks the %s of %s", part.name, user)
			}
		}
	}
}

func (r *Report) checkCounts(final history.Final) {
	for _, user := range sorted(final.Counts) {
		counts := final.Counts[user]
		for _, c := range []struct {
			name  string
			shown int64
			names []string
		}{{"followers", counts.Followers, final.Followers[user]}, {"followings", counts.Followings, final.Followings[user]}} {
			kind := Missing
			if c.shown > int64(len(c.names)) {
				kind = Extra
			}
			if c.shown != int64(len(c.names)) {
				r.find(kind, nil, "the profile of %s shows %d %s, and the list has %d", user, c.shown, c.name, len(c.names))
			}
		}
	}
	for _, user := range sorted(final.Audits) {
		audit := final.Audits[user]
		if audit.Missing != 0 {
			r.find(Missing, nil, "the audit of the feed of %s finds %d missing", user, audit.Missing)
		}
		if audit.Extra != 0 {
			r.find(Extra, nil, "the audit of the feed of %s finds %d extra", user, audit.Extra)
		}
	}
}

func byCall(a, b history.Op) int { return int(a.Call - b.Call) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func has[V any](m map[string]V, key string) bool { _, ok := m[key]; return ok }
