package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
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
		{http.MethodPost, "/tweets", true, a.tweets, a.postTweet},
		{http.MethodGet, "/tweets/:username", false, nil, a.listTweets},
		{http.MethodDelete, "/tweets/:id", true, a.tweets, a.deleteTweet},
	}
}

// tweetBody is a tweet as the contract writes it, also in a feed.
type tweetBody struct {
	ID        uuid.UUID `json:"id"`
	Username  string    `json:"username"`
	Content   string    `json:"content"`
	CreatedAt timestamp `json:"createdAt"`
}

func newTweetBody(t twtr.Tweet) tweetBody {
	return tweetBody{t.ID, t.Username, t.Content, timestamp(t.CreatedAt())}
}

func (a *API) postTweet(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	var in struct {
		Content string `json:"content"`
	}
	if err := readJSON(c, &in); err != nil {
		return nil, err
	}
	tweet, err := twtr.NewTweet(username(c), in.Content)
	if err != nil {
		return nil, err
	}
	hint := "look before you post it again"
	if keys, given := c.Request.Header["Idempotency-Key"]; given {
		if tweet.ID, err = a.claim(ctx, keys, tweet); err != nil {
			return nil, err
		}
		hint = "the same Idempotency-Key joins it"
	}
	err = run(ctx, a.temporal, workflows.PostTweet, workflows.PostTweetInput{Tweet: tweet})
	if e, ok := errors.AsType[*twtr.Error](err); ok && e.Code == twtr.Unavailable {
		e.Message += "; the tweet may have been accepted all the same, and appear soon: " + hint
	}
	if err != nil {
		return nil, err
	}
	return newTweetBody(tweet), nil
}

var idempotencyKeys = regexp.MustCompile(`^[!-~]{1,255}$`)

// claim is the id of the tweet that the user's Idempotency-Key stands for: this one's, or that of the one that came first.
func (a *API) claim(ctx context.Context, keys []string, t twtr.Tweet) (uuid.UUID, error) {
	if len(keys) != 1 || !idempotencyKeys.MatchString(keys[0]) {
		return uuid.Nil, twtr.Errorf(twtr.Invalid, "Idempotency-Key must have 1 to 255 visible ASCII characters")
	}
	hash := sha256.Sum256([]byte(t.Content))
	holds, err := a.store.ClaimIdempotencyKey(ctx, twtr.IdempotencyClaim{
		Username:    t.Username,
		Key:         keys[0],
		TweetID:     t.ID,
		ContentHash: hash[:],
		ExpiresAt:   time.Now().Add(twtr.IdempotencyKeyLife).UTC().Truncate(time.Millisecond),
	})
	if err != nil {
		return uuid.Nil, err
	}
	if !bytes.Equal(holds.ContentHash, hash[:]) {
		return uuid.Nil, twtr.Errorf(twtr.Invalid, "Idempotency-Key was used for a tweet with another content: take a new one")
	}
	return holds.TweetID, nil
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
		return nil, twtr.Errorf(twtr.Forbidden, "the tweet is not yours")
	}
	in := workflows.DeleteTweetInput{TweetID: id, Username: tweet.Username}
	return struct{}{}, run(ctx, a.temporal, workflows.DeleteTweet, in)
}

// tweetID is the id in the request's path. What is not one, as we write them, is no tweet's.
func tweetID(c *gin.Context) (uuid.UUID, error) {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil || id.String() != c.Param("id") {
		return uuid.Nil, twtr.Errorf(twtr.NotFound, "there is no tweet of that id")
	}
	return id, nil
}

func (a *API) listTweets(c *gin.Context) (any, error) {
	ctx, name := c.Request.Context(), c.Param("username")
	limit, err := pageLimit(c)
	if err != nil {
		return nil, err
	}
	list := "tweets/" + name
	before, err := a.cursors.readTweet(c, list)
	if err != nil {
		return nil, err
	}
	if _, err := a.user(ctx, name); err != nil {
		return nil, err
	}
	tweets, err := a.store.TweetsByUser(ctx, name, before, limit+1)
	if err != nil {
		return nil, err
	}
	return a.cursors.tweetPage(list, tweets, limit), nil
}
