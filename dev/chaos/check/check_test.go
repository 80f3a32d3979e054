package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/dev/chaos/history"
)

// a run in which bob follows ann, who has posted two tweets with one deleted, and cid follows nobody any more.
func example() ([]history.Op, history.Final) {
	return []history.Op{
			at(1, history.Op{Kind: history.SignUp, User: "ann", Secret: "1"}),
			at(3, history.Op{Kind: history.SignUp, User: "bob", Secret: "1"}),
			at(5, history.Op{Kind: history.SignUp, User: "cid", Secret: "1"}),
			at(7, history.Op{Kind: history.Follow, User: "bob", Target: "ann"}),
			at(9, history.Op{Kind: history.Follow, User: "cid", Target: "ann"}),
			at(11, history.Op{Kind: history.Post, User: "ann", Tweet: "t1"}),
			at(13, history.Op{Kind: history.Post, User: "ann", Tweet: "t2", Key: "k"}),
			at(15, history.Op{Kind: history.Post, User: "ann", Tweet: "t3"}),
			at(17, history.Op{Kind: history.Delete, User: "ann", Tweet: "t2"}),
			at(19, history.Op{Kind: history.Unfollow, User: "cid", Target: "ann"}),
		}, history.Final{
			Tweets:     map[string][]string{"ann": {"t3", "t1"}, "bob": {}, "cid": {}},
			Feeds:      map[string][]string{"ann": {}, "bob": {"t3", "t1"}, "cid": {}},
			Followings: map[string][]string{"ann": {}, "bob": {"ann"}, "cid": {}},
			Followers:  map[string][]string{"ann": {"bob"}, "bob": {}, "cid": {}},
			Counts:     map[string]history.Counts{"ann": {Followers: 1}, "bob": {Followings: 1}, "cid": {}},
			Audits:     map[string]history.Audit{"ann": {}, "bob": {}, "cid": {}},
		}
}

// at is a call that was made at that second and returned one later, acknowledged if nothing else is said.
func at(second int, op history.Op) history.Op {
	op.Call, op.Return = time.Duration(second)*time.Second, time.Duration(second+1)*time.Second
	if op.Outcome == "" {
		op.Outcome = history.Acknowledged
	}
	return op
}

func unknown(op history.Op) history.Op {
	op.Outcome = history.Unknown
	return op
}

func refused(code int, op history.Op) history.Op {
	op.Outcome, op.Code = history.Refused, code
	return op
}

func page(second int, user string, ids ...string) history.Op {
	return at(second, history.Op{Kind: history.Tweets, User: "bob", Target: user, Tweets: ids})
}

func edge(second int, found bool) history.Op {
	return at(second, history.Op{Kind: history.Edge, User: "bob", Target: "ann", Found: found})
}

func TestEachViolationIsFoundAndNothingElse(t *testing.T) {
	type state struct {
		ops   []history.Op
		final history.Final
	}
	call := func(s *state, ops ...history.Op) { s.ops = append(s.ops, ops...) }
	refresh := history.Op{Kind: history.Refresh, User: "ann"}
	// Each case is a run with the violation: what both runs have, and what the violation changes.
	for name, c := range map[string]struct {
		both, violate func(*state)
		find          []string
	}{
		"a tweet is not in its author's list": {
			violate: func(s *state) { s.final.Tweets["ann"] = []string{"t3"} },
			find:    []string{"missing: the list of ann lacks the tweet t1"},
		},
		"a tweet is twice in its author's list": {
			violate: func(s *state) { s.final.Tweets["ann"] = []string{"t3", "t3", "t1"} },
			find:    []string{"duplicate: the list of ann has the tweet t3 twice"},
		},
		"a list is not in order": {
			violate: func(s *state) { s.final.Tweets["ann"] = []string{"t1", "t3"} },
			find:    []string{"extra: the list of ann has the tweet t3 after the older t1"},
		},
		"a deleted tweet is in its author's list": {
			violate: func(s *state) { s.final.Tweets["ann"] = []string{"t3", "t2", "t1"} },
			find:    []string{"extra: the list of ann has the deleted tweet t2"},
		},
		"a tweet is in another list": {
			violate: func(s *state) { s.final.Tweets["bob"] = []string{"t3"} },
			find:    []string{"extra: the list of bob has the tweet t3 of ann"},
		},
		"a tweet is not in a follower's feed": {
			violate: func(s *state) { s.final.Feeds["bob"] = []string{"t3"} },
			find:    []string{"missing: the feed of bob lacks the tweet t1 of ann"},
		},
		"a tweet is twice in a feed": {
			violate: func(s *state) { s.final.Feeds["bob"] = []string{"t3", "t1", "t1"} },
			find:    []string{"duplicate: the feed of bob has the tweet t1 twice"},
		},
		"a deleted tweet is in a feed": {
			violate: func(s *state) { s.final.Feeds["bob"] = []string{"t3", "t2", "t1"} },
			find:    []string{"extra: the feed of bob has the deleted tweet t2 of ann"},
		},
		"a tweet is in the feed of a former follower": {
			violate: func(s *state) { s.final.Feeds["cid"] = []string{"t3"} },
			find:    []string{"extra: the feed of cid has the tweet t3 of ann, whom they do not follow"},
		},
		"a tweet is in a feed and in no list": {
			violate: func(s *state) { s.final.Feeds["bob"] = []string{"t4", "t3", "t1"} },
			find:    []string{"extra: the feed of bob has the tweet t4, which is in no list"},
		},
		"a tweet with a deletion of unknown outcome is in a feed and not in the list": {
			both: func(s *state) {
				call(s, unknown(at(30, history.Op{Kind: history.Delete, User: "ann", Tweet: "t3"})))
				s.final.Tweets["ann"] = []string{"t1"}
				s.final.Feeds["bob"] = []string{"t1"}
			},
			violate: func(s *state) { s.final.Feeds["bob"] = []string{"t3", "t1"} },
			find:    []string{"extra: the feed of bob has the tweet t3, which is not in the list of ann"},
		},
		"a tweet that a deletion did not find after one of unknown outcome is there": {
			both: func(s *state) {
				call(s, unknown(at(30, history.Op{Kind: history.Delete, User: "ann", Tweet: "t3"})))
			},
			violate: func(s *state) {
				call(s, refused(404, at(40, history.Op{Kind: history.Delete, User: "ann", Tweet: "t3"})))
			},
			find: []string{"extra: the list of ann has the deleted tweet t3", "extra: the feed of bob has the deleted tweet t3 of ann"},
		},
		"a deletion does not find a tweet that nobody deleted": {
			both: func(s *state) {
				call(s, refused(403, at(30, history.Op{Kind: history.Delete, User: "bob", Tweet: "t3"})))
			},
			violate: func(s *state) {
				call(s, refused(404, at(40, history.Op{Kind: history.Delete, User: "ann", Tweet: "t3"})))
			},
			find: []string{"missing: a deletion of the tweet t3 of ann did not find it"},
		},
		"two posts of one key are two tweets": {
			both: func(s *state) {
				call(s, unknown(at(10, history.Op{Kind: history.Post, User: "ann", Key: "k"})),
					at(30, history.Op{Kind: history.Post, User: "ann", Key: "l", Tweet: "t4"}))
				s.final.Tweets["ann"] = []string{"t4", "t3", "t1"}
				s.final.Feeds["bob"] = []string{"t4", "t3", "t1"}
			},
			violate: func(s *state) { s.ops[len(s.ops)-1].Key = "k" },
			find:    []string{"duplicate: posts of ann with the key k returned 2 tweets"},
		},
		"two posts are one tweet": {
			both:    func(s *state) { call(s, at(30, history.Op{Kind: history.Post, User: "ann", Key: "k", Tweet: "t2"})) },
			violate: func(s *state) { s.ops[len(s.ops)-1].Key = "l" },
			find:    []string{"duplicate: two posts returned the one tweet t2"},
		},
		"an author has more tweets than posts": {
			both: func(s *state) {
				call(s, unknown(at(30, history.Op{Kind: history.Post, User: "ann"})))
				s.final.Tweets["ann"] = []string{"t4", "t3", "t1"}
				s.final.Feeds["bob"] = []string{"t4", "t3", "t1"}
			},
			violate: func(s *state) {
				s.final.Tweets["ann"] = []string{"t5", "t4", "t3", "t1"}
				s.final.Feeds["bob"] = []string{"t5", "t4", "t3", "t1"}
			},
			find: []string{"extra: the list of ann had the tweet t4, which no post of theirs can have made"},
		},
		"a tweet is in the list before any post that may have made it": {
			both: func(s *state) {
				call(s, unknown(at(30, history.Op{Kind: history.Post, User: "ann"})), page(31, "ann", "t4", "t3", "t1"))
				s.final.Tweets["ann"] = []string{"t4", "t3", "t1"}
				s.final.Feeds["bob"] = []string{"t4", "t3", "t1"}
			},
			violate: func(s *state) { s.ops[len(s.ops)-2] = unknown(at(33, s.ops[len(s.ops)-2])) },
			find:    []string{"extra: the list of ann had the tweet t4, which no post of theirs can have made"},
		},
		"a tweet of a post of unknown outcome is in the list and not in a feed": {
			both: func(s *state) {
				call(s, unknown(at(30, history.Op{Kind: history.Post, User: "ann"})))
				s.final.Tweets["ann"] = []string{"t4", "t3", "t1"}
				s.final.Feeds["bob"] = []string{"t4", "t3", "t1"}
			},
			violate: func(s *state) { s.final.Feeds["bob"] = []string{"t3", "t1"} },
			find:    []string{"missing: the feed of bob lacks the tweet t4 of ann"},
		},
		"a read lacks a tweet whose post had returned": {
			both: func(s *state) {
				call(s, page(20, "ann", "t3", "t1"), page(12, "ann", "t1"), page(16, "ann", "t2", "t1"))
			},
			violate: func(s *state) { call(s, page(21, "ann", "t1")) },
			find:    []string{"missing: the list of ann lacked the tweet t3, whose post had returned"},
		},
		"a read shows an empty list after a post had returned": {
			both:    func(s *state) { call(s, page(10, "ann")) },
			violate: func(s *state) { call(s, page(13, "ann")) },
			find:    []string{"missing: the list of ann lacked the tweet t1, whose post had returned"},
		},
		"a read shows a tweet after its deletion": {
			both:    func(s *state) { call(s, page(18, "ann", "t3", "t2", "t1")) },
			violate: func(s *state) { call(s, page(19, "ann", "t3", "t2", "t1")) },
			find:    []string{"extra: the list of ann had the tweet t2 after its deletion"},
		},
		"a read of a feed shows a tweet twice": {
			both: func(s *state) {
				call(s, at(20, history.Op{Kind: history.Feed, User: "bob", Tweets: []string{"t2", "t1"}}))
			},
			violate: func(s *state) {
				call(s, at(22, history.Op{Kind: history.Feed, User: "bob", Tweets: []string{"t2", "t1", "t2"}}))
			},
			find: []string{"duplicate: a page of the feed of bob has the tweet t2 twice"},
		},
		"a follow is lost": {
			both: func(s *state) { call(s, edge(8, false), edge(9, true)) },
			violate: func(s *state) {
				call(s, edge(20, false), edge(30, true))
			},
			find: []string{"not linearizable: no order of the calls explains whether bob follows ann"},
		},
		"an unfollow of unknown outcome takes effect twice": {
			both: func(s *state) {
				call(s, unknown(at(10, history.Op{Kind: history.Unfollow, User: "bob", Target: "ann"})), edge(20, false),
					at(22, history.Op{Kind: history.Follow, User: "bob", Target: "ann"}), edge(24, true))
			},
			violate: func(s *state) {
				call(s, edge(26, false), at(28, history.Op{Kind: history.Follow, User: "bob", Target: "ann"}))
			},
			find: []string{"not linearizable: no order of the calls explains whether bob follows ann"},
		},
		"followers and followings differ": {
			violate: func(s *state) {
				s.final.Followers["ann"] = []string{"bob", "cid"}
				s.final.Counts["ann"] = history.Counts{Followers: 2}
			},
			find: []string{"not linearizable: no order of the calls explains whether cid follows ann"},
		},
		"somebody follows a user without a call": {
			violate: func(s *state) {
				s.final.Followings["ann"], s.final.Followers["bob"] = []string{"bob"}, []string{"ann"}
				s.final.Counts["ann"], s.final.Counts["bob"] = history.Counts{Followers: 1, Followings: 1}, history.Counts{Followers: 1, Followings: 1}
			},
			find: []string{"not linearizable: no order of the calls explains whether ann follows bob"},
		},
		"a name is taken twice": {
			both: func(s *state) {
				call(s, refused(409, at(20, history.Op{Kind: history.SignUp, User: "ann", Secret: "2"})),
					at(22, history.Op{Kind: history.SignUp, User: "ann", Secret: "1"}), at(24, history.Op{Kind: history.LogIn, User: "ann", Secret: "1"}),
					refused(422, at(26, history.Op{Kind: history.LogIn, User: "ann", Secret: "2"})),
					unknown(at(2, history.Op{Kind: history.SignUp, User: "ann", Secret: "3"})))
			},
			violate: func(s *state) { call(s, at(28, history.Op{Kind: history.SignUp, User: "ann", Secret: "2"})) },
			find:    []string{"not linearizable: no order of the calls explains whether ann is a user, and with which password"},
		},
		"a name is refused to the person who has it": {
			violate: func(s *state) {
				call(s, refused(409, at(20, history.Op{Kind: history.SignUp, User: "ann", Secret: "1"})))
			},
			find: []string{"not linearizable: no order of the calls explains whether ann is a user, and with which password"},
		},
		"a user is not found": {
			both: func(s *state) { call(s, refused(404, at(1, history.Op{Kind: history.Profile, Target: "ann"}))) },
			violate: func(s *state) {
				call(s, refused(404, at(20, history.Op{Kind: history.Follow, User: "bob", Target: "ann"})))
			},
			find: []string{"not linearizable: no order of the calls explains whether ann is a user, and with which password"},
		},
		"a user is gone at the end": {
			both:    func(s *state) { call(s, unknown(at(20, history.Op{Kind: history.SignUp, User: "dan", Secret: "1"}))) },
			violate: func(s *state) { call(s, at(22, history.Op{Kind: history.LogIn, User: "dan", Secret: "1"})) },
			find:    []string{"not linearizable: no order of the calls explains whether dan is a user, and with which password"},
		},
		"a session is lost": {
			both:    func(s *state) { call(s, at(20, refresh)) },
			violate: func(s *state) { call(s, refused(401, at(30, refresh)), refused(401, at(32, refresh))) },
			find:    []string{"missing: lost session: a refresh of a session of ann was refused"},
		},
		"a session is lost although its refresh was repeated in time": {
			both:    func(s *state) { call(s, unknown(at(20, refresh)), refused(401, at(150, refresh))) },
			violate: func(s *state) { s.ops[len(s.ops)-1] = refused(401, at(40, refresh)) },
			find:    []string{"missing: lost session: a refresh of a session of ann was refused"},
		},
		"a profile shows too few": {
			violate: func(s *state) { s.final.Counts["ann"] = history.Counts{} },
			find:    []string{"missing: the profile of ann shows 0 followers, and the list has 1"},
		},
		"a profile shows too many": {
			violate: func(s *state) { s.final.Counts["bob"] = history.Counts{Followings: 2} },
			find:    []string{"extra: the profile of bob shows 2 followings, and the list has 1"},
		},
		"an audit finds something": {
			violate: func(s *state) { s.final.Audits["bob"] = history.Audit{Missing: 2, Extra: 1} },
			find:    []string{"missing: the audit of the feed of bob finds 2 missing", "extra: the audit of the feed of bob finds 1 extra"},
		},
		"a feed was not audited": {
			violate: func(s *state) { delete(s.final.Audits, "cid") },
			find:    []string{"missing: the final state lacks the audit of cid"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &state{}
			s.ops, s.final = example()
			if c.both != nil {
				c.both(s)
			}
			require.Empty(t, sentences(Run(s.ops, s.final)), "without the violation")
			c.violate(s)
			report := Run(s.ops, s.final)
			require.Equal(t, c.find, sentences(report))
		})
	}
}

func sentences(r Report) (all []string) {
	for _, f := range r.Findings {
		all = append(all, fmt.Sprintf("%s: %s", f.Kind, f.Sentence))
	}
	return all
}

func TestAFeedMustHaveTheNewestHundredOfAnAuthorAndAllSinceTheFollow(t *testing.T) {
	ops, final := example()
	ops = slices.DeleteFunc(ops, func(op history.Op) bool {
		return op.Kind == history.Post || op.Kind == history.Delete || op.Kind == history.Unfollow || op.User == "cid" && op.Kind == history.Follow
	})
	var ids []string
	for i := range 150 {
		id := fmt.Sprintf("t%03d", i)
		ids = append([]string{id}, ids...)
		ops = append(ops, at(100+2*i, history.Op{Kind: history.Post, User: "ann", Tweet: id}))
	}
	// Cid follows after them all, bob did before.
	ops = append(ops, at(1000, history.Op{Kind: history.Follow, User: "cid", Target: "ann"}))
	final.Tweets["ann"], final.Feeds["bob"], final.Feeds["cid"] = ids, ids, ids[:100]
	final.Followings["cid"], final.Followers["ann"] = []string{"ann"}, []string{"bob", "cid"}
	final.Counts["cid"], final.Counts["ann"] = history.Counts{Followings: 1}, history.Counts{Followers: 2}
	require.Empty(t, sentences(Run(ops, final)))

	final.Feeds["cid"] = ids[:99]
	require.Equal(t, []string{"missing: the feed of cid lacks the tweet t050 of ann"}, sentences(Run(ops, final)))
	final.Feeds["cid"], final.Feeds["bob"] = ids[:100], ids[:149]
	require.Equal(t, []string{"missing: the feed of bob lacks the tweet t000 of ann"}, sentences(Run(ops, final)))

	// A feed that is full needs no older ones.
	final.MaxItems = 120
	final.Feeds["bob"] = ids[:120]
	require.Empty(t, sentences(Run(ops, final)))
	final.Feeds["bob"] = ids[:119]
	require.Equal(t, []string{"missing: the feed of bob lacks the tweet t030 of ann"}, sentences(Run(ops, final)))
	final.Feeds["bob"] = ids[:120]

	// The newest when cid followed are not the newest any more when some of them are deleted.
	ops = append(ops, at(1100, history.Op{Kind: history.Delete, User: "ann", Tweet: ids[0]}))
	final.Tweets["ann"], final.Feeds["bob"], final.Feeds["cid"] = ids[1:], ids[1:120], ids[1:100]
	require.Empty(t, sentences(Run(ops, final)))
}

func TestAFollowAfterAnUnfollowOfUnknownOutcomePromisesNothing(t *testing.T) {
	ops, final := example()
	ops = append(ops, unknown(at(30, history.Op{Kind: history.Unfollow, User: "bob", Target: "ann"})),
		at(40, history.Op{Kind: history.Follow, User: "bob", Target: "ann"}))
	require.Empty(t, sentences(Run(ops, final)))
	final.Feeds["bob"], final.Followings["bob"], final.Followers["ann"] = []string{}, []string{}, []string{}
	final.Counts["bob"], final.Counts["ann"] = history.Counts{}, history.Counts{}
	require.Empty(t, sentences(Run(ops, final)), "it took effect late")
}

func TestAFindingHasTheSmallestPrefixThatContradicts(t *testing.T) {
	ops, final := example()
	lost := []history.Op{edge(20, false), edge(22, true), edge(24, false)}
	report := Run(append(ops, lost...), final)
	require.Len(t, report.Findings, 1)
	// Up to the first read that contradicts.
	require.Equal(t, []history.Op{ops[3], lost[0]}, report.Findings[0].Ops)
	require.Equal(t, 1, report.NotLinearizable)
}

func TestTheReportEndsWithTheCounts(t *testing.T) {
	ops, final := example()
	report := Run(ops, final)
	require.True(t, report.OK())
	require.Equal(t, "acknowledged 10, missing 0, duplicate 0, extra 0, not linearizable 0", report.String())
	final.Feeds["bob"] = []string{"t3", "t3", "t2"}
	final.Followings["bob"] = []string{}
	lines := strings.Split(Run(ops, final).String(), "\n")
	require.Equal(t, "acknowledged 10, missing 1, duplicate 1, extra 3, not linearizable 1", lines[len(lines)-1])
	require.Contains(t, lines, "missing: the feed of bob lacks the tweet t1 of ann")
	require.Contains(t, lines, "     11.000s to    12.000s  post by ann tweet t1: acknowledged")
}
