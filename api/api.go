// Package api is twtr over HTTP: it checks what comes in, reads from the store, and has all that changes data done by
// Temporal workflows, whose answer it waits for.
//
// A handler parses, calls, and returns a body or an error; only respond.go writes responses and knows status codes.
package api

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/contrib/instrumentation/github.com/gin-gonic/gin/otelgin"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/health"
	"github.com/twtr-dev/twtr/internal/seal"
	"github.com/twtr-dev/twtr/internal/telemetry"
)

const (
	// requestTimeout is within which every request is answered.
	requestTimeout = 5 * time.Second
	// maxBody is the length of the longest request body, in bytes.
	maxBody = 64 << 10
)

// Config is what the API is made of; all of it is needed.
type Config struct {
	Store    twtr.Store
	Temporal client.Client
	// AuthKeys sign and verify access tokens: the first signs, all verify.
	AuthKeys []Key
	// SealKey is the secret that keeps new users' secrets out of Temporal; the workers of domain users have the same.
	SealKey string
	// RateLimits are all off in their zero value.
	RateLimits RateLimits
	// TrustedProxies are the addresses, or networks in CIDR notation, of the proxies in front: what these say in
	// X-Forwarded-For or X-Real-Ip is whom a request is from. Nobody else is believed.
	TrustedProxies []string
	Logger         *slog.Logger
	Metrics        *telemetry.Metrics
}

// API answers HTTP requests.
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
	log      *slog.Logger
	gin      *gin.Engine
}

// New makes the API.
func New(c Config) (*API, error) {
	sealer, err := seal.New(c.SealKey)
	if err != nil {
		return nil, err
	}
	a := &API{
		store:    c.Store,
		temporal: c.Temporal,
		tokens:   newTokens(c.AuthKeys, time.Now),
		hasher:   newHasher(),
		sealer:   sealer,
		cursors:  cursors{key: seal.Key(c.SealKey, "cursor")},
		signUps:  newRateLimit(c.RateLimits.SignUps),
		logins:   newRateLimit(c.RateLimits.Logins),
		tweets:   newRateLimit(c.RateLimits.Tweets),
		follows:  newRateLimit(c.RateLimits.Follows),
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
		otelgin.Middleware("twtr", otelgin.WithMeterProvider(c.Metrics.Provider)),
		a.requestID, a.accessLog, a.recover, limit,
	)
	g.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok") })
	g.GET("/readyz", a.answer(a.ready))
	g.GET("/metrics", gin.WrapH(c.Metrics.Handler()))
	g.GET("/openapi.yaml", readOpenAPI)
	g.GET("/docs", a.readDocs)
	g.GET("/docs/:file", a.readDocs)
	for _, r := range a.routes() {
		var handlers []gin.HandlerFunc
		if r.auth {
			handlers = append(handlers, a.authenticate)
		}
		if r.limit != nil {
			handlers = append(handlers, a.throttle(r.limit))
		}
		g.Handle(r.method, r.path, append(handlers, a.answer(r.handle))...)
	}
	g.NoRoute(a.answer(nothing))
	g.NoMethod(a.answer(func(c *gin.Context) (any, error) {
		return nil, twtr.Errorf(twtr.WrongMethod, "this path does not take %s", c.Request.Method)
	}))
	a.gin = g
	return a, nil
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.gin.ServeHTTP(w, r) }

// handler does one call. What it returns is the data of the answer, or a [page] of a list.
type handler func(*gin.Context) (any, error)

type route struct {
	method, path string
	auth         bool       // needs an access token; then username(c) is who it is
	limit        *rateLimit // nil: none
	handle       handler
}

// routes are all the calls; each domain has its own in its file.
func (a *API) routes() []route {
	var all []route
	for _, domain := range [][]route{a.userRoutes(), a.tweetRoutes(), a.deliveryRoutes(), a.followerRoutes(), a.feedRoutes()} {
		all = append(all, domain...)
	}
	return all
}

// nothing is at a path that we don't have.
func nothing(*gin.Context) (any, error) {
	return nil, twtr.Errorf(twtr.NotFound, "there is nothing at this path")
}

// ready tells whether the dependencies answer.
func (a *API) ready(c *gin.Context) (any, error) {
	if err := health.Ready(c.Request.Context(), a.store, a.temporal); err != nil {
		return nil, err
	}
	return "ready", nil
}
