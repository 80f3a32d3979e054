package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// browser returns the program of a Chromium.
func browser(t *testing.T) string {
	for _, name := range []string{os.Getenv("TWTR_TEST_BROWSER"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("REQUIRE_BROWSER") != "" {
		t.Fatal("REQUIRE_BROWSER is set, and there is no Chromium: set TWTR_TEST_BROWSER to its path")
	}
	t.Skip("no Chromium: set TWTR_TEST_BROWSER to its path, or run make test")
	return ""
}

// browserFlags make it run without a screen, with a profile of its own.
func browserFlags(t *testing.T) []string {
	return []string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-quic", "--user-data-dir=" + t.TempDir()}
}

// site is a web page of an origin of its own.
type site struct {
	*httptest.Server

	reports chan map[string]called
}

// called is how a call of the page went.
type called struct {
	Status  int
	Body    json.RawMessage
	Headers map[string]string
	Failed  string // the name of the error
}

func newSite(t *testing.T) *site {
	s := &site{reports: make(chan map[string]called, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "testdata/cors.html") })
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		var report map[string]called
		if err := json.NewDecoder(r.Body).Decode(&report); err != nil {
			t.Error(err)
		}
		s.reports <- report
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// open has a browser open the page, and returns what the page reports.
func (s *site) open(t *testing.T, api, token string) map[string]called {
	command := exec.CommandContext(t.Context(), browser(t), append(browserFlags(t), "--remote-debugging-port=0", s.URL+"/#"+url.PathEscape(api+" "+token))...)
	output := &buffer{}
	command.Stdout, command.Stderr, command.WaitDelay = output, output, 10*time.Second
	require.NoError(t, command.Start())
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	defer func() {
		_ = command.Process.Kill()
		<-ended
	}()
	select {
	case report := <-s.reports:
		return report
	case <-ended:
		t.Fatalf("the browser ended: %s", output)
	case <-time.After(time.Minute):
		t.Fatalf("no report: %s", output)
	}
	return nil
}

func TestPagesOfListedOriginsAloneCallTheAPIFromABrowser(t *testing.T) {
	t.Parallel()
	browser(t)
	listed, other := newSite(t), newSite(t)
	s := newStack(t, "sqlite", "--http-cors-origins", "https://app.example.com,"+listed.URL, "--ratelimit-reads", "600")
	s.work()
	ann := s.signUp("ann")
	s.signUp("bob")
	s.tweet(ann, "before")
	proxy := s.proxy()

	report := listed.open(t, proxy.URL, ann)
	require.Equal(t, 200, report["post"].Status, report)
	require.Contains(t, string(report["post"].Body), `"content":"from a page"`)
	list := report["list"]
	require.Equal(t, 200, list.Status, report)
	require.Contains(t, string(list.Body), `"content":"from a page"`)
	require.Regexp(t, `^</users/ann/tweets\?.*>; rel="next"$`, list.Headers["link"])
	require.NotEmpty(t, list.Headers["etag"])
	require.NotEmpty(t, list.Headers["x-request-id"])
	require.Regexp(t, `^"reads";r=\d+;t=\d+$`, list.Headers["ratelimit"])
	require.Equal(t, `"reads";q=600;w=60`, list.Headers["ratelimit-policy"])
	require.Equal(t, 304, report["again"].Status, report)
	require.Equal(t, 401, report["refused"].Status, report)
	require.Contains(t, report["refused"].Headers["www-authenticate"], "invalid_token")
	require.Equal(t, 200, report["unfollow"].Status, report)

	require.Contains(t, s.logs.String(), `"method":"OPTIONS"`, "the browser asked first")

	for name, call := range other.open(t, proxy.URL, ann) {
		require.Equal(t, called{Failed: "TypeError"}, call, name)
	}
	var tweets []tweet
	s.ok("GET", "/users/ann/tweets", "", nil, &tweets)
	require.Len(t, tweets, 2, "the other page's tweet is not posted")
}
