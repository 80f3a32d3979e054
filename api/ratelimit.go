package api

import (
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"

	"github.com/twtr-dev/twtr"
)

// RateLimits are how many times per minute one address may sign up or log in, and one user may write; 0 is no limit. Each
// process counts on its own: several behind a load balancer allow that many times as much.
type RateLimits struct {
	SignUps, Logins int // by address
	Tweets, Follows int // by user; deletions and unfollows count, too
}

// rateLimit is one of them, by the generic cell rate algorithm: a burst of a minute's worth, and then evenly.
type rateLimit struct {
	perMinute int
	limiter   *throttled.GCRARateLimiterCtx
}

// rateLimitKeys bounds how many users or addresses are remembered, the most recent ones, which takes some 20 MB.
const rateLimitKeys = 100_000

// newRateLimit is nil for no limit.
func newRateLimit(perMinute int) *rateLimit {
	if perMinute <= 0 {
		return nil
	}
	store, err := memstore.NewCtx(rateLimitKeys)
	if err != nil {
		panic(err) // only for a negative number of keys
	}
	limiter, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{
		MaxRate: throttled.PerMin(perMinute), MaxBurst: perMinute - 1})
	if err != nil {
		panic(err) // only for a negative rate
	}
	return &rateLimit{perMinute, limiter}
}

// throttle refuses requests over the limit: of one user if the request has one, else of one address.
func (a *API) throttle(l *rateLimit) gin.HandlerFunc {
	return func(c *gin.Context) {
		key := username(c)
		if key == "" {
			key = network(c.ClientIP())
		}
		limited, result, err := l.limiter.RateLimitCtx(c.Request.Context(), key, 1)
		switch {
		case err != nil:
			a.respond(c, nil, err)
		case limited:
			seconds := max(1, int(math.Ceil(result.RetryAfter.Seconds())))
			c.Header("Retry-After", strconv.Itoa(seconds))
			a.respond(c, nil, twtr.Errorf(twtr.TooManyRequests, "rate limit exceeded (%d per minute); retry in %s",
				l.perMinute, time.Duration(seconds)*time.Second))
		}
	}
}

// network is the address or, for IPv6, its /64, because nearly every client can choose from a whole one.
func network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Unmap().Is4() {
		return ip
	}
	return netip.PrefixFrom(addr.WithZone(""), 64).Masked().String()
}
