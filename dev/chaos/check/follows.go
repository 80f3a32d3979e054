package check

import (
	"cmp"
	"math"
	"time"

	"github.com/twtr-dev/twtr/dev/chaos/history"
)

// pair is a reader and an author whom they follow, or may follow.
type pair struct{ reader, author string }

func (p pair) compare(q pair) int {
	return cmp.Or(cmp.Compare(p.reader, q.reader), cmp.Compare(p.author, q.author))
}

// followings is what the calls and the final state say of who follows whom.
type followings struct {
	atEnd  map[pair]bool
	ever   map[string]map[string]bool // whom a reader may have followed at some time
	steady map[pair]history.Op        // the first acknowledged follow that no unfollow came after
	ops    map[pair][]history.Op      // the follows and unfollows
}

func newFollowings(ops []history.Op, final history.Final) followings {
	f := followings{atEnd: followingsOf(final), ever: map[string]map[string]bool{}, steady: map[pair]history.Op{}, ops: map[pair][]history.Op{}}
	for p := range followersOf(final) {
		if !has(final.Followings, p.reader) {
			f.atEnd[p] = true
		}
	}
	for p := range f.atEnd {
		f.mayFollow(p)
	}
	unfollowed := map[pair]time.Duration{} // when the last unfollow returned
	for _, op := range ops {
		if op.Kind != history.Follow && op.Kind != history.Unfollow || !op.Possible() {
			continue
		}
		p := pair{op.User, op.Target}
		f.ops[p] = append(f.ops[p], op)
		f.mayFollow(p)
		if op.Kind == history.Unfollow && op.Known() {
			unfollowed[p] = max(unfollowed[p], op.Return)
		} else if op.Kind == history.Unfollow {
			unfollowed[p] = math.MaxInt64
		}
	}
	for p, calls := range f.ops {
		for _, op := range calls {
			last, any := unfollowed[p]
			if op.Kind != history.Follow || !op.Known() || any && op.Call <= last {
				continue
			}
			if first, ok := f.steady[p]; !ok || op.Return < first.Return {
				f.steady[p] = op
			}
		}
	}
	return f
}

func (f followings) mayFollow(p pair) {
	if f.ever[p.reader] == nil {
		f.ever[p.reader] = map[string]bool{}
	}
	f.ever[p.reader][p.author] = true
}

func followingsOf(final history.Final) map[pair]bool {
	edges := map[pair]bool{}
	for reader, authors := range final.Followings {
		for _, author := range authors {
			edges[pair{reader, author}] = true
		}
	}
	return edges
}

func followersOf(final history.Final) map[pair]bool {
	edges := map[pair]bool{}
	for author, readers := range final.Followers {
		for _, reader := range readers {
			edges[pair{reader, author}] = true
		}
	}
	return edges
}
