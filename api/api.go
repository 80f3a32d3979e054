// Package api is twtr over HTTP: it validates requests, reads from the store, and starts the Temporal workflows that write
// users, tweets and follows.
//
// A handler parses, calls, and returns a body or an error; only respond.go writes responses and knows status codes.
package api

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/seal"
	"github.com/twtr-dev/twtr/internal/telemetry"
)

const (
	// requestTimeout bounds the processing of a request, from when its body has arrived.
	requestTimeout = 5 * time.Second
	// defaultBodyTimeout bounds the wait for a request's body.
	defaultBodyTimeout = 10 * time.Second
	// maxBody is the length of the longest request body, in bytes.
	maxBody = 64 << 10
)

// Config configures an [API]. A field is required unless its comment gives a default.
type Config struct {
	Store    twtr.Store
	Temporal client.Client
	// AuthKeys sign and verify access tokens: the first signs, all verify.
	AuthKeys []Key
	// SealKeys encrypt users' secrets on their way through Temporal, and sign cursors: the first makes, all are accepted. The
	// workers of domain users have the same.
	SealKeys []string
	// RateLimits are all off in their zero value.
	RateLimits RateLimits
	// TrustedProxies are the addresses, or networks in CIDR notation, of the proxies in front; none by default. Only these may
	// tell a client's address, in X-Forwarded-For or X-Real-Ip.
	TrustedProxies []string
	// Announce makes the workflows publish events.
	Announce bool
	// Streams are the live feeds.
	Streams StreamConfig
	// Origins are those of the web pages that may call the API from a browser (CORS), such as https://app.example.com, or "*" for
	// all; none by default.
	Origins []string
	// Page serves a page that is a client of the API at /; nil: none.
	Page *WebPage
	// BodyTimeout bounds the wait for a request's body; 0 is 10 seconds.
	BodyTimeout time.Duration
	// Now is the clock of ids, tokens, sessions and claims; nil is [time.Now].
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics *telemetry.Metrics
	// Tracer makes a span of each request; nil: none.
	Tracer trace.Tracer
}

// API is the HTTP API, an [http.Handler] that serves any number of requests concurrently.
type API struct {
	store    twtr.Store
	temporal client.Client
	tokens   *tokens
	revoked  *revocations
	guard    *guard
	hasher   *hasher
	sealer   *seal.Sealer
	cursors  cursors
	signUps  *rateLimit
	logins   *rateLimit
	tweets   *rateLimit
	follows  *rateLimit
	reads    *rateLimit
	accepted metric.Int64Counter // tweets
	announce bool
	live     *live
	now      func() time.Time
	log      *slog.Logger
	gin      *gin.Engine
	paths    pathMethods

	bodyTimeout time.Duration
}

// New makes an API. Call [API.Start] before the first request. It fails if the configuration is invalid, such as a proxy's address.
func New(c Config) (*API, error) {
	sealer, err := seal.New(c.SealKeys...)
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
	hasher := newHasher(now)
	if err := hasher.observe(c.Metrics.Provider); err != nil {
		return nil, err
	}
	tokens := newTokens(c.AuthKeys, now)
	guard, err := newGuard(c.Store, tokens, now, c.Logger, c.Metrics.Provider)
	if err != nil {
		return nil, err
	}
	revoked := newRevocations(c.Store, now, c.Logger)
	live, err := newLive(c.Streams, c.Store, revoked, now, c.Logger, c.Metrics.Provider)
	if err != nil {
		return nil, err
	}
	a := &API{
		store:    c.Store,
		temporal: c.Temporal,
		tokens:   tokens,
		revoked:  revoked,
		guard:    guard,
		hasher:   hasher,
		sealer:   sealer,
		cursors:  newCursors(c.SealKeys),
		signUps:  newRateLimit("signups", c.RateLimits.SignUps, metrics.rejections),
		logins:   newRateLimit("logins", c.RateLimits.Logins, metrics.rejections),
		tweets:   newRateLimit("tweets", c.RateLimits.Tweets, metrics.rejections),
		follows:  newRateLimit("follows", c.RateLimits.Follows, metrics.rejections),
		accepted: metrics.accepted,
		reads:    newRateLimit("reads", c.RateLimits.Reads, metrics.rejections),
		announce: c.Announce,
		live:     live,
		now:      now,
		log:      c.Logger,

		bodyTimeout: cmp.Or(c.BodyTimeout, defaultBodyTimeout),
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
	if c.Tracer != nil {
		g.Use(traceRequests(c.Tracer))
	}
	g.Use(metrics.record, a.requestID, noSniff, a.accessLog, a.recover)
	if len(c.Origins) > 0 {
		g.Use(crossOrigin(c.Origins))
	}
	g.Use(forwarded, a.checkQuery, a.bound, a.checkMethod)
	register := func(method, path string, handlers ...gin.HandlerFunc) {
		g.Handle(method, path, handlers...)
		if method == http.MethodGet { // RFC 9110, 9.1
			g.HEAD(path, handlers...)
		}
	}
	register(http.MethodGet, health, func(c *gin.Context) { write(c, http.StatusOK, "text/plain; charset=utf-8", []byte("ok")) })
	register(http.MethodGet, "/openapi.yaml", getOpenAPI)
	register(http.MethodGet, "/asyncapi.yaml", getAsyncAPI)
	register(http.MethodGet, "/docs", a.getDocs)
	register(http.MethodGet, "/docs/:file", a.getDocs)
	if c.Page != nil {
		serve, err := a.servePage(*c.Page)
		if err != nil {
			return nil, err
		}
		register(http.MethodGet, "/", serve)
		register(http.MethodGet, "/page/:file", serve)
	}
	for _, r := range a.routes() {
		var handlers []gin.HandlerFunc
		if r.auth {
			handlers = append(handlers, a.authenticate)
		}
		if r.limit != nil {
			handlers = append(handlers, a.throttle(r.limit))
		}
		register(r.method, r.path, append(handlers, a.handle(r.handler))...)
	}
	g.NoRoute(a.handle(notFound))
	g.NoMethod(a.handle(a.wrongMethod))
	a.paths = newPathMethods(g.Routes())
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
	limit        *rateLimit // nil: none; that of a GET is a.reads
	handler      handler
}

// routes are all the calls; each domain has its own in its file.
func (a *API) routes() []route {
	var all []route
	for _, domain := range [][]route{a.userRoutes(), a.sessionRoutes(), a.tweetRoutes(), a.deliveryRoutes(), a.followerRoutes(), a.feedRoutes()} {
		all = append(all, domain...)
	}
	for i := range all {
		if all[i].method == http.MethodGet {
			all[i].limit = a.reads
		}
	}
	return all
}

func notFound(*gin.Context) (any, error) {
	return nil, twtr.Errorf(twtr.NotFound, "there is nothing at this path")
}
