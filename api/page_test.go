package api

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// loads are the files that a file of the page loads.
var loads = regexp.MustCompile(`(?:src|href)="(page/[^"]*)"|from '\./([^']*)'`)

func TestThePageLoadsItsFilesFromUsAndNothingElse(t *testing.T) {
	a := newAPIWith(t, &strings.Builder{}, Config{Page: &WebPage{}})
	seen := map[string]bool{}
	var load func(path string)
	load = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		w := serve(t, a, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusOK, w.Code, path)
		require.Equal(t, "no-cache", w.Header().Get("Cache-Control"))
		require.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		require.Equal(t, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "+
			"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'", w.Header().Get("Content-Security-Policy"))

		again := httptest.NewRequest(http.MethodGet, path, nil)
		again.Header.Set("If-None-Match", w.Header().Get("ETag"))
		require.Equal(t, http.StatusNotModified, serve(t, a, again).Code, path)

		for _, match := range loads.FindAllStringSubmatch(w.Body.String(), -1) {
			if match[1] != "" {
				load("/" + match[1])
			} else {
				load("/page/" + match[2])
			}
		}
	}
	load("/")
	sources, err := filepath.Glob("page/*")
	require.NoError(t, err)
	require.Len(t, seen, len(sources), "each file is loaded")
	for _, elsewhere := range []string{"/page/", "/page/index.html", "/page/nothing.js", "/page/../page.go"} {
		require.Equal(t, http.StatusNotFound, serve(t, a, httptest.NewRequest(http.MethodGet, elsewhere, nil)).Code, elsewhere)
	}
}

func TestThePageKnowsTheLongestTweetAndWhereWorkflowsAre(t *testing.T) {
	for ui, want := range map[string]string{
		"": `data-max-content="280" data-workflow=""`,
		"https://temporal.example.com/namespaces/a&quot;b": `data-max-content="280" ` +
			`data-workflow="https://temporal.example.com/namespaces/a&amp;quot;b/workflows/post-tweet%2F"`,
	} {
		a := newAPIWith(t, &strings.Builder{}, Config{Page: &WebPage{TemporalUI: ui}})
		require.Contains(t, serve(t, a, httptest.NewRequest(http.MethodGet, "/", nil)).Body.String(), want)
	}
}

func TestWithoutTheSettingThereIsNoPage(t *testing.T) {
	a := newAPI(t, &strings.Builder{})
	for _, path := range []string{"/", "/page/page.js", "/page/client.js"} {
		require.Equal(t, http.StatusNotFound, serve(t, a, httptest.NewRequest(http.MethodGet, path, nil)).Code, path)
	}
}

// A page that is read and changed by hand stays small.
func TestThePageHasFewerThan600Lines(t *testing.T) {
	sources, err := filepath.Glob("page/*")
	require.NoError(t, err)
	lines := 0
	for _, source := range sources {
		text, err := os.ReadFile(source)
		require.NoError(t, err)
		lines += strings.Count(string(text), "\n")
	}
	require.Less(t, lines, 600)
}
