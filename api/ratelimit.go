package api

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/twtr-dev/twtr"
)

// RateLimits are how many times per minute one address may sign up, log in or read, and one user may write or read; 0 is no limit.
// Each process counts on its own: several behind a load balancer allow that many times as much. An address is an IPv4 address or a
// /64 of IPv6; a /48 of IPv6 may do eight times as much.
type RateLimits struct {
	SignUps, Logins int // by address
	Tweets, Follows int // by user; deletions and unfollows count, too
	Reads           int // by user if the call needs an access token, else by address
}

// rateLimit is one of them, by the generic cell rate algorithm: a burst of a minute's worth, and then evenly.
type rateLimit struct {
	name      string // of the policy, as clients see it
	perMinute int
	each      *throttled.GCRARateLimiterCtx // by user or address
	sites     *throttled.GCRARateLimiterCtx // by /48 of IPv6, of which nearly every site has one

	rejections metric.Int64Counter
	label      metric.MeasurementOption
}

const (
	// rateLimitKeys bounds how many users or addresses are remembered, the most recent ones, which takes some 20 MB.
	rateLimitKeys = 100_000
	// addressesPerSite is how many addresses' limits a site has.
	addressesPerSite = 8
	// maxPerMinute is the highest limit; the limiter counts in nanoseconds between requests.
	maxPerMinute = 1_000_000
)

// newRateLimit is nil for no limit.
func newRateLimit(name string, perMinute int, rejections metric.Int64Counter) *rateLimit {
	if perMinute <= 0 {
		return nil
	}
	perMinute = min(perMinute, maxPerMinute)
	label := metric.WithAttributes(attribute.String("limit", name))
	rejections.Add(context.Background(), 0, label)
	return &rateLimit{name, perMinute, newLimiter(perMinute), newLimiter(addressesPerSite * perMinute), rejections, label}
}

func newLimiter(perMinute int) *throttled.GCRARateLimiterCtx {
	store, err := memstore.NewCtx(rateLimitKeys)
	if err != nil {
		panic(err) // only for a negative number of keys
	}
	limiter, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{
		MaxRate: throttled.PerMin(perMinute), MaxBurst: perMinute - 1})
	if err != nil {
		panic(err) // only for a rate that is not positive
	}
	return limiter
}

// take counts a request of the user or, without one, of the address, and reports whether it is over the limit. The result is that
// of the limit that leaves the least.
func (l *rateLimit) take(ctx context.Context, user, ip string) (limited bool, r throttled.RateLimitResult, err error) {
	if user != "" {
		return l.each.RateLimitCtx(ctx, user, 1)
	}
	site := site(ip)
	if site != "" { // an exhausted site must not fill the memory of addresses
		if _, r, err = l.sites.RateLimitCtx(ctx, site, 0); err != nil || r.Remaining < 1 {
			return err == nil, r, err
		}
	}
	limited, r, err = l.each.RateLimitCtx(ctx, network(ip), 1)
	if err != nil || limited || site == "" {
		return limited, r, err
	}
	limited, all, err := l.sites.RateLimitCtx(ctx, site, 1)
	if limited || all.Remaining < r.Remaining {
		r = all
	}
	return limited, r, err
}

// throttle refuses requests over the limit: of one user if the request has one, else of one address.
func (a *API) throttle(l *rateLimit) gin.HandlerFunc {
	policy := fmt.Sprintf(`"%s";q=%d;w=60`, l.name, l.perMinute)
	return func(c *gin.Context) {
		limited, result, err := l.take(c.Request.Context(), username(c), c.ClientIP())
		if err != nil {
			a.respond(c, nil, err)
			return
		}
		c.Header("RateLimit-Policy", policy)
		c.Header("RateLimit", fmt.Sprintf(`"%s";r=%d;t=%d`, l.name, result.Remaining, wholeSeconds(result.ResetAfter)))
		if limited {
			l.rejections.Add(c.Request.Context(), 1, l.label)
			message := fmt.Sprintf("rate limit exceeded (%d per minute); retry in %s",
				l.perMinute, time.Duration(wholeSeconds(result.RetryAfter))*time.Second)
			a.respond(c, nil, &twtr.Error{Code: twtr.TooManyRequests, Message: message, Err: retryAfter(result.RetryAfter)})
		}
	}
}

// wholeSeconds rounds up, to at least 1.
func wholeSeconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

// network is the address or, for IPv6, its /64, because nearly every client can choose from a whole one.
func network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	if addr = addr.Unmap(); addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr.WithZone(""), 64).Masked().String()
}

// site is the /48 of an IPv6 address, which is what one customer of a provider can have; "" for any other address.
func site(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Unmap().Is4() {
		return ""
	}
	return netip.PrefixFrom(addr.WithZone(""), 48).Masked().String()
}
