package check

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"sort"

	"github.com/anishathalye/porcupine"

	"github.com/twtr-dev/twtr/dev/chaos/history"
)

// call is a call to a register: what it does to the value, if it fits it.
type call struct {
	history.Op
	apply func(value string) (next string, fits bool)
	class class
}

// class is a class of calls. Writes of one class do the same, but for [claims].
type class int

const (
	follows class = iota
	unfollows
	claims // sign-ups: one at most takes effect
	reads
)

// state is that of a register whose calls are put in order.
//
// A write of unknown outcome takes effect once or never. In the order it stands where it changes the value, or after the end, where
// nothing fits but these writes. Of those of one class that which was called first takes effect first: if any order explains what
// was read, one of these does. So the search is not exponential in the number of unknown outcomes.
type state struct {
	value string
	turns [claims]int // how many of unknown outcome have taken effect, by class
	ended bool
}

// step is an input of the model.
type step func(state) (state, bool)

var register = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(s, input, _ any) (bool, any) {
		next, ok := input.(step)(s.(state))
		return ok, next
	},
}

// known is the step of a call whose outcome is known.
func (c call) known(s state) (state, bool) {
	var fits bool
	s.value, fits = c.apply(s.value)
	return s, fits
}

// pending is the step of the write that is the turn-th of its class without a known outcome.
func (c call) pending(turn int) step {
	return func(s state) (state, bool) {
		if s.ended {
			return s, true
		}
		next, fits := c.apply(s.value)
		if !fits || next == s.value {
			return s, false
		}
		s.value = next
		if c.class == claims {
			return s, true
		}
		inTurn := turn == s.turns[c.class]
		s.turns[c.class]++
		return s, inTurn
	}
}

func end(s state) (state, bool) {
	s.ended = true
	return s, true
}

// linearizable reports whether an order explains the known calls, given that the pending ones, by the time of their call, may have
// taken effect or not.
func linearizable(known, pending []call) bool {
	var last int64
	var all []porcupine.Operation
	for _, c := range known {
		all = append(all, porcupine.Operation{Input: step(c.known), Call: int64(c.Call), Return: int64(c.Return)})
		last = max(last, int64(c.Return))
	}
	turns := map[class]int{}
	for _, c := range pending {
		all = append(all, porcupine.Operation{Input: c.pending(turns[c.class]), Call: int64(c.Call), Return: math.MaxInt64})
		turns[c.class]++
		last = max(last, int64(c.Call))
	}
	all = append(all, porcupine.Operation{Input: step(end), Call: last + 1, Return: math.MaxInt64 - 1})
	return porcupine.CheckOperations(register, all)
}

// contradiction returns the smallest prefix of a register's history that no order explains, or nil. A prefix ends with the return of
// a call; writes that have not returned by then may have taken effect.
func contradiction(calls []call) []history.Op {
	var known []call
	for _, c := range calls {
		if c.Known() || c.class == reads {
			known = append(known, c)
		}
	}
	slices.SortStableFunc(known, func(a, b call) int { return int(a.Return - b.Return) })
	pending := func(n int) (writes []call) {
		end := known[n-1].Return
		for _, c := range known[n:] {
			if c.class != reads && c.Call <= end {
				writes = append(writes, c)
			}
		}
		for _, c := range calls {
			if !c.Known() && c.class != reads && c.Call <= end {
				writes = append(writes, c)
			}
		}
		slices.SortStableFunc(writes, func(a, b call) int { return byCall(a.Op, b.Op) })
		return writes
	}
	if len(known) == 0 || linearizable(known, pending(len(known))) {
		return nil
	}
	n := 1 + sort.Search(len(known)-1, func(i int) bool { return !linearizable(known[:i+1], pending(i+1)) })
	var ops []history.Op
	for _, c := range append(slices.Clone(known[:n]), pending(n)...) {
		ops = append(ops, c.Op)
	}
	return ops
}

// registers collects the calls of each register.
type registers[K comparable] struct {
	keys  []K // in the order of their first call
	calls map[K][]call
}

func (r *registers[K]) add(key K, op history.Op, class class, apply func(string) (string, bool)) {
	if r.calls == nil {
		r.calls = map[K][]call{}
	}
	if r.calls[key] == nil {
		r.keys = append(r.keys, key)
	}
	r.calls[key] = append(r.calls[key], call{op, apply, class})
}

// The values of an edge. The first one is that of a register at its beginning.
const (
	notFollowing = ""
	following    = "following"
)

func writes(value string) func(string) (string, bool) {
	return func(string) (string, bool) { return value, true }
}

func isEdge(found bool) func(string) (string, bool) {
	return func(value string) (string, bool) { return value, found == (value == following) }
}

// The kinds of the reads at the end, in the findings.
const (
	finalFollowings history.Kind = "followings at the end"
	finalFollowers  history.Kind = "followers at the end"
	finalProfile    history.Kind = "profile at the end"
)

// checkEdges checks that each edge is a linearizable register.
func (r *Report) checkEdges(ops []history.Op, final history.Final) {
	var edges registers[pair]
	for _, op := range ops {
		p := pair{op.User, op.Target}
		switch {
		case op.Kind == history.Follow && op.Possible():
			edges.add(p, op, follows, writes(following))
		case op.Kind == history.Unfollow && op.Possible():
			edges.add(p, op, unfollows, writes(notFollowing))
		case op.Kind == history.Edge && op.Known():
			edges.add(p, op, reads, isEdge(op.Found))
		}
	}
	followings, followers := followingsOf(final), followersOf(final)
	pairs := map[pair]bool{}
	for _, p := range edges.keys {
		pairs[p] = true
	}
	for _, read := range []map[pair]bool{followings, followers} {
		for p := range read {
			if has(final.Followings, p.reader) { // not of followers from before the run
				pairs[p] = true
			}
		}
	}
	at := history.End(ops)
	for _, p := range slices.SortedFunc(maps.Keys(pairs), pair.compare) {
		// Nothing runs any more between the two reads, so both have to be right.
		fits := func(value string) (string, bool) {
			follows := value == following
			return value, (followings[p] == follows || !has(final.Followings, p.reader)) && (followers[p] == follows || !has(final.Followers, p.author))
		}
		read := history.Op{User: p.reader, Target: p.author, Outcome: history.Acknowledged, Call: at, Return: at}
		if has(final.Followings, p.reader) {
			read.Kind, read.Found = finalFollowings, followings[p]
			edges.add(p, read, reads, fits)
		}
		if has(final.Followers, p.author) {
			read.Kind, read.Found = finalFollowers, followers[p]
			edges.add(p, read, reads, fits)
		}
		if found := contradiction(edges.calls[p]); found != nil {
			r.find(NotLinearizable, found, "no order of the calls explains whether %s follows %s", p.reader, p.author)
		}
	}
}

// checkNames checks that each user name is a linearizable register, whose value is the password that it was taken with.
func (r *Report) checkNames(ops []history.Op, final history.Final) {
	var names registers[string]
	for _, op := range ops {
		password := passwordOf(op.Secret)
		switch {
		case op.Kind == history.SignUp && op.Possible():
			names.add(op.User, op, claims, claim(op.Secret))
		case op.Kind == history.LogIn && op.Known():
			names.add(op.User, op, reads, func(value string) (string, bool) { return value, value == password })
		case op.Kind == history.SignUp && op.Code == http.StatusConflict,
			op.Kind == history.LogIn && op.Code == http.StatusUnprocessableEntity:
			names.add(op.User, op, reads, func(value string) (string, bool) { return value, value != "" && value != password })
		case op.Kind == history.Profile && op.Known():
			names.add(op.Target, op, reads, isUser(op.Found))
		case op.Code == http.StatusNotFound:
			if name := notFound(op); name != "" {
				names.add(name, op, reads, isUser(false))
			}
		}
	}
	at := history.End(ops)
	for _, name := range names.keys {
		read := history.Op{Kind: finalProfile, Target: name, Found: has(final.Counts, name), Outcome: history.Acknowledged, Call: at, Return: at}
		names.add(name, read, reads, isUser(read.Found))
		if found := contradiction(names.calls[name]); found != nil {
			r.find(NotLinearizable, found, "no order of the calls explains whether %s is a user, and with which password", name)
		}
	}
}

// passwordOf is the value of a name that was taken with that secret; that of one that was not is empty.
func passwordOf(secret string) string { return "password " + secret }

// claim is a sign-up. Repeated with the same password it logs in.
func claim(secret string) func(string) (string, bool) {
	password := passwordOf(secret)
	return func(value string) (string, bool) { return password, value == "" || value == password }
}

func isUser(found bool) func(string) (string, bool) {
	return func(value string) (string, bool) { return value, found == (value != "") }
}

// notFound is the name that is no user's, as the 404 to this call says.
func notFound(op history.Op) string {
	switch op.Kind {
	case history.LogIn, history.Edge:
		return op.User
	case history.Profile, history.Follow, history.Unfollow, history.Tweets:
		return op.Target
	}
	return ""
}
