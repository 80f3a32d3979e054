package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

func (a *API) tweetRoutes() []route {
	return []route{
		{method: http.MethodPost, path: "/tweets", auth: true, limit: a.tweets, handler: a.postTweet},
		{method: http.MethodGet, path: "/tweets/:username", handler: a.getTweetOrList},
		{method: http.MethodGet, path: "/users/:username/tweets", handler: a.listTweets},
		{method: http.MethodDelete, path: "/tweets/:id", auth: true, limit: a.tweets, handler: a.deleteTweet},
	}
}

func (a *API) postTweet(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	var post twtr.Post
	if err := readJSON(c, &post); err != nil {
		return nil, err
	}
	if err := post.Validate(); err != nil {
		return nil, err
	}
	id, err := twtr.NewTweetID(a.now())
	if err != nil {
		return nil, err
	}
	own := id
	keys, hasKey := c.Request.Header["Idempotency-Key"]
	if hasKey {
		if id, err = a.claim(ctx, username(c), keys, id, post); err != nil {
			return nil, err
		}
	}
	replayed := id != own
	tweet, err := twtr.NewTweet(id, username(c), post)
	if err != nil {
		return nil, err
	}
	over := false
	if replayed {
		over, err = a.isOver(ctx, id)
	}
	if err == nil && !over {
		err = a.post(ctx, tweet)
	}
	if err != nil {
		return nil, maybeAccepted(err, hasKey)
	}
	if replayed {
		c.Header("Idempotent-Replayed", "true")
	}
	return tweet.Body, nil
}

// isOver reports whether the tweet's delivery is over. Its workflow must not start again then: what Temporal knew of it, and by
// which it refuses a second start, may be deleted.
func (a *API) isOver(ctx context.Context, id uuid.UUID) (bool, error) {
	_, err := a.store.Receipt(ctx, id)
	if twtr.ErrorCode(err) == twtr.NotFound {
		return false, nil
	}
	return err == nil, err
}

// post starts the workflow that stores and delivers the tweet, and then stores the tweet. The start is the promise; the write
// lets the author read their tweet at once, though no worker may be running yet. After a crash in between nothing is lost,
// because the workflow writes the same rows. The other order could store a tweet that is never delivered. If the tweet was posted
// before, under the same Idempotency-Key, both change nothing: the workflow runs once, and a tweet that was deleted since stays so.
func (a *API) post(ctx context.Context, tweet twtr.Tweet) error {
	if err := start(ctx, a.temporal, workflows.PostTweet, workflows.PostTweetInput{Tweet: tweet, Announce: a.announce}); err != nil {
		return err
	}
	a.accepted.Add(ctx, 1)
	return a.store.PutTweet(ctx, tweet)
}

// maybeAccepted adds to an [twtr.Unavailable] error that the tweet may have been accepted, and what the client can do: with an
// Idempotency-Key it can repeat the request, without one it might post the tweet twice.
func maybeAccepted(err error, hasKey bool) error {
	const hint = "the tweet may have been accepted all the same, and appear soon: "
	if hasKey {
		return maybeDone(err, hint+"the same Idempotency-Key joins it")
	}
	if _, unavailable := asUnavailable(err); unavailable {
		err = fmt.Errorf("%w: %w", errNotRepeatable, err)
	}
	return maybeDone(err, hint+"look before you post it again")
}

var idempotencyKeys = regexp.MustCompile(`^[!-~]{1,255}$`)

// claim returns the id of the tweet that the user's Idempotency-Key stands for: the given one, or that of an earlier request.
func (a *API) claim(ctx context.Context, username string, keys []string, id uuid.UUID, post twtr.Post) (uuid.UUID, error) {
	if len(keys) != 1 || !idempotencyKeys.MatchString(keys[0]) {
		return uuid.Nil, twtr.InvalidField("Idempotency-Key", "must have 1 to 255 visible ASCII characters")
	}
	// The hash covers whatever fields posts have. A new one must be omitted from the JSON while it is empty, or the requests of
	// the last day, sent again, would differ from their claims.
	request, err := json.Marshal(post)
	if err != nil {
		return uuid.Nil, err
	}
	hash := sha256.Sum256(request)
	claim, err := a.store.ClaimIdempotencyKey(ctx, twtr.IdempotencyClaim{
		Username:    username,
		Key:         keys[0],
		TweetID:     id,
		RequestHash: hash[:],
		ExpiresAt:   a.now().Add(twtr.IdempotencyKeyLife).UTC().Truncate(time.Millisecond),
	})
	if err != nil {
		return uuid.Nil, err
	}
	if !bytes.Equal(claim.RequestHash, hash[:]) {
		return uuid.Nil, twtr.InvalidField("Idempotency-Key", "was used for a tweet with different content: use a new key")
	}
	return claim.TweetID, nil
}

func (a *API) deleteTweet(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	id, err := tweetID(c)
	if err != nil {
		return nil, err
	}
	tweet, err := a.store.Tweet(ctx, id)
	if err != nil {
		return nil, err
	}
	if tweet.Username != username(c) {
		return nil, errNotYours()
	}
	in := workflows.DeleteTweetInput{TweetID: id, Username: tweet.Username, Announce: a.announce}
	return struct{}{}, run(ctx, a.temporal, workflows.DeleteTweet, in)
}

func errNotYours() error { return twtr.Errorf(twtr.Forbidden, "the tweet is not yours") }

// getTweetOrList responds with the tweet of that id or, for a username, with the user's tweets. The router has one name for both.
// No username is as long as an id.
func (a *API) getTweetOrList(c *gin.Context) (any, error) {
	id, ok := parseID(c.Param("username"))
	if !ok {
		return a.listTweets(c)
	}
	tweet, err := a.store.Tweet(c.Request.Context(), id)
	return tweet.Body, err
}

func (a *API) listTweets(c *gin.Context) (any, error) {
	ctx, name := c.Request.Context(), twtr.FoldUsername(c.Param("username"))
	limit, err := pageLimit(c)
	if err != nil {
		return nil, err
	}
	list := "tweets/" + name
	window, err := a.window(c, list)
	if err != nil {
		return nil, err
	}
	if err := isUsername(name); err != nil {
		return nil, err
	}
	tweets, err := a.store.TweetsByUser(ctx, name, window, limit+1)
	if err == nil && len(tweets) == 0 {
		_, err = a.user(ctx, name) // a list that is not empty is a user's
	}
	if err != nil {
		return nil, err
	}
	return pageOf(a.cursors, list, tweets, limit, tweetItem)
}
