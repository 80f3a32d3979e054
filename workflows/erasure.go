package workflows

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/activities"
)

const (
	// acceptedAfter bounds how long after a user's retirement something of theirs may still be accepted: for up to 10 s an API process
	// takes their access tokens, for 5 s a request may then be processed, and what it starts may be listed a little later.
	acceptedAfter = 20 * time.Second
	// erasureStep is the number of tweets, or of feeds, after which a step of an erasure ends and its progress is shown. Later
	// steps do a quarter of what was done before them: so there are few steps, however much there is.
	erasureStep = 10_000
	// erasureRounds is how often an erasure looks for late writes and starts over. More than one round is rare. If something is
	// found after so many, its cause must be found, too.
	erasureRounds = 10
)

// DeleteUserInput is the input of [DeleteUser]: the user to delete.
type DeleteUserInput struct {
	Username string `json:"username"`
}

// StartOptions implements [Input]. A name has one run at a time, which every request joins.
func (in DeleteUserInput) StartOptions() client.StartWorkflowOptions {
	return startOptions(UsersQueue, "delete-user/"+in.Username, "delete "+in.Username,
		"Takes the name out of use, ends all sessions, and then erases everything of the user.")
}

// Update implements [Request]. Each request is an update of its own: it may be of a later user of the name.
func (in DeleteUserInput) Update() client.UpdateWorkflowOptions {
	return updateOptions(updateDeleted, uuid.NewString())
}

// ErasureResult is the result of [DeleteUser].
type ErasureResult struct {
	Followings int64 `json:"followings"`
	Tweets     int64 `json:"tweets"`
	// Histories counts the histories of workflows that posted or deleted the tweets.
	Histories int64 `json:"histories"`
	// Feeds counts the feeds that the tweets were removed from: one for each follower. An interruption may leave some out.
	Feeds int64 `json:"feeds"`
}

// DeleteUser takes a user's name out of use, and then erases everything of theirs. Its update "deleted" returns when the name is
// out of use and no session is left. The workflow ends when nothing is left at all, and sets the time from which the name is free. It
// fails rather than leave something behind; the next request starts it again.
func DeleteUser(ctx workflow.Context, in DeleteUserInput) (ErasureResult, error) {
	d := &deletion{username: in.Username}
	if err := workflow.SetUpdateHandler(ctx, updateDeleted, d.take); err != nil {
		return ErasureResult{}, err
	}
	err := d.run(ctx)
	return d.erased, err
}

// deletion is a run of [DeleteUser].
type deletion struct {
	username string
	retired  bool // the name is out of use

	followers int64 // about how many there were
	erased    ErasureResult
}

// take is the handler of the update.
func (d *deletion) take(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return d.retired })
}

// run deletes the user. It starts over if a request came when the name was perhaps another user's already.
func (d *deletion) run(ctx workflow.Context) error {
	for {
		for _, step := range []func(workflow.Context) error{d.retire, d.awaitWrites, d.erase, d.release} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		if workflow.AllHandlersFinished(ctx) {
			return nil
		}
	}
}

// retire takes the name out of use, and ends all sessions.
func (d *deletion) retire(ctx workflow.Context) error {
	d.show(ctx, "taking the name out of use")
	if err := short(ctx, users.RetireUser, d.username, nil); err != nil {
		return err
	}
	if err := d.endSessions(ctx); err != nil {
		return err
	}
	d.retired = true
	return nil
}

func (d *deletion) endSessions(ctx workflow.Context) error {
	return short(ctx, users.EndSessions, activities.EndSessionsInput{Username: d.username}, nil)
}

// awaitWrites waits until nothing of the user is being written any more, except for what follows an unfollow.
func (d *deletion) awaitWrites(ctx workflow.Context) error {
	d.show(ctx, "waiting for what was accepted last")
	if err := sleep(ctx, acceptedAfter, "requests that were accepted last"); err != nil {
		return err
	}
	if err := d.endSessions(ctx); err != nil { // a log-in was processed meanwhile
		return err
	}
	if err := short(ctx, users.CountFollowers, d.username, &d.followers); err != nil {
		return err
	}
	return d.do(ctx, TweetsQueue, "wait for deliveries and deletions of tweets", tweets.AwaitTweets, d.username, nil)
}

// erase erases everything, until nothing is found any more.
func (d *deletion) erase(ctx workflow.Context) error {
	for range erasureRounds {
		// Tweets come before feeds: what adds a user's tweets to a feed late finds none then.
		for _, step := range []func(workflow.Context) error{d.eraseFollowings, d.eraseTweets, d.eraseHistories, d.eraseFeeds, d.eraseRest} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		var remains bool
		if err := short(ctx, users.Remains, d.username, &remains); err != nil || !remains {
			return err
		}
	}
	return temporal.NewApplicationError(fmt.Sprintf("something of %s was found after each of %d erasures", d.username, erasureRounds), "remains")
}

func (d *deletion) eraseFollowings(ctx workflow.Context) error {
	read := activities.FollowingsInput{Username: d.username}
	for {
		d.show(ctx, "erasing followings")
		var page []string
		if err := d.do(ctx, FollowersQueue, "followings", followers.Followings, read, &page); err != nil {
			return err
		}
		if len(page) > 0 {
			in := activities.EraseFollowingsInput{Username: d.username, Followees: page}
			if err := d.do(ctx, FollowersQueue, fmt.Sprintf("erase %d followings", len(page)), followers.EraseFollowings, in, nil); err != nil {
				return err
			}
		}
		d.erased.Followings += int64(len(page))
		if len(page) < activities.FollowingsPage {
			return nil
		}
		read.After = page[len(page)-1]
	}
}

func (d *deletion) eraseTweets(ctx workflow.Context) error {
	before := d.erased.Tweets
	for erased := (activities.ErasedTweets{}); !erased.Complete; d.erased.Tweets = before + erased.Done {
		d.show(ctx, "erasing tweets")
		in := activities.EraseTweetsInput{Username: d.username, From: erased, Budget: erasureBudget(erased.Done)}
		if err := d.do(ctx, TweetsQueue, fmt.Sprintf("erase up to %d tweets", in.Budget), tweets.EraseTweets, in, &erased); err != nil {
			return err
		}
	}
	return nil
}

func (d *deletion) eraseHistories(ctx workflow.Context) error {
	d.show(ctx, "deleting the histories of tweets")
	var deleted int64
	err := d.do(ctx, TweetsQueue, "delete the histories of tweets", tweets.DeleteHistories, d.username, &deleted)
	d.erased.Histories += deleted
	return err
}

func (d *deletion) eraseFeeds(ctx workflow.Context) error {
	d.show(ctx, "waiting for late additions to feeds")
	if err := sleep(ctx, sweepAfter, "additions of tweets that were read before they were erased"); err != nil {
		return err
	}
	before := d.erased.Feeds
	var failed twtr.Progress
	for p := twtr.NewProgress(); len(p.Left) > 0; d.erased.Feeds = before + p.Done {
		d.show(ctx, "cleaning feeds")
		in := activities.EraseFeedsInput{Author: d.username, From: p, Budget: erasureBudget(p.Done)}
		p = twtr.Progress{}
		if err := d.do(ctx, FeedsQueue, fmt.Sprintf("clean up to about %d feeds", in.Budget), feeds.EraseFeeds, in, &p); err != nil {
			return err
		}
		failed = p
	}
	if failed.Failed > 0 {
		// Not the next step, which removes the followers: these feeds could not be found again.
		return temporal.NewApplicationError(fmt.Sprintf("the store refuses to clean %d feeds; the first are those of %s",
			failed.Failed, strings.Join(failed.FailedReaders, ", ")), "refused")
	}
	return nil
}

func (d *deletion) eraseRest(ctx workflow.Context) error {
	d.show(ctx, "erasing the rest")
	return d.do(ctx, UsersQueue, "erase all that is left under the name", users.EraseUser, d.username, nil)
}

// release sets the time from which the name is free. That may be now: a request that comes from here on may be another user's.
func (d *deletion) release(ctx workflow.Context) error {
	d.retired = false
	if err := short(ctx, users.ReleaseUsername, d.username, nil); err != nil {
		return err
	}
	d.show(ctx, "nothing is left")
	return nil
}

// do executes an activity of a domain that may take long.
func (d *deletion) do(ctx workflow.Context, queue, summary string, activity, input, result any) error {
	options := walkOptions
	options.TaskQueue, options.Summary = queue, summary
	// Nobody waits for it: deliveries, of the default priority 3, come first.
	options.Priority = temporal.Priority{PriorityKey: 5, FairnessKey: d.username}
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), activity, input).Get(ctx, result)
}

func (d *deletion) show(ctx workflow.Context, doing string) {
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("%s; %d tweets erased; %d of about %d feeds cleaned",
		doing, d.erased.Tweets, d.erased.Feeds, max(d.followers, d.erased.Feeds)))
}

func erasureBudget(done int64) int64 { return max(erasureStep, done/4) }

// sleep waits, and tells what for.
func sleep(ctx workflow.Context, d time.Duration, waitingFor string) error {
	return workflow.NewTimerWithOptions(ctx, d, workflow.TimerOptions{Summary: "wait for " + waitingFor}).Get(ctx, nil)
}
