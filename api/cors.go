package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/rs/cors"
)

// preflightLife is how long a browser may remember the answer to a preflight request, in seconds; Chrome's own limit is the same.
const preflightLife = 2 * 60 * 60

// crossOrigin lets web pages of these origins call the API, "*" all. It answers browsers' preflight requests, which carry no token
// and count against no rate limit. Tokens travel in a header, never in a cookie, so no request needs credentials.
func crossOrigin(origins []string) gin.HandlerFunc {
	rules := cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "X-Request-Id"},
		ExposedHeaders: []string{"ETag", "Idempotent-Replayed", "Link", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-Id"},
		MaxAge:         preflightLife,
	})
	return func(c *gin.Context) {
		rules.HandlerFunc(c.Writer, c.Request)
		if c.Request.Method == http.MethodOptions && c.GetHeader("Access-Control-Request-Method") != "" {
			c.Writer.WriteHeaderNow()
			c.Abort()
		}
	}
}
