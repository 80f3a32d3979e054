package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

func (a *API) followerRoutes() []route {
	return []route{
		{http.MethodPost, "/follow", true, a.follow},
	}
}

func (a *API) follow(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	var in struct {
		FollowingUsername string `json:"followingUsername"`
	}
	if err := readJSON(c, &in); err != nil {
		return nil, err
	}
	f := twtr.Follow{Follower: username(c), Followee: in.FollowingUsername, At: time.Now().UTC().Truncate(time.Microsecond)}
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if _, err := a.user(ctx, f.Followee); err != nil {
		return nil, err
	}
	if err := run(ctx, a.temporal, workflows.Follow, workflows.FollowInput{Follow: f}); err != nil {
		return nil, err
	}
	return struct {
		Username          string `json:"username"`
		FollowingUsername string `json:"followingUsername"`
	}{f.Follower, f.Followee}, nil
}
