package check

import (
	"cmp"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/twtr-dev/twtr/dev/chaos/history"
)

// tweet is what the calls say of one tweet.
type tweet struct {
	id, author string
	posts      []history.Op  // the calls that are this post; none of a tweet that no acknowledged post returned
	called     time.Duration // when the first of them was
	posted     time.Duration // when the first of them that was acknowledged had returned
	seen       time.Duration // when a client knew of it, if it was not from a post
	deletions  []history.Op  // those not refused, and those after them that did not find it
	deleted    bool          // for certain
	// inList says that the author's list has it at the end, lost that this is reported already.
	inList, lost bool
	// staleMissing and staleExtra say that this was found in a read during the run, so that it is not again.
	staleMissing, staleExtra bool
}

// mayBeDeleted reports whether a deletion called by then may have taken effect.
func (t *tweet) mayBeDeleted(by time.Duration) bool {
	return slices.ContainsFunc(t.deletions, func(op history.Op) bool { return op.Possible() && op.Call <= by })
}

// isDeleted reports whether an acknowledged deletion had returned by then.
func (t *tweet) isDeleted(by time.Duration) bool {
	return slices.ContainsFunc(t.deletions, func(op history.Op) bool { return op.Known() && op.Return < by })
}

// expected reports whether the tweet has to be in lists and feeds at the end.
func (t *tweet) expected() bool {
	return !t.deleted && (t.inList || len(t.posts) > 0 && !t.mayBeDeleted(math.MaxInt64))
}

func (t *tweet) calls() []history.Op { return append(slices.Clone(t.posts), t.deletions...) }

// tweets are all tweets that the calls and the final state tell of.
type tweets struct {
	byID     map[string]*tweet
	byAuthor map[string][]*tweet // newest first
	// unclear are, by author, the posts of unknown outcome, the first call of each key. A tweet that no acknowledged post returned
	// must come from one of them.
	unclear map[string][]history.Op
	posts   int // that were acknowledged
}

func newTweets(r *Report, ops []history.Op, final history.Final) *tweets {
	t := &tweets{byID: map[string]*tweet{}, byAuthor: map[string][]*tweet{}, unclear: map[string][]history.Op{}}
	for _, post := range postsOf(ops) {
		t.addPost(r, post)
	}
	for _, op := range ops {
		if op.Kind == history.Tweets && op.Known() {
			t.sight(op.Tweets, op.Target, op.Return)
		}
	}
	for author, ids := range final.Tweets {
		t.sight(ids, author, history.End(ops))
	}
	for _, op := range ops {
		if op.Kind == history.Delete && op.Possible() {
			t.addDeletion(op)
		}
	}
	for _, op := range ops {
		if op.Kind == history.Delete && op.Code == http.StatusNotFound {
			t.addVain(r, op)
		}
	}
	for _, theirs := range t.byAuthor {
		slices.SortFunc(theirs, func(a, b *tweet) int { return cmp.Compare(b.id, a.id) })
	}
	return t
}

// postsOf returns the calls that post, those of one key together, by the first call.
func postsOf(ops []history.Op) (posts [][]history.Op) {
	type key struct{ user, key string }
	index := map[key]int{}
	for _, op := range ops {
		if op.Kind != history.Post || !op.Possible() {
			continue
		}
		k := key{op.User, op.Key}
		i, again := index[k]
		if op.Key == "" || !again {
			i = len(posts)
			index[k] = i
			posts = append(posts, nil)
		}
		posts[i] = append(posts[i], op)
	}
	return posts
}

func (t *tweets) addPost(r *Report, calls []history.Op) {
	author := calls[0].User
	var made []*tweet
	for _, op := range calls {
		if !op.Known() {
			continue
		}
		one := t.byID[op.Tweet]
		switch {
		case one == nil:
			one = t.add(op.Tweet, author)
			one.posts, one.called, one.posted = calls, calls[0].Call, op.Return
			made = append(made, one)
		case !slices.Contains(made, one):
			r.find(Duplicate, append(one.calls(), op), "two posts returned the one tweet %s", op.Tweet)
			return
		}
		one.posted = min(one.posted, op.Return)
	}
	switch {
	case len(made) == 0:
		t.unclear[author] = append(t.unclear[author], calls[0])
		return
	case len(made) > 1:
		r.find(Duplicate, calls, "posts of %s with the key %s returned %d tweets", author, calls[0].Key, len(made))
	}
	t.posts++
}

func (t *tweets) add(id, author string) *tweet {
	made := &tweet{id: id, author: author}
	t.byID[id] = made
	t.byAuthor[author] = append(t.byAuthor[author], made)
	return made
}

// sight notes that a list of the author had these tweets.
func (t *tweets) sight(ids []string, author string, at time.Duration) {
	for _, id := range ids {
		seen := t.byID[id]
		if seen == nil {
			seen = t.add(id, author)
			seen.seen = at
		}
		seen.seen = min(seen.seen, at)
	}
}

// addDeletion notes a deletion that had an effect or may have had one.
func (t *tweets) addDeletion(op history.Op) {
	target := t.byID[op.Tweet]
	if target == nil {
		target = t.add(op.Tweet, op.User)
		target.seen = op.Call
	}
	target.deletions = append(target.deletions, op)
	target.deleted = target.deleted || op.Known()
}

// addVain notes a deletion that did not find the tweet.
func (t *tweets) addVain(r *Report, op history.Op) {
	target := t.byID[op.Tweet]
	switch {
	case target == nil:
	case target.mayBeDeleted(op.Return):
		target.deletions = append(target.deletions, op)
		target.deleted = true
	case len(target.posts) > 0 && target.posted < op.Call:
		r.find(Missing, append(target.calls(), op), "a deletion of the tweet %s of %s did not find it", op.Tweet, target.author)
	}
}

// unexplained returns the author's tweets that no acknowledged post returned, by the time they were seen.
func (t *tweets) unexplained(author string) (all []*tweet) {
	for _, one := range t.byAuthor[author] {
		if len(one.posts) == 0 {
			all = append(all, one)
		}
	}
	slices.SortStableFunc(all, func(a, b *tweet) int { return cmp.Compare(a.seen, b.seen) })
	return all
}

// calledAt is when the tweet was posted, at the earliest.
func (t *tweets) calledAt(one *tweet) time.Duration {
	if unclear := t.unclear[one.author]; len(one.posts) == 0 && len(unclear) > 0 {
		return unclear[0].Call
	}
	return one.called
}
