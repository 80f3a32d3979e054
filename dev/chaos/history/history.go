// Package history is what the clients of a run asked for and what they were told, and what could be read at its end.
package history

import "time"

// Kind is a kind of call.
type Kind string

// The calls that clients make.
const (
	SignUp   Kind = "sign-up"
	LogIn    Kind = "log-in"
	Refresh  Kind = "refresh"
	Post     Kind = "post"
	Delete   Kind = "delete"
	Follow   Kind = "follow"
	Unfollow Kind = "unfollow"
	Feed     Kind = "feed"       // a page of User's feed
	Tweets   Kind = "tweets"     // the first page of Target's tweets
	Edge     Kind = "followings" // all pages of User's followings, read for one Target
	Profile  Kind = "profile"    // of Target
)

// Outcome is what a client knows after a call.
type Outcome string

// The outcomes of a call.
const (
	Acknowledged Outcome = "acknowledged" // 200
	Refused      Outcome = "refused"      // 4xx: it has had no effect and will have none
	Unknown      Outcome = "unknown"      // 5xx, 429, no answer, or none in time: it may have had an effect, or may have one later
)

// Op is one call.
type Op struct {
	Kind    Kind          `json:"kind"`
	User    string        `json:"user,omitempty"`    // who calls; the name to sign up or to log in
	Target  string        `json:"target,omitempty"`  // whom to follow, or whose list is read
	Tweet   string        `json:"tweet,omitempty"`   // the ID that was returned by a post, or that is deleted
	Key     string        `json:"key,omitempty"`     // the Idempotency-Key of a post; calls of one user with one key are one post
	Session string        `json:"session,omitempty"` // which session a sign-up or a log-in began, or a refresh is of, if User has several
	Secret  string        `json:"secret,omitempty"`  // which password a sign-up or a log-in used: a number, not the password
	Tweets  []string      `json:"tweets,omitempty"`  // the IDs that a read returned, newest first
	Found   bool          `json:"found,omitempty"`   // Edge: User follows Target; Profile: there is such a user
	Code    int           `json:"code,omitempty"`    // HTTP status; 0: no answer
	Outcome Outcome       `json:"outcome"`
	Message string        `json:"message,omitempty"` // why it failed
	Call    time.Duration `json:"call"`              // when it was sent, since the start of the run, by one monotonic clock
	Return  time.Duration `json:"return"`            // when the answer was there
}

// Final is what was read when all faults were healed and no workflow was running. Each map has an entry, be it empty, for every user
// of the run.
type Final struct {
	Tweets     map[string][]string `json:"tweets"`     // all pages of each user's list, newest first
	Feeds      map[string][]string `json:"feeds"`      // all pages of each user's feed, newest first
	Followings map[string][]string `json:"followings"` // whom each user follows
	Followers  map[string][]string `json:"followers"`
	Counts     map[string]Counts   `json:"counts"` // of each user's profile; a name that has none is no user
	Audits     map[string]Audit    `json:"audits"` // of each user's feed
	// MaxItems is feed.max_items: of a feed no more than its newest items have to be there. 0: all have.
	MaxItems int `json:"maxItems,omitempty"`
}

// Counts are those that a profile shows.
type Counts struct {
	Followers  int64 `json:"followers"`
	Followings int64 `json:"followings"`
}

// Audit is the result of an audit of a feed.
type Audit struct {
	Missing int64 `json:"missing"`
	Extra   int64 `json:"extra"`
}
