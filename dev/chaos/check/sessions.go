package check

import (
	"time"

	"github.com/twtr-dev/twtr/dev/chaos/history"
)

const (
	// refreshGrace is how long a spent refresh token can be repeated.
	refreshGrace = 2 * time.Minute
	// maxSessions is how many sessions a user can have: one more log-in ends the oldest.
	maxSessions = 100
)

// session is what the calls up to now say of a session.
type session struct {
	ended   bool
	unclear []history.Op // the refreshes of unknown outcome since the last one that returned a token
}

// checkSessions finds sessions whose refresh was refused. A refresh that was repeated after [refreshGrace] may be: the service takes
// the first one's token for stolen.
func (r *Report) checkSessions(ops []history.Op) {
	type key struct{ user, session string }
	sessions := map[key]*session{}
	begun := map[string]int{}
	for _, op := range ops {
		k := key{op.User, op.Session}
		s := sessions[k]
		if s == nil {
			s = &session{}
			sessions[k] = s
		}
		switch {
		case op.Kind == history.SignUp || op.Kind == history.LogIn:
			if op.Possible() {
				begun[op.User]++
			}
			if op.Known() {
				*s = session{}
			}
		case op.Kind != history.Refresh || s.ended:
		case op.Outcome == history.Unknown:
			s.unclear = append(s.unclear, op)
		case op.Known():
			s.unclear = nil
		default:
			s.ended = true
			tooLate := len(s.unclear) > 0 && op.Return-s.unclear[0].Call >= refreshGrace
			if !tooLate && begun[op.User] <= maxSessions {
				r.find(Missing, append(s.unclear, op), "lost session: a refresh of a session of %s was refused", op.User)
			}
		}
	}
}
