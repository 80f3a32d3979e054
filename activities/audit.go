package activities

import (
	"bytes"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

// AuditDeliveryInput says which tweet's delivery to audit.
type AuditDeliveryInput struct {
	TweetID uuid.UUID `json:"tweetId"`
	// Repair adds what is missing and removes what is extra.
	Repair bool `json:"repair,omitempty"`
}

// AuditProgress is the heartbeat of an audit. A retry of an audit of a delivery resumes from it.
type AuditProgress struct {
	twtr.Audit
	// At is the position among the author's followers: the buckets before it were audited.
	At twtr.BucketCursor `json:"at"`
}

// auditConcurrency is how many feeds of a page are examined at a time.
const auditConcurrency = 16

// AuditDelivery reads the feeds of the author's followers again, and counts those that lack the tweet or, if it is deleted,
// still have it. A feed should have a tweet that is not older than the reader's [twtr.Follow.Since], unless it may have been trimmed
// (see [twtr.FeedStore.FeedFloor]). It fails with [twtr.NotFound] if the tweet never existed.
func (a *Feeds) AuditDelivery(ctx context.Context, in AuditDeliveryInput) (twtr.Audit, error) {
	report, err := a.auditDelivery(ctx, in)
	if err == nil {
		a.config.Metrics.audit(ctx, report)
		if in.Repair {
			a.config.Metrics.page(ctx, stepRepair, int(report.Missing+report.Extra), int(report.Failed))
		}
	}
	return report, err
}

func (a *Feeds) auditDelivery(ctx context.Context, in AuditDeliveryInput) (twtr.Audit, error) {
	audit, err := a.newDeliveryAudit(ctx, in)
	if err != nil {
		return twtr.Audit{}, err
	}
	p := AuditProgress{}
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &p); err != nil {
			return p.Audit, err
		}
	}
	var reported atomic.Pointer[AuditProgress]
	reported.Store(&AuditProgress{Audit: p.Audit, At: p.At})
	defer heartbeat(ctx, func() any { return reported.Load() })()
	walking, cancel := untilStopping(ctx)
	defer cancel()
	// One page at a time, and no slot: an audit never delays a delivery by more than its share of the store.
	for p.At.Bucket < twtr.FollowerBuckets {
		followers, err := a.follows.Followers(walking, audit.tweet.Username, p.At.Bucket, p.At.After, followerPage)
		if err == nil {
			err = audit.page(walking, followers, &p.Audit)
		}
		if err == nil {
			err = a.config.Rate.wait(walking, len(followers))
		}
		if err != nil && walking.Err() != nil {
			err = context.Cause(walking)
		}
		if err != nil {
			return p.Audit, err
		}
		if len(followers) < followerPage {
			p.At = twtr.BucketCursor{Bucket: p.At.Bucket + 1}
		} else {
			p.At.After = followers[followerPage-1]
		}
		reported.Store(&AuditProgress{Audit: p.Audit, At: p.At})
	}
	return p.Audit, nil
}

// deliveryAudit compares the feeds of a tweet's readers with what they should hold.
type deliveryAudit struct {
	*Feeds
	tweet   twtr.Tweet
	deleted bool
	repair  bool
}

func (a *Feeds) newDeliveryAudit(ctx context.Context, in AuditDeliveryInput) (*deliveryAudit, error) {
	tweet, err := a.tweets.Tweet(ctx, in.TweetID)
	deleted := twtr.ErrorCode(err) == twtr.NotFound
	if deleted { // the receipt tells who the author was
		receipt, err := a.deliveries.Receipt(ctx, in.TweetID)
		if twtr.ErrorCode(err) == twtr.NotFound {
			return nil, twtr.Errorf(twtr.NotFound, "there is no tweet %s", in.TweetID)
		}
		if err != nil {
			return nil, err
		}
		tweet = twtr.Tweet{ID: in.TweetID, Username: receipt.Username}
	} else if err != nil {
		return nil, err
	}
	return &deliveryAudit{Feeds: a, tweet: tweet, deleted: deleted, repair: in.Repair}, nil
}

// page audits the feeds of a page of followers, and adds what it finds to total.
func (d *deliveryAudit) page(ctx context.Context, followers []string, total *twtr.Audit) error {
	have, err := d.feeds.ReadersHavingFeedItem(ctx, d.tweet.ID, followers)
	if err != nil {
		return err
	}
	found := twtr.Audit{Checked: int64(len(followers))}
	if d.deleted {
		found.Extra = int64(len(have))
		if d.repair {
			found.Failed, err = d.retract(ctx, have)
		}
	} else {
		found.Missing, found.Failed, err = d.missing(ctx, without(followers, have))
	}
	if err != nil {
		return err
	}
	total.Checked += found.Checked
	total.Missing += found.Missing
	total.Extra += found.Extra
	total.Failed += found.Failed
	return nil
}

// retract removes the tweet from the feeds of the readers, and returns in how many the store refuses that.
func (d *deliveryAudit) retract(ctx context.Context, readers []string) (failed int64, err error) {
	for _, reader := range readers {
		err := d.feeds.RetractFeedItem(ctx, d.tweet.ID, []string{reader}, RetractionTime(time.Now(), d.tweet.ID))
		if isRefusal(err) {
			failed++
			logRefused(ctx, feedName(reader), err)
		} else if err != nil {
			return failed, err
		}
	}
	return failed, nil
}

// without returns the names that are not among others, which are in the same order.
func without(names, others []string) (rest []string) {
	for _, name := range names {
		if len(others) > 0 && name == others[0] {
			others = others[1:]
			continue
		}
		rest = append(rest, name)
	}
	return rest
}

// missing counts the readers whose feeds should have the tweet, of those whose feeds do not, and those of them whose feeds the
// store refuses to repair.
func (d *deliveryAudit) missing(ctx context.Context, readers []string) (n, failed int64, err error) {
	var missing, refused atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(auditConcurrency)
	for _, reader := range readers {
		g.Go(func() error {
			is, err := d.isMissing(ctx, reader)
			if is {
				missing.Add(1)
			}
			if is && isRefusal(err) {
				refused.Add(1)
				logRefused(ctx, feedName(reader), err)
				return nil
			}
			return err
		})
	}
	err = g.Wait()
	return missing.Load(), refused.Load(), err
}

// isMissing reports whether the reader's feed should have the tweet, and if so repairs it if the audit is to do that.
func (d *deliveryAudit) isMissing(ctx context.Context, reader string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, pageWindow)
	defer cancel()
	f, err := d.follows.Follow(ctx, reader, d.tweet.Username)
	switch {
	case twtr.ErrorCode(err) == twtr.NotFound:
		return false, nil
	case err != nil:
		return false, err
	case compare(d.tweet.ID, f.Since) < 0:
		return false, nil
	}
	floor, err := d.feeds.FeedFloor(ctx, reader, d.config.MaxItems)
	if err != nil || compare(d.tweet.ID, floor) < 0 {
		return false, err
	}
	if !d.repair {
		return true, nil
	}
	return true, d.feeds.PutFeedItems(ctx, reader, []twtr.Tweet{d.tweet}, repairTime(f, d.tweet))
}

// repairTime is the time with which a tweet is added to the feed of a follower: later than what a removal of the edge before
// this one left, and not later than what a removal of this one will have.
func repairTime(f twtr.Follow, t twtr.Tweet) time.Time {
	return afterAll(f.At.Add(time.Microsecond), []twtr.Tweet{t})
}

// RebuildFeedInput says whose feed to compare with whom they follow.
type RebuildFeedInput struct {
	Reader string `json:"reader"`
	// DryRun reports only.
	DryRun bool `json:"dryRun,omitempty"`
}

// RebuildFeed makes a feed what it should be: of each user whom the reader follows the newest [twtr.BackfillTweets] and those
// from [twtr.Follow.Since] on, no deleted tweet, and nothing of anyone else; of all these the newest, up to the limit, and nothing that
// may have been trimmed: a trim is for good, also when deletions or an unfollow make room. It adds them all,
// but counts as missing only those from Since on: when newer tweets are deleted, older ones become the newest, and nothing else adds
// them to a feed.
func (a *Feeds) RebuildFeed(ctx context.Context, in RebuildFeedInput) (twtr.Audit, error) {
	report, err := a.rebuildFeed(ctx, in)
	if err == nil {
		a.config.Metrics.audit(ctx, report)
		if !in.DryRun {
			a.config.Metrics.page(ctx, stepRepair, int(report.Missing+report.Extra), int(report.Failed))
		}
	}
	return report, err
}

func (a *Feeds) rebuildFeed(ctx context.Context, in RebuildFeedInput) (twtr.Audit, error) {
	r, err := a.newRebuild(ctx, in)
	if err != nil {
		return twtr.Audit{}, err
	}
	defer heartbeat(ctx, func() any { return AuditProgress{Audit: twtr.Audit{Checked: r.checked.Load()}} })()
	for after := ""; ; {
		names, err := a.follows.Followings(ctx, in.Reader, after, followerPage)
		if err != nil {
			return twtr.Audit{}, err
		}
		for _, author := range names {
			if err := r.fill(ctx, author); err != nil {
				return twtr.Audit{}, err
			}
			r.checked.Add(1)
		}
		if len(names) < followerPage {
			break
		}
		after = names[len(names)-1]
	}
	report := twtr.Audit{Checked: r.checked.Load()}
	for _, id := range r.wanted.newest() {
		r.expected[id] = true
		if !r.have[id] && !r.optional[id] {
			report.Missing++
		}
	}
	report.Extra, err = r.clear(ctx)
	report.Failed = r.failed
	if err != nil || in.DryRun {
		return report, err
	}
	return report, a.feeds.TrimFeed(ctx, in.Reader, a.config.MaxItems)
}

// rebuild is one comparison of a feed with what it should hold.
type rebuild struct {
	*Feeds
	RebuildFeedInput
	feed     []twtr.Tweet
	floor    uuid.UUID // tweets below may have been trimmed
	have     map[uuid.UUID]bool
	wanted   wanted
	optional map[uuid.UUID]bool // of those that are wanted, what a feed may lack
	expected map[uuid.UUID]bool
	checked  atomic.Int64
	failed   int64 // items that the store refuses to correct
}

func (a *Feeds) newRebuild(ctx context.Context, in RebuildFeedInput) (*rebuild, error) {
	r := &rebuild{Feeds: a, RebuildFeedInput: in, have: map[uuid.UUID]bool{}, optional: map[uuid.UUID]bool{}, expected: map[uuid.UUID]bool{},
		wanted: wanted{limit: a.config.MaxItems}}
	var err error
	if r.feed, err = a.feed(ctx, in.Reader); err != nil {
		return nil, err
	}
	for _, item := range r.feed {
		r.have[item.ID] = true
	}
	r.floor, err = a.feeds.FeedFloor(ctx, in.Reader, a.config.MaxItems)
	return r, err
}

// fill finds which of an author's tweets belong in the feed, and adds those that it lacks. From reading the edge to the write
// it takes at most [pageWindow], like every write to a feed.
func (r *rebuild) fill(ctx context.Context, author string) error {
	ctx, cancel := context.WithTimeout(ctx, pageWindow)
	defer cancel()
	f, err := r.follows.Follow(ctx, r.Reader, author)
	if twtr.ErrorCode(err) == twtr.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	missing, err := r.missingOf(ctx, f)
	if err != nil || r.DryRun || len(missing) == 0 {
		return err
	}
	name := func(t twtr.Tweet) string { return itemName(t.ID, r.Reader) }
	refused, err := accepted(ctx, missing, name, func(ctx context.Context, missing []twtr.Tweet) error {
		return r.feeds.PutFeedItems(ctx, r.Reader, missing, afterAll(f.At.Add(time.Microsecond), missing))
	})
	r.failed += int64(len(refused))
	return err
}

// missingOf reads the author's tweets, newest first, as far as they belong in the feed.
func (r *rebuild) missingOf(ctx context.Context, f twtr.Follow) (missing []twtr.Tweet, err error) {
	for w, n := (twtr.Window{}), 0; ; {
		page, err := r.tweets.TweetsByUser(ctx, f.Followee, w, twtr.BackfillTweets)
		if err != nil {
			return nil, err
		}
		for _, t := range page {
			before := compare(t.ID, f.Since) < 0
			tooOld := compare(t.ID, r.floor) < 0 || before && n >= twtr.BackfillTweets
			if tooOld || !r.wanted.add(t.ID) {
				return missing, nil
			}
			n++
			if !r.have[t.ID] {
				r.optional[t.ID] = before
				missing = append(missing, t)
			}
		}
		if len(page) < twtr.BackfillTweets {
			return missing, nil
		}
		w.Before = page[len(page)-1].ID
	}
}

// clear removes, and counts, the items that do not belong in the feed: those that are not expected and are deleted, or of a
// user whom the reader does not follow.
func (r *rebuild) clear(ctx context.Context) (extra int64, err error) {
	follows := map[string]bool{}
	for _, item := range r.feed {
		if r.expected[item.ID] {
			continue
		}
		followed, known := follows[item.Username]
		if !known {
			_, err := r.follows.Follow(ctx, r.Reader, item.Username)
			if err != nil && twtr.ErrorCode(err) != twtr.NotFound {
				return extra, err
			}
			followed = err == nil
			follows[item.Username] = followed
		}
		remove := r.retract
		if !followed {
			remove = r.sweep
		} else if _, err := r.tweets.Tweet(ctx, item.ID); twtr.ErrorCode(err) != twtr.NotFound {
			if err != nil {
				return extra, err
			}
			continue
		}
		extra++
		if r.DryRun {
			continue
		}
		if err := remove(ctx, item); isRefusal(err) {
			r.failed++
			logRefused(ctx, itemName(item.ID, r.Reader), err)
		} else if err != nil {
			return extra, err
		}
	}
	return extra, nil
}

func (r *rebuild) retract(ctx context.Context, item twtr.Tweet) error {
	return r.feeds.RetractFeedItem(ctx, item.ID, []string{r.Reader}, RetractionTime(time.Now(), item.ID))
}

// maxClockDifference is how far the clock of this worker may be ahead of Temporal's, from which the times of follows are.
const maxClockDifference = time.Minute

// sweep removes an item of a user who is not followed, with the time of the unfollow or, if the store does not remember that, a
// time before any clock's present: a follow that comes after it wins.
func (r *rebuild) sweep(ctx context.Context, item twtr.Tweet) error {
	changed, err := r.follows.FollowChanged(ctx, r.Reader, item.Username)
	if err != nil {
		return err
	}
	at := changed.At
	if at.IsZero() {
		at = time.Now().Add(-maxClockDifference).UTC()
	}
	return r.feeds.DeleteFeedItems(ctx, r.Reader, []uuid.UUID{item.ID}, later(at, item.CreatedAt()))
}

// wanted are the newest of the tweets that were added.
type wanted struct {
	limit int
	ids   []uuid.UUID
	floor uuid.UUID // tweets up to here are too old
}

// add reports whether the tweet may be among the newest.
func (w *wanted) add(id uuid.UUID) bool {
	if compare(id, w.floor) <= 0 {
		return false
	}
	w.ids = append(w.ids, id)
	if len(w.ids) >= 2*w.limit+twtr.BackfillTweets {
		w.floor = w.newest()[w.limit-1]
	}
	return true
}

func (w *wanted) newest() []uuid.UUID {
	slices.SortFunc(w.ids, func(a, b uuid.UUID) int { return compare(b, a) })
	w.ids = w.ids[:min(w.limit, len(w.ids))]
	return w.ids
}

func compare(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
