package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

func (a *API) followerRoutes() []route {
	return []route{
		{http.MethodPost, "/follow", true, a.follows, a.follow},
		{http.MethodDelete, "/follow/:username", true, a.follows, a.unfollow},
		{http.MethodGet, "/users/:username/followers", false, nil, a.listFollowers},
		{http.MethodGet, "/users/:username/followings", false, nil, a.listFollowings},
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
	f := newFollow(c, in.FollowingUsername)
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

func newFollow(c *gin.Context, followee string) twtr.Follow {
	return twtr.Follow{Follower: username(c), Followee: followee, At: time.Now().UTC().Truncate(time.Microsecond)}
}

func (a *API) unfollow(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	followee, err := a.user(ctx, c.Param("username"))
	if err != nil {
		return nil, err
	}
	if followee.Username == username(c) { // nobody follows themselves
		return struct{}{}, nil
	}
	in := workflows.UnfollowInput{Follow: newFollow(c, followee.Username)}
	return struct{}{}, run(ctx, a.temporal, workflows.Unfollow, in)
}

func (a *API) listFollowings(c *gin.Context) (any, error) {
	return a.listNames(c, "followings/", a.store.Followings)
}

func (a *API) listFollowers(c *gin.Context) (any, error) {
	return a.listNames(c, "followers/", func(ctx context.Context, username, after string, limit int) (names []string, err error) {
		// The order is that of the buckets, and in a bucket that of the names.
		bucket := 0
		if after != "" {
			bucket = twtr.FollowerBucket(after)
		}
		for ; bucket < twtr.FollowerBuckets && len(names) < limit; bucket++ {
			more, err := a.store.Followers(ctx, username, bucket, after, limit-len(names))
			if err != nil {
				return nil, err
			}
			names, after = append(names, more...), ""
		}
		return names, nil
	})
}

func (a *API) listNames(c *gin.Context, list string, read func(ctx context.Context, username, after string, limit int) ([]string, error)) (any, error) {
	ctx, name := c.Request.Context(), c.Param("username")
	limit, err := pageLimit(c)
	if err != nil {
		return nil, err
	}
	list += name
	after, err := a.cursors.read(c, list)
	if err != nil {
		return nil, err
	}
	if _, err := a.user(ctx, name); err != nil {
		return nil, err
	}
	names, err := read(ctx, name, string(after), limit+1)
	if err != nil {
		return nil, err
	}
	return a.cursors.namePage(list, names, limit), nil
}
