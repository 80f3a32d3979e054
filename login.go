package twtr

import "time"

// LoginFailures counts the failed log-ins to one account from one source, and those in flight. A source is a group of clients that
// share a count: one network, one session, or all that are not known.
type LoginFailures struct {
	Username string
	Source   string
	Count    int
	// Last is the time of the last attempt: UTC, whole milliseconds.
	Last time.Time
}

// LoginFailuresKept is how long a count is kept after the last attempt.
const LoginFailuresKept = 24 * time.Hour

// KnownSourceKept is how long a source is known after the last log-in from it.
const KnownSourceKept = 90 * 24 * time.Hour
