package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

func (a *API) feedRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/feeds/me", auth: true, handler: a.getFeed},
		{method: http.MethodGet, path: streamPath, auth: true, handler: a.openStream},
	}
}

func (a *API) getFeed(c *gin.Context) (any, error) {
	limit, err := pageLimit(c)
	if err != nil {
		return nil, err
	}
	reader := username(c)
	list := "feeds/" + reader
	window, err := a.window(c, list)
	if err != nil {
		return nil, err
	}
	tweets, err := a.store.Feed(c.Request.Context(), reader, window, limit+1)
	if err != nil {
		return nil, err
	}
	return pageOf(a.cursors, list, tweets, limit, tweetItem)
}
