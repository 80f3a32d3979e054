package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

func (a *API) followerRoutes() []route {
	return []route{
		{method: http.MethodPost, path: "/follow", auth: true, limit: a.follows, handler: a.follow},
		{method: http.MethodDelete, path: "/follow/:username", auth: true, limit: a.follows, handler: a.unfollow},
		{method: http.MethodGet, path: "/users/:username/followers", handler: a.listFollowers},
		{method: http.MethodGet, path: "/users/:username/followings", handler: a.listFollowings},
	}
}

func (a *API) follow(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	var body struct {
		FollowingUsername string `json:"followingUsername"`
	}
	if err := readJSON(c, &body); err != nil {
		return nil, err
	}
	follower, followee := username(c), twtr.FoldUsername(body.FollowingUsername)
	if err := (twtr.Follow{Follower: follower, Followee: followee}).Validate(); err != nil {
		return nil, err
	}
	if _, err := a.user(ctx, followee); err != nil {
		return nil, err
	}
	in := workflows.FollowInput{Follower: follower, Followee: followee, Announce: a.announce}
	if err := run(ctx, a.temporal, workflows.Follow, in); err != nil {
		return nil, err
	}
	return struct {
		Username          string `json:"username"`
		FollowingUsername string `json:"followingUsername"`
	}{follower, followee}, nil
}

func (a *API) unfollow(c *gin.Context) (any, error) {
	ctx := c.Request.Context()
	followee, err := a.user(ctx, twtr.FoldUsername(c.Param("username")))
	if err != nil {
		return nil, err
	}
	if followee.Username == username(c) { // no user follows themselves
		return struct{}{}, nil
	}
	in := workflows.FollowInput{Follower: username(c), Followee: followee.Username, Unfollow: true, Announce: a.announce}
	return struct{}{}, run(ctx, a.temporal, workflows.Follow, in)
}

func (a *API) listFollowings(c *gin.Context) (any, error) {
	return a.listNames(c, "followings/", a.store.Followings)
}

func (a *API) listFollowers(c *gin.Context) (any, error) {
	return a.listNames(c, "followers/", a.followers)
}

// followers returns up to limit followers, ordered by bucket and then by name, from the first one after the given one.
func (a *API) followers(ctx context.Context, username, after string, limit int) (names []string, err error) {
	bucket := 0
	if after == "" {
		// Most users' followers all fit into one read.
		names, left, err := a.store.FirstFollowers(ctx, username, limit)
		if err != nil {
			return nil, err
		}
		if len(left) == 0 {
			slices.SortFunc(names, func(a, b string) int {
				return cmp.Or(cmp.Compare(twtr.FollowerBucket(a), twtr.FollowerBucket(b)), cmp.Compare(a, b))
			})
			return names, nil
		}
	} else {
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
}

func (a *API) listNames(c *gin.Context, list string, read func(ctx context.Context, username, after string, limit int) ([]string, error)) (any, error) {
	ctx, name := c.Request.Context(), twtr.FoldUsername(c.Param("username"))
	limit, err := pageLimit(c)
	if err != nil {
		return nil, err
	}
	list += name
	after, err := a.cursors.read(c, list)
	if err != nil {
		return nil, err
	}
	if err := isUsername(name); err != nil {
		return nil, err
	}
	names, err := read(ctx, name, string(after), limit+1)
	if err == nil && len(names) == 0 {
		_, err = a.user(ctx, name) // a list that is not empty is a user's
	}
	if err != nil {
		return nil, err
	}
	return pageOf(a.cursors, list, names, limit, nameItem)
}
