package check

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/chaos/history"
)

// system is a system that keeps its promises, and whose clients get some answers late or not at all. Time goes by in events: a call
// takes effect, once, at some time after it was sent, and if its outcome is unknown maybe much later or never.
type system struct {
	random *rand.Rand
	clock  time.Duration
	ops    []history.Op
	queue  []event

	passwords map[string]string
	follows   map[pair]bool
	tweets    map[string]string // their authors
	deleted   map[string]bool
	claims    map[pair]string            // the tweet of a user's key
	feeds     map[string]map[string]bool // rows by id; those of deleted tweets are marks
	maxItems  int
}

type event struct {
	at   time.Duration
	then func()
}

var users = []string{"ann", "bob", "cid", "dan"}

func newSystem(random *rand.Rand, calls, maxItems int) *system {
	s := &system{random: random, passwords: map[string]string{}, follows: map[pair]bool{}, tweets: map[string]string{},
		deleted: map[string]bool{}, claims: map[pair]string{}, feeds: map[string]map[string]bool{}, maxItems: maxItems}
	for i, user := range users {
		s.feeds[user] = map[string]bool{}
		op := history.Op{Kind: history.SignUp, User: user, Secret: "1", Code: 200, Outcome: history.Acknowledged,
			Call: time.Duration(i), Return: time.Duration(i + 1)}
		s.passwords[user] = op.Secret
		s.ops = append(s.ops, op)
	}
	now := time.Duration(100)
	for range calls {
		now += time.Duration(random.IntN(10))
		s.at(now, s.call)
	}
	for len(s.queue) > 0 {
		next := s.queue[0]
		s.queue = s.queue[1:]
		s.clock = next.at
		next.then()
	}
	return s
}

func (s *system) at(t time.Duration, then func()) {
	i, _ := slices.BinarySearchFunc(s.queue, t, func(e event, t time.Duration) int { return cmp.Or(cmp.Compare(e.at, t), -1) })
	s.queue = slices.Insert(s.queue, i, event{t, then})
}

func pick[T any](random *rand.Rand, of ...T) T { return of[random.IntN(len(of))] }

// call makes a random call.
func (s *system) call() {
	op := history.Op{
		Kind: pick(s.random, history.SignUp, history.LogIn, history.Profile, history.Post, history.Post, history.Post, history.Delete,
			history.Follow, history.Follow, history.Unfollow, history.Edge, history.Edge, history.Tweets, history.Feed, history.Refresh),
		User: pick(s.random, users...), Target: pick(s.random, users...), Outcome: history.Acknowledged, Code: 200, Call: s.clock,
	}
	switch op.Kind {
	case history.SignUp, history.LogIn, history.Profile:
		op.User = pick(s.random, "ann", "eve", "fay")
		op.Target, op.Secret = op.User, pick(s.random, "1", "2")
	case history.Post:
		op.Target, op.Key = "", pick(s.random, "", "", "k1", "k2")
	case history.Delete:
		op.Target = ""
		var visible []string
		for id, author := range s.tweets {
			if author == op.User {
				visible = append(visible, id)
			}
		}
		if len(visible) == 0 {
			return
		}
		slices.Sort(visible)
		op.Tweet = pick(s.random, visible...)
	case history.Follow, history.Unfollow, history.Edge:
		if op.User == op.Target {
			return
		}
	}
	effect := op.Call + time.Duration(s.random.IntN(30))
	op.Return = effect + time.Duration(s.random.IntN(30))
	never := false
	if s.random.IntN(4) == 0 {
		op.Outcome, op.Code = history.Unknown, 503
		never = s.random.IntN(2) == 0
		effect += time.Duration(s.random.IntN(200))
	}
	index := len(s.ops)
	s.ops = append(s.ops, op)
	s.at(effect, func() {
		if never {
			return
		}
		answer := op
		s.take(&answer)
		if op.Outcome != history.Unknown {
			s.ops[index] = answer
		}
	})
}

// take lets the call take effect.
func (s *system) take(op *history.Op) {
	refuse := func(code int) { op.Outcome, op.Code = history.Refused, code }
	password, isUser := s.passwords[op.User]
	switch op.Kind {
	case history.SignUp:
		if !isUser {
			s.passwords[op.User] = op.Secret
		} else if password != op.Secret {
			refuse(409)
		}
	case history.LogIn:
		if !isUser {
			refuse(404)
		} else if password != op.Secret {
			refuse(422)
		}
	case history.Profile:
		if op.Found = isUser; !isUser {
			refuse(404)
		}
	case history.Post:
		s.post(op)
	case history.Delete:
		if s.deleted[op.Tweet] {
			refuse(404)
		}
		s.deleted[op.Tweet] = true
	case history.Follow:
		if !s.follows[pair{op.User, op.Target}] {
			for _, id := range s.list(op.Target, twtr.BackfillTweets) {
				s.feeds[op.User][id] = true
			}
		}
		s.follows[pair{op.User, op.Target}] = true
	case history.Unfollow:
		delete(s.follows, pair{op.User, op.Target})
		for id := range s.feeds[op.User] {
			if s.tweets[id] == op.Target && !s.deleted[id] {
				delete(s.feeds[op.User], id)
			}
		}
	case history.Edge:
		op.Found = s.follows[pair{op.User, op.Target}]
	case history.Tweets:
		op.Tweets = s.list(op.Target, 3)
	case history.Feed:
		op.Tweets = slices.DeleteFunc(s.feed(op.User), func(string) bool { return s.random.IntN(4) == 0 }) // it may lag
	}
}

func (s *system) post(op *history.Op) {
	id, claimed := s.claims[pair{op.User, op.Key}]
	if op.Key == "" || !claimed {
		// The clock of some servers is wrong.
		id = fmt.Sprintf("t%06d-%04d", s.clock+time.Duration(s.random.IntN(50)), len(s.tweets))
	}
	op.Tweet = id
	if claimed && op.Key != "" {
		return
	}
	s.claims[pair{op.User, op.Key}] = id
	s.tweets[id] = op.User
	for p := range s.follows {
		if p.author == op.User {
			s.feeds[p.reader][id] = true
			s.trim(p.reader)
		}
	}
}

func newest(ids []string) []string {
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids
}

func (s *system) trim(reader string) {
	if s.maxItems == 0 {
		return
	}
	rows := newest(slices.Collect(maps.Keys(s.feeds[reader])))
	for _, id := range rows[min(s.maxItems, len(rows)):] {
		delete(s.feeds[reader], id)
	}
}

func (s *system) list(author string, limit int) []string {
	ids := []string{}
	for id, by := range s.tweets {
		if by == author && !s.deleted[id] {
			ids = append(ids, id)
		}
	}
	ids = newest(ids)
	return ids[:min(limit, len(ids))]
}

func (s *system) feed(reader string) []string {
	ids := []string{}
	for id := range s.feeds[reader] {
		if !s.deleted[id] {
			ids = append(ids, id)
		}
	}
	return newest(ids)
}

func (s *system) final() history.Final {
	f := history.Final{Tweets: map[string][]string{}, Feeds: map[string][]string{}, Followings: map[string][]string{},
		Followers: map[string][]string{}, Counts: map[string]history.Counts{}, Audits: map[string]history.Audit{}, MaxItems: s.maxItems}
	for user := range s.passwords {
		f.Tweets[user], f.Feeds[user] = s.list(user, math.MaxInt), s.feed(user)
		f.Followings[user], f.Followers[user], f.Audits[user] = []string{}, []string{}, history.Audit{}
		for p := range s.follows {
			if p.reader == user {
				f.Followings[user] = append(f.Followings[user], p.author)
			}
			if p.author == user {
				f.Followers[user] = append(f.Followers[user], p.reader)
			}
		}
		f.Counts[user] = history.Counts{Followers: int64(len(f.Followers[user])), Followings: int64(len(f.Followings[user]))}
	}
	return f
}

// mutation damages the final state. It returns false if there is nothing to damage in that way, and else what is found, and a name
// that everything found has in it.
type mutation func(s *system, f history.Final) (find, about string, ok bool)

func chooseFeed(s *system, f history.Final) (reader, id string, ok bool) {
	reader = pick(s.random, users...)
	if len(f.Feeds[reader]) == 0 {
		return "", "", false
	}
	return reader, pick(s.random, f.Feeds[reader]...), true
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(other string) bool { return other == name })
}

var mutations = map[string]mutation{
	"a tweet dropped from a feed": func(s *system, f history.Final) (string, string, bool) {
		reader, id, ok := chooseFeed(s, f)
		f.Feeds[reader] = without(f.Feeds[reader], id)
		return fmt.Sprintf("missing: the feed of %s lacks the tweet %s of %s", reader, id, s.tweets[id]), id, ok && s.maxItems == 0
	},
	"a tweet twice in a feed": func(s *system, f history.Final) (string, string, bool) {
		reader, id, ok := chooseFeed(s, f)
		f.Feeds[reader] = newest(append(f.Feeds[reader], id))
		return fmt.Sprintf("duplicate: the feed of %s has the tweet %s twice", reader, id), id, ok
	},
	"a tweet dropped from a list": func(s *system, f history.Final) (string, string, bool) {
		author := pick(s.random, users...)
		for _, op := range s.ops {
			inDoubt := func(other history.Op) bool { return other.Kind == history.Delete && other.Tweet == op.Tweet }
			if op.Kind == history.Post && op.Known() && op.User == author && !slices.ContainsFunc(s.ops, inDoubt) {
				f.Tweets[author] = without(f.Tweets[author], op.Tweet)
				return fmt.Sprintf("missing: the list of %s lacks the tweet %s", author, op.Tweet), op.Tweet, true
			}
		}
		return "", "", false
	},
	"a deleted tweet in a list": func(s *system, f history.Final) (string, string, bool) {
		for _, op := range s.ops {
			if op.Kind == history.Delete && op.Known() {
				f.Tweets[op.User] = newest(append(f.Tweets[op.User], op.Tweet))
				return fmt.Sprintf("extra: the list of %s has the deleted tweet %s", op.User, op.Tweet), op.Tweet, true
			}
		}
		return "", "", false
	},
	"a deleted tweet in a feed": func(s *system, f history.Final) (string, string, bool) {
		reader := pick(s.random, users...)
		for _, op := range s.ops {
			if op.Kind == history.Delete && op.Known() {
				f.Feeds[reader] = newest(append(f.Feeds[reader], op.Tweet))
				return fmt.Sprintf("extra: the feed of %s has the deleted tweet %s of %s", reader, op.Tweet, op.User), op.Tweet, true
			}
		}
		return "", "", false
	},
	"a tweet in the feed of a user who does not follow": func(s *system, f history.Final) (string, string, bool) {
		reader, author := pick(s.random, users...), pick(s.random, users...)
		if s.follows[pair{reader, author}] || len(f.Tweets[author]) == 0 {
			return "", "", false
		}
		id := pick(s.random, f.Tweets[author]...)
		f.Feeds[reader] = newest(append(f.Feeds[reader], id))
		return fmt.Sprintf("extra: the feed of %s has the tweet %s of %s, whom they do not follow", reader, id, author), id, true
	},
	"an edge swapped": func(s *system, f history.Final) (string, string, bool) {
		p := pair{pick(s.random, users...), pick(s.random, users...)}
		if s.follows[p] {
			f.Followings[p.reader] = without(f.Followings[p.reader], p.author)
		} else {
			f.Followings[p.reader] = append(f.Followings[p.reader], p.author)
		}
		// Followers, count and feed do not fit it any more, either.
		return fmt.Sprintf("not linearizable: no order of the calls explains whether %s follows %s", p.reader, p.author), p.reader, true
	},
}

func TestNothingIsFoundInASystemThatKeepsItsPromisesAndAnyDamageIs(t *testing.T) {
	require.NoError(t, flag.Set("rapid.nofailfile", "true"))
	damaged := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		build := func() *system {
			random := rand.New(rand.NewPCG(seed, 0))
			return newSystem(random, random.IntN(300), pick(random, 0, 0, 4, 20))
		}
		s := build()
		require.Empty(rt, sentences(Run(s.ops, s.final())), "a system that keeps its promises")
		for _, name := range sorted(mutations) {
			s := build()
			f := s.final()
			find, about, ok := mutations[name](s, f)
			if !ok {
				continue
			}
			damaged[name]++
			found := sentences(Run(s.ops, f))
			require.Contains(rt, found, find, name)
			for _, sentence := range found {
				require.Contains(rt, sentence, about, name)
			}
			if name != "an edge swapped" {
				require.Len(rt, found, 1, name)
			}
		}
	})
	for name := range mutations {
		require.NotZero(t, damaged[name], name)
	}
}

// linearizableAnyhow is the plain way: of the writes of unknown outcome each subset may have taken effect.
func linearizableAnyhow(calls []call) bool {
	var known, pending []call
	for _, c := range calls {
		if c.class == reads || c.Known() {
			known = append(known, c)
		} else {
			pending = append(pending, c)
		}
	}
	model := porcupine.Model{
		Init: func() any { return "" },
		Step: func(value, input, _ any) (bool, any) {
			next, fits := input.(call).apply(value.(string))
			return fits, next
		},
	}
	for subset := range 1 << len(pending) {
		var all []porcupine.Operation
		for _, c := range known {
			all = append(all, porcupine.Operation{Input: c, Call: int64(c.Call), Return: int64(c.Return)})
		}
		for i, c := range pending {
			if subset&(1<<i) != 0 {
				all = append(all, porcupine.Operation{Input: c, Call: int64(c.Call), Return: math.MaxInt64})
			}
		}
		if porcupine.CheckOperations(model, all) {
			return true
		}
	}
	return false
}

func TestRegistersAreJudgedAsByThePlainSearch(t *testing.T) {
	require.NoError(t, flag.Set("rapid.nofailfile", "true"))
	outcomes := []history.Outcome{history.Acknowledged, history.Acknowledged, history.Unknown}
	verdicts := map[bool]int{}
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.Bool().Draw(rt, "names")
		var calls []call
		for i := range rapid.IntRange(1, 10).Draw(rt, "calls") {
			var c call
			c.Call = time.Duration(rapid.IntRange(0, 15).Draw(rt, fmt.Sprint("call ", i)))
			c.Return = c.Call + time.Duration(rapid.IntRange(0, 5).Draw(rt, fmt.Sprint("takes ", i)))
			c.Outcome = rapid.SampledFrom(outcomes).Draw(rt, fmt.Sprint("outcome ", i))
			c.class = rapid.SampledFrom([]class{follows, unfollows, reads, reads}).Draw(rt, fmt.Sprint("class ", i))
			c.Secret = rapid.SampledFrom([]string{"1", "2"}).Draw(rt, fmt.Sprint("secret ", i))
			c.Found = rapid.Bool().Draw(rt, fmt.Sprint("found ", i))
			switch {
			case c.class == reads && names:
				c.apply = isUser(c.Found)
			case c.class == reads:
				c.apply = isEdge(c.Found)
			case names:
				c.class, c.apply = claims, claim(c.Secret)
			case c.class == follows:
				c.apply = writes(following)
			default:
				c.apply = writes(notFollowing)
			}
			if c.class == reads {
				c.Outcome = history.Acknowledged
			}
			calls = append(calls, c)
		}
		slices.SortStableFunc(calls, func(a, b call) int { return byCall(a.Op, b.Op) })
		explained := contradiction(calls) == nil
		require.Equal(rt, linearizableAnyhow(calls), explained)
		verdicts[explained]++
	})
	require.NotZero(t, verdicts[true])
	require.NotZero(t, verdicts[false])
}

// Thirty follows and thirty unfollows of unknown outcome can explain thirty changes each, and no more. A search that tried every
// subset of them would not end.
func TestManyUnknownOutcomesAreJudgedQuickly(t *testing.T) {
	const each = 30
	var ops []history.Op
	for i := range each {
		ops = append(ops, unknown(at(i, history.Op{Kind: history.Follow, User: "bob", Target: "ann"})),
			unknown(at(i, history.Op{Kind: history.Unfollow, User: "bob", Target: "ann"})))
	}
	for i := range 2*each + 1 {
		ops = append(ops, edge(100+2*i, i%2 == 1))
	}
	final := history.Final{Followings: map[string][]string{"bob": {}}}
	require.Empty(t, sentences(Run(ops, final)))
	ops = append(ops, edge(300, true))
	found := Run(ops, final)
	require.Equal(t, 1, found.NotLinearizable)
	require.Len(t, found.Findings[0].Ops, len(ops), "no smaller prefix contradicts")
}

func TestAHistoryThatWasWrittenCanBeRead(t *testing.T) {
	s := newSystem(rand.New(rand.NewPCG(1, 2)), 300, 0)
	var file strings.Builder
	for _, op := range s.ops {
		require.NoError(t, history.Write(&file, op))
	}
	require.Equal(t, len(s.ops), strings.Count(file.String(), "\n"))
	ops, err := history.Read(strings.NewReader(file.String()))
	require.NoError(t, err)
	require.Equal(t, Run(s.ops, s.final()), Run(ops, s.final()))

	// Of a run that was killed the last line may be cut off.
	ops, err = history.Read(strings.NewReader(file.String()[:file.Len()-10]))
	require.Error(t, err)
	require.Len(t, ops, len(s.ops)-1)
}
