//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/twtr-dev/twtr/dev/chaos/history"
	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// clients are all who use the API during a run.
type clients struct {
	*recorder
	api   *traffic.Client
	seed  uint64
	users []string
	done  sync.WaitGroup
}

const celebrity = "celebrity"

func newClients(r *recorder, api *traffic.Client, seed uint64, users int) *clients {
	c := &clients{recorder: r, api: api, seed: seed}
	for i := range users {
		c.users = append(c.users, fmt.Sprintf("user%d", i))
	}
	return c
}

// signUpAll signs the users up that act, before anything fails.
func (c *clients) signUpAll(ctx context.Context) error {
	for _, name := range append(c.users, celebrity) {
		d := &device{clients: c, name: name}
		if d.signUp(ctx, name, 0); d.access == "" {
			return fmt.Errorf("%s cannot sign up", name)
		}
	}
	return nil
}

// names are those that anybody tried to sign up with.
func (c *clients) names() []string {
	names := map[string]bool{}
	for _, op := range c.all() {
		if op.Kind == history.SignUp {
			names[op.User] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// follow records that users follow another who do not act.
func (c *clients) follow(followers []string, whom string) {
	now := c.now()
	for _, name := range followers {
		c.add(history.Op{Kind: history.Follow, User: name, Target: whom, Outcome: history.Acknowledged, Call: now, Return: now})
	}
}

// start lets the clients act until the context ends.
func (c *clients) start(ctx context.Context) {
	for i, name := range c.users {
		for n := range 2 { // two devices of one user act at the same time
			d := &device{clients: c, name: name, random: rand.New(rand.NewPCG(c.seed, uint64(2*i+n)))}
			c.done.Go(func() { d.run(ctx) })
		}
	}
	for n := range 2 { // they compete for the same names
		d := &device{clients: c, random: rand.New(rand.NewPCG(c.seed, uint64(100+n)))}
		c.done.Go(func() { d.competeForNames(ctx, n) })
	}
	for n := range 2 {
		d := &device{clients: c, random: rand.New(rand.NewPCG(c.seed, uint64(300+n)))}
		c.done.Go(func() { d.leaveWhoPosts(ctx, n) })
	}
	c.done.Go(func() {
		(&device{clients: c, name: celebrity, random: rand.New(rand.NewPCG(c.seed, 200))}).postToMany(ctx)
	})
}

func (c *clients) wait() { c.done.Wait() }

// device is one client of a user, with a session of its own.
type device struct {
	*clients
	name            string
	session         string // of the last sign-up or log-in
	random          *rand.Rand
	access, refresh string // tokens; "": not logged in
	refreshAt       time.Time
	own             []string // IDs of tweets that it posted and has not deleted
	posts, logIns   int
}

// newSession names the session that a sign-up or a log-in begins.
func (d *device) newSession() string {
	d.logIns++
	return fmt.Sprintf("%p-%d", d, d.logIns)
}

// pause waits up to twice that time, and reports whether to go on.
func (d *device) pause(ctx context.Context, mean time.Duration) bool {
	return traffic.Wait(ctx, time.Duration(d.random.Int64N(int64(2*mean)))) == nil
}

func (d *device) run(ctx context.Context) {
	for d.pause(ctx, 300*time.Millisecond) {
		if !d.authenticated(ctx) {
			continue
		}
		other := d.users[d.random.IntN(len(d.users))]
		switch n := d.random.IntN(100); {
		case n < 20:
			d.post(ctx)
		case n < 25:
			d.deleteOne(ctx)
		case n < 35:
			d.edge(ctx, history.Follow, other)
		case n < 42:
			d.edge(ctx, history.Unfollow, other)
		case n < 60:
			d.readFeed(ctx)
		case n < 75:
			d.readTweets(ctx, other)
		case n < 95:
			d.readEdge(ctx, other)
		default:
			d.readProfile(ctx, other)
		}
	}
}

// authenticated logs in, or refreshes the session from time to time.
func (d *device) authenticated(ctx context.Context) bool {
	switch {
	case d.refresh == "":
		d.logIn(ctx, 0)
	case time.Now().After(d.refreshAt):
		d.renew(ctx)
	}
	return d.access != ""
}

type tokens struct{ AccessToken, RefreshToken string }

func (d *device) take(session string, t tokens) {
	d.session, d.access, d.refresh = session, t.AccessToken, t.RefreshToken
	d.refreshAt = time.Now().Add(10 * time.Second)
}

// password is one of the passwords that clients use. Only its number is recorded.
func password(n int) string { return fmt.Sprintf("correct horse %d", n) }

func (d *device) signUp(ctx context.Context, name string, secret int) {
	op := history.Op{Kind: history.SignUp, User: name, Secret: fmt.Sprint(secret), Session: d.newSession()}
	d.record(ctx, op, func(ctx context.Context, _ *history.Op) error {
		var t tokens
		err := d.api.Call(ctx, http.MethodPost, "/users", "", map[string]string{
			"username": name, "password": password(secret), "passwordConfirmation": password(secret),
			"email": name + "@example.com", "displayName": name,
		}, &t)
		if err == nil {
			d.take(op.Session, t)
		}
		return err
	})
}

func (d *device) logIn(ctx context.Context, secret int) {
	op := history.Op{Kind: history.LogIn, User: d.name, Secret: fmt.Sprint(secret), Session: d.newSession()}
	d.record(ctx, op, func(ctx context.Context, _ *history.Op) error {
		var t tokens
		err := d.api.Call(ctx, http.MethodPost, "/users/authorize", "", map[string]string{"username": d.name, "password": password(secret)}, &t)
		if err == nil {
			d.take(op.Session, t)
		}
		return err
	})
}

// renew exchanges the refresh token. After an error the next attempt has the same one. A session that is refused is lost: the device
// logs in again, and the checker complains.
func (d *device) renew(ctx context.Context) {
	outcome := d.record(ctx, history.Op{Kind: history.Refresh, User: d.name, Session: d.session}, func(ctx context.Context, _ *history.Op) error {
		var t tokens
		err := d.api.Call(ctx, http.MethodPost, "/users/refresh", "", map[string]string{"refreshToken": d.refresh}, &t)
		if err == nil {
			d.take(d.session, t)
		}
		return err
	})
	if outcome == history.Refused {
		d.access, d.refresh = "", ""
	}
}

// post posts a tweet. With a key, it repeats the call until it is told the outcome.
func (d *device) post(ctx context.Context) {
	d.posts++
	op := history.Op{Kind: history.Post, User: d.name}
	if d.random.IntN(2) == 0 {
		op.Key = fmt.Sprintf("%s-%p-%d", d.name, d, d.posts)
	}
	text := fmt.Sprintf("number %d", d.posts)
	for {
		outcome := d.record(ctx, op, func(ctx context.Context, op *history.Op) (err error) {
			op.Tweet, err = d.api.Post(ctx, d.access, text, op.Key)
			if err == nil {
				d.own = append(d.own, op.Tweet)
			}
			return err
		})
		if outcome != history.Unknown || op.Key == "" || !d.pause(ctx, time.Second) {
			return
		}
		d.authenticated(ctx)
	}
}

func (d *device) deleteOne(ctx context.Context) {
	if len(d.own) == 0 {
		return
	}
	i := d.random.IntN(len(d.own))
	id := d.own[i]
	d.own = append(d.own[:i], d.own[i+1:]...)
	for {
		outcome := d.record(ctx, history.Op{Kind: history.Delete, User: d.name, Tweet: id}, func(ctx context.Context, _ *history.Op) error {
			return d.api.Call(ctx, http.MethodDelete, "/tweets/"+id, d.access, nil, nil)
		})
		if outcome != history.Unknown || d.random.IntN(2) == 0 || !d.pause(ctx, time.Second) {
			return
		}
	}
}

// edge follows or unfollows.
func (d *device) edge(ctx context.Context, kind history.Kind, whom string) {
	if whom == d.name {
		return
	}
	d.record(ctx, history.Op{Kind: kind, User: d.name, Target: whom}, func(ctx context.Context, _ *history.Op) error {
		if kind == history.Follow {
			return d.api.Follow(ctx, d.access, whom)
		}
		return d.api.Call(ctx, http.MethodDelete, "/follow/"+whom, d.access, nil, nil)
	})
}

type tweet struct{ ID string }

func ids(page []tweet) (all []string) {
	for _, t := range page {
		all = append(all, t.ID)
	}
	return all
}

func (d *device) readFeed(ctx context.Context) {
	d.record(ctx, history.Op{Kind: history.Feed, User: d.name}, func(ctx context.Context, op *history.Op) error {
		var page []tweet
		err := d.api.Call(ctx, http.MethodGet, "/feeds/me", d.access, nil, &page)
		op.Tweets = ids(page)
		return err
	})
}

func (d *device) readTweets(ctx context.Context, whose string) {
	d.record(ctx, history.Op{Kind: history.Tweets, User: d.name, Target: whose}, func(ctx context.Context, op *history.Op) error {
		var page []tweet
		err := d.api.Call(ctx, http.MethodGet, "/users/"+whose+"/tweets", d.access, nil, &page)
		op.Tweets = ids(page)
		return err
	})
}

func (d *device) readEdge(ctx context.Context, whom string) {
	d.record(ctx, history.Op{Kind: history.Edge, User: d.name, Target: whom}, func(ctx context.Context, op *history.Op) error {
		names, err := d.api.Names(ctx, "/users/"+d.name+"/followings", d.access)
		op.Found = slices.Contains(names, whom)
		return err
	})
}

func (d *device) readProfile(ctx context.Context, name string) (outcome history.Outcome) {
	return d.record(ctx, history.Op{Kind: history.Profile, User: d.name, Target: name}, func(ctx context.Context, op *history.Op) error {
		a, err := d.api.Send(ctx, http.MethodGet, "/users/"+name, traffic.Bearer(d.access), nil)
		if err != nil {
			return err
		}
		op.Found = a.Code == http.StatusOK
		if !op.Found && a.Code != http.StatusNotFound {
			return &traffic.Refused{Call: "GET /users/…", Code: a.Code, RetryAfter: a.Header.Get("Retry-After"), Message: a.Error}
		}
		return nil
	})
}

// competeForNames signs up with names that the other one wants, too.
func (d *device) competeForNames(ctx context.Context, who int) {
	for round := 0; ; round++ {
		name := fmt.Sprintf("name%d", round)
		for range 3 {
			if !d.pause(ctx, time.Second) {
				return
			}
			d.signUp(ctx, name, who)
			d.readProfile(ctx, name)
		}
	}
}

// leaveWhoPosts follows all users with a new name, and lets one after the other post and unfollows them at about the same time, so that
// a delivery that has read the follower writes after the unfollow. The name never follows them again: what a delivery leaves in its feed
// is there at the end of the run.
func (d *device) leaveWhoPosts(ctx context.Context, who int) {
	var authors []*device
	for i, name := range d.users {
		authors = append(authors, &device{clients: d.clients, name: name, random: rand.New(rand.NewPCG(d.seed, uint64(400+100*who+i)))})
	}
	for round := 0; ; round++ {
		d.name, d.access, d.refresh = fmt.Sprintf("leaver%d-%d", who, round), "", ""
		for d.access == "" {
			if !d.pause(ctx, time.Second) {
				return
			}
			d.signUp(ctx, d.name, 0)
		}
		for _, author := range authors {
			d.edge(ctx, history.Follow, author.name)
		}
		for _, author := range authors {
			if !d.pause(ctx, 500*time.Millisecond) {
				return
			}
			if !d.authenticated(ctx) || !author.authenticated(ctx) {
				continue
			}
			var posted sync.WaitGroup
			posted.Go(func() {
				if author.pause(ctx, 500*time.Millisecond) {
					author.post(ctx)
				}
			})
			d.pause(ctx, 500*time.Millisecond)
			d.edge(ctx, history.Unfollow, author.name)
			posted.Wait()
		}
	}
}

// postToMany posts to the followers of the celebrity, the next tweet when the last one is delivered to all of them. Every third one it
// deletes meanwhile.
func (d *device) postToMany(ctx context.Context) {
	for d.pause(ctx, 500*time.Millisecond) {
		if !d.authenticated(ctx) {
			continue
		}
		d.own = nil
		d.post(ctx)
		unwanted := d.random.IntN(3) == 0
		for len(d.own) > 0 && d.pause(ctx, time.Second) && !d.delivered(ctx) {
			if d.authenticated(ctx); unwanted && d.random.IntN(3) == 0 {
				d.deleteOne(ctx)
			}
		}
	}
}

func (d *device) delivered(ctx context.Context) bool {
	var receipt struct {
		State     string
		Delivered int64
	}
	if d.api.Call(ctx, http.MethodGet, "/deliveries/"+d.own[0], d.access, nil, &receipt) != nil {
		return false
	}
	d.progressed(receipt.Delivered)
	return receipt.State != "running"
}
