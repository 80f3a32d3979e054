package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/chaos/history"
)

// checkPage finds duplicates and wrong order in a list of tweets, newest first. It returns the ids, each once.
func (r *Report) checkPage(ids []string, ops []history.Op, format string, args ...any) []string {
	name := fmt.Sprintf(format, args...)
	var once []string
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			r.find(Duplicate, ops, "%s has the tweet %s twice", name, id)
			continue
		}
		seen[id] = true
		if n := len(once); n > 0 && once[n-1] < id {
			r.find(Extra, ops, "%s has the tweet %s after the older %s", name, id, once[n-1])
		}
		once = append(once, id)
	}
	return once
}

// checkReads checks what was read during the run. Of feeds that is little: they may lag.
func (r *Report) checkReads(ops []history.Op, t *tweets) {
	for _, op := range ops {
		switch {
		case !op.Known():
		case op.Kind == history.Feed:
			r.checkPage(op.Tweets, []history.Op{op}, "a page of the feed of %s", op.User)
		case op.Kind == history.Tweets:
			r.checkListRead(op, t)
		}
	}
}

func (r *Report) checkListRead(read history.Op, t *tweets) {
	page := r.checkPage(read.Tweets, []history.Op{read}, "a page of the list of %s", read.Target)
	for _, id := range page {
		one := t.byID[id]
		if one.author != read.Target {
			r.find(Extra, append(one.calls(), read), "the list of %s has the tweet %s of %s", read.Target, id, one.author)
		}
		if one.isDeleted(read.Call) && !one.staleExtra {
			one.staleExtra = true
			r.find(Extra, append(one.calls(), read), "the list of %s had the tweet %s after its deletion", read.Target, id)
		}
	}
	for _, one := range t.byAuthor[read.Target] {
		// The page has the newest: with an older one, all that are newer. One without any is the whole list.
		if len(page) > 0 && one.id < slices.Min(page) {
			break
		}
		posted := len(one.posts) > 0 && one.posted < read.Call
		if posted && !one.mayBeDeleted(read.Return) && !slices.Contains(page, one.id) && !one.staleMissing {
			one.staleMissing = true
			r.find(Missing, append(one.calls(), read), "the list of %s lacked the tweet %s, whose post had returned", read.Target, one.id)
		}
	}
}

// checkLists checks the lists at the end.
func (r *Report) checkLists(final history.Final, t *tweets) {
	for _, author := range sorted(final.Tweets) {
		for _, id := range r.checkPage(final.Tweets[author], nil, "the list of %s", author) {
			one := t.byID[id]
			switch {
			case one.author != author:
				r.find(Extra, one.calls(), "the list of %s has the tweet %s of %s", author, id, one.author)
			case one.deleted:
				r.find(Extra, one.calls(), "the list of %s has the deleted tweet %s", author, id)
			default:
				one.inList = true
			}
		}
	}
	for _, author := range sorted(t.byAuthor) {
		for _, one := range t.byAuthor[author] {
			if one.expected() && !one.inList {
				one.lost = true
				r.find(Missing, one.calls(), "the list of %s lacks the tweet %s", author, one.id)
			}
		}
	}
}

// checkUnexplained checks that an author has at most as many tweets that no post returned as there are posts that returned nothing.
func (r *Report) checkUnexplained(t *tweets) {
	for _, author := range sorted(t.byAuthor) {
		unclear := t.unclear[author]
		for _, one := range t.unexplained(author) {
			if len(unclear) > 0 && unclear[0].Call <= one.seen {
				unclear = unclear[1:]
				continue
			}
			r.find(Extra, append(one.calls(), t.unclear[author]...), "the list of %s had the tweet %s, which no post of theirs can have made", author, one.id)
		}
	}
}

// checkFeeds checks the feeds at the end.
func (r *Report) checkFeeds(final history.Final, t *tweets, f followings) {
	for _, reader := range sorted(final.Feeds) {
		in := map[string]bool{}
		for _, id := range r.checkPage(final.Feeds[reader], nil, "the feed of %s", reader) {
			in[id] = true
			r.checkItem(reader, id, t, f)
		}
		floor := floorOf(final.MaxItems, f.ever[reader], t)
		for _, author := range sorted(f.ever[reader]) {
			p := pair{reader, author}
			steady, isSteady := f.steady[p]
			for i, one := range t.byAuthor[author] {
				if one.id < floor {
					break
				}
				// A follow adds the newest that there are. Tweets that are deleted now may have been among them.
				added := f.atEnd[p] && i < twtr.BackfillTweets
				delivered := isSteady && steady.Return < t.calledAt(one)
				if one.expected() && !in[one.id] && (added || delivered) {
					r.find(Missing, append(one.calls(), f.ops[p]...), "the feed of %s lacks the tweet %s of %s", reader, one.id, author)
				}
			}
		}
	}
}

// checkItem checks that a tweet belongs in the feed that it is in.
func (r *Report) checkItem(reader, id string, t *tweets, f followings) {
	one := t.byID[id]
	switch {
	case one == nil:
		r.find(Extra, nil, "the feed of %s has the tweet %s, which is in no list", reader, id)
	case one.deleted:
		r.find(Extra, one.calls(), "the feed of %s has the deleted tweet %s of %s", reader, id, one.author)
	case !one.inList && !one.lost:
		r.find(Extra, one.calls(), "the feed of %s has the tweet %s, which is not in the list of %s", reader, id, one.author)
	case !f.atEnd[pair{reader, one.author}]:
		r.find(Extra, append(one.calls(), f.ops[pair{reader, one.author}]...), "the feed of %s has the tweet %s of %s, whom they do not follow",
			reader, id, one.author)
	}
}

// floorOf is the id of the last tweet that the reader's feed must have if it must have no more than its newest. Every tweet of
// anyone whom they ever followed may have taken a row.
func floorOf(maxItems int, authors map[string]bool, t *tweets) string {
	var ids []string
	for author := range authors {
		for _, one := range t.byAuthor[author] {
			ids = append(ids, one.id)
		}
	}
	if maxItems == 0 || len(ids) < maxItems {
		return ""
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(b, a) })
	return ids[maxItems-1]
}
