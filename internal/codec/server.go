package codec

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"time"

	"github.com/rs/cors"
	"go.temporal.io/sdk/converter"
)

// maxBody is the size of the largest request, in bytes: several pages of a history, whose payloads have 2 MB at most.
const maxBody = 32 << 20

// Handler serves the codec to the Temporal Web UI and CLI. Web pages of other origins than these are refused. If there is a token,
// requests must have it as their bearer token.
func (c *Codec) Handler(origins []string, token string) http.Handler {
	code := http.MaxBytesHandler(converter.NewPayloadCodecHTTPHandler(c), maxBody)
	known := func(origin string) bool { return slices.Contains(origins, origin) }
	rules := cors.New(cors.Options{
		AllowOriginFunc:     known,
		AllowedMethods:      []string{http.MethodPost},
		AllowedHeaders:      []string{"Authorization", "Content-Type", "X-Namespace"},
		AllowCredentials:    true, // of a proxy in front that knows its users by a cookie
		AllowPrivateNetwork: true, // a Web UI elsewhere may call the codec server of this machine
		MaxAge:              int((10 * time.Minute).Seconds()),
	})
	return rules.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Browsers send an origin with each POST. CORS alone would not refuse a page whose host name resolves to this address.
		if origin := r.Header.Get("Origin"); origin != "" && !known(origin) {
			http.Error(w, "codec.ui_origins does not have the origin of this page", http.StatusForbidden)
			return
		}
		if token != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the bearer token is missing or wrong", http.StatusUnauthorized)
			return
		}
		code.ServeHTTP(w, r)
	}))
}
