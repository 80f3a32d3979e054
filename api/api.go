// Package api is twtr over HTTP: it validates requests, reads from the store, and starts the Temporal workflows that write
// users, tweets and follows.
//
// A handler parses, calls, and returns a body or an error; only respond.go writes responses and knows status codes.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/seal"
	"github.com/twtr-dev/twtr/internal/telemetry"
)

const (
	// requestTimeout bounds the processing of a request.
	requestTimeout = 5 * time.Second
	// readyTimeout bounds the wait for the store in a readiness probe.
	readyTimeout = 2 * time.Second
	// maxBody is the length of the longest request body, in bytes.
	maxBody = 64 << 10
)

// Config is what the API is made of. All fields are required, unless they say otherwise.
type Config struct {
	Store    twtr.Store
	Temporal client.Client
	// AuthKeys sign and verify access tokens: the first signs, all verify.
	AuthKeys []Key
	// SealKey encrypts new users' secrets on their way through Temporal; the workers of domain users have the same.
	SealKey string
	// RateLimits are all off in their zero value.
	RateLimits RateLimits
	// TrustedProxies are the addresses, or networks in CIDR notation, of the proxies in front; none by default. Only these may
	// tell a client's address, in X-Forwarded-For or X-Real-Ip.
	TrustedProxies []string
	// Now is the clock of ids, tokens, sessions and claims; nil is [time.Now].
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics *telemetry.Metrics
}

// API serves HTTP requests.
type API struct {
	store    twtr.Store
	temporal client.Client
	tokens   *tokens
	hasher   *hasher
	sealer   *seal.Sealer
	cursors  cursors
	signUps  *rateLimit
	logins   *rateLimit
	tweets   *rateLimit
	follows  *rateLimit
	now      func() time.Time
	log      *slog.Logger
	gin      *gin.Engine
}

// New makes the API.
func New(c Config) (*API, error) {
	sealer, err := seal.New(c.SealKey)
	if err != nil {
		return nil, err
	}
	metrics, err := newRequestMetrics(c.Metrics.Provider)
	if err != nil {
		return nil, err
	}
	now := c.Now
	if now == nil {
		now = time.Now
	}
	a := &API{
		store:    c.Store,
		temporal: c.Temporal,
		tokens:   newTokens(c.AuthKeys, now),
		hasher:   newHasher(),
		sealer:   sealer,
		cursors:  cursors{key: seal.Key(c.SealKey, "cursor")},
		signUps:  newRateLimit(c.RateLimits.SignUps),
		logins:   newRateLimit(c.RateLimits.Logins),
		tweets:   newRateLimit(c.RateLimits.Tweets),
		follows:  newRateLimit(c.RateLimits.Follows),
		now:      now,
		log:      c.Logger,
	}
	gin.SetMode(gin.ReleaseMode)
	g := gin.New()
	// A client must not choose the address it is known by.
	if err := g.SetTrustedProxies(c.TrustedProxies); err != nil {
		return nil, err
	}
	g.HandleMethodNotAllowed = true
	g.RedirectTrailingSlash = false
	g.UseRawPath = true // so that an encoded slash is part of a name, and the name is not found
	g.Use(
		metrics.record, a.requestID, a.accessLog, a.recover, bound,
	)
	g.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok") })
	g.GET("/readyz", a.handle(a.ready))
	g.GET("/metrics", gin.WrapH(c.Metrics.Handler()))
	g.GET("/openapi.yaml", getOpenAPI)
	g.GET("/docs", a.getDocs)
	g.GET("/docs/:file", a.getDocs)
	for _, r := range a.routes() {
		var handlers []gin.HandlerFunc
		if r.auth {
			handlers = append(handlers, a.authenticate)
		}
		if r.limit != nil {
			handlers = append(handlers, a.throttle(r.limit))
		}
		g.Handle(r.method, r.path, append(handlers, a.handle(r.handler))...)
	}
	g.NoRoute(a.handle(notFound))
	g.NoMethod(a.handle(func(c *gin.Context) (any, error) {
		return nil, twtr.Errorf(twtr.WrongMethod, "this path does not take %s", c.Request.Method)
	}))
	a.gin = g
	return a, nil
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.gin.ServeHTTP(w, r) }

// handler serves one request. It returns the data of the response, or a [page] of a list.
type handler func(*gin.Context) (any, error)

type route struct {
	method, path string
	auth         bool       // needs an access token; username(c) is its user
	limit        *rateLimit // nil: none
	handler      handler
}

// routes are all the calls; each domain has its own in its file.
func (a *API) routes() []route {
	var all []route
	for _, domain := range [][]route{a.userRoutes(), a.tweetRoutes(), a.deliveryRoutes(), a.followerRoutes(), a.feedRoutes()} {
		all = append(all, domain...)
	}
	return all
}

func notFound(*gin.Context) (any, error) {
	return nil, twtr.Errorf(twtr.NotFound, "there is nothing at this path")
}

// ready reports whether this process can serve. Only the store is checked: reads and logins need nothing else, so while
// Temporal is unavailable a load balancer must not take out every process at once.
func (a *API) ready(c *gin.Context) (any, error) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyTimeout)
	defer cancel()
	if err := a.store.Ping(ctx); err != nil {
		return nil, &twtr.Error{Code: twtr.Unavailable, Message: "the store does not answer", Err: err}
	}
	return "ready", nil
}
