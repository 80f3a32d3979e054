package api

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

func (a *API) tweetRoutes() []route {
	return []route{
		{http.MethodPost, "/tweets", true, a.postTweet},
		{http.MethodGet, "/tweets/:username", false, a.listTweets},
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
	err = run(c.Request.Context(), a.temporal, workflows.PostTweet, workflows.PostTweetInput{Tweet: tweet})
	if e, ok := errors.AsType[*twtr.Error](err); ok && e.Code == twtr.Unavailable {
		e.Message += "; the tweet may have been accepted all the same, and appear soon: look before you post it again"
	}
	if err != nil {
		return nil, err
	}
	return newTweetBody(tweet), nil
}

func (a *API) listTweets(c *gin.Context) (any, error) {
	ctx, name := c.Request.Context(), c.Param("username")
	limit, err := pageLimit(c)
	if err != nil {
		return nil, err
	}
	list := "tweets/" + name
	before, err := a.cursors.read(c, list)
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
