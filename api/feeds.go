package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

func (a *API) feedRoutes() []route {
	return []route{
		{http.MethodGet, "/feeds/me", true, nil, a.readFeed},
	}
}

func (a *API) readFeed(c *gin.Context) (any, error) {
	limit, err := pageLimit(c)
	if err != nil {
		return nil, err
	}
	reader := username(c)
	list := "feeds/" + reader
	before, err := a.cursors.readTweet(c, list)
	if err != nil {
		return nil, err
	}
	items, err := a.store.Feed(c.Request.Context(), reader, before, limit+1)
	if err != nil {
		return nil, err
	}
	return a.cursors.tweetPage(list, items, limit), nil
}
