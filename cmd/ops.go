package cmd

import (
	"fmt"
	"net/http"
	"net/http/pprof" // it also registers at http.DefaultServeMux, which no server here uses
	"time"

	"github.com/twtr-dev/twtr/internal/health"
)

// opsServer serves what operators and their machines ask a process, on a port that clients do not reach: probes, metrics and, if
// configured, profiles. A process with workers is ready while it reaches the store and Temporal. One that only serves the API needs
// the store alone: reads and log-ins need nothing else, and an outage of Temporal must not take out every process at once.
func (a *App) opsServer(c OpsConfig, works bool) *http.Server {
	temporal := a.temporal
	if !works {
		temporal = nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := health.Ready(r.Context(), a.store, temporal); err != nil {
			dependency := health.Dependency(err)
			a.log.WarnContext(r.Context(), "dependency unavailable", "dependency", dependency, "error", err)
			http.Error(w, dependency+" is unavailable", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "ready")
	})
	mux.Handle("GET /metrics", a.metrics.Handler())
	if c.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	server := a.httpServer(mux)
	server.WriteTimeout = 2 * time.Minute // a CPU profile takes 30 s by default
	return server
}
