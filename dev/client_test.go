package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAGeneratedClientWorks makes a client from the document that the API serves, and runs testdata/client on it.
func TestAGeneratedClientWorks(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	s.work()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/client")))
	response, err := http.Get(s.url + "/openapi.yaml")
	require.NoError(t, err)
	defer response.Body.Close()
	document, err := os.Create(filepath.Join(dir, "openapi.yaml"))
	require.NoError(t, err)
	_, err = document.ReadFrom(response.Body)
	require.NoError(t, err)
	require.NoError(t, document.Close())

	run := func(args ...string) {
		command := exec.CommandContext(t.Context(), "go", args...)
		command.Dir, command.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
		out, err := command.CombinedOutput()
		require.NoError(t, err, "go %v: %s", args, out)
	}
	run("tool", "oapi-codegen", "-config", "generate.yaml", "openapi.yaml")
	run("run", ".", s.proxy().URL)
}

// proxy is in front of the API, and does for calls of other programs what [stack.call] does: it holds each answer to the document.
func (s *stack) proxy() *httptest.Server {
	target, err := url.Parse(s.url)
	require.NoError(s.t, err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(response *http.Response) error {
			content, err := io.ReadAll(response.Body)
			response.Body = io.NopCloser(bytes.NewReader(content))
			s.remember(content)
			if r := response.Request; r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				return err // a browser's preflight, which is no operation of the API
			}
			return errors.Join(err, s.check(response.Request, response, content))
		},
	})
	s.t.Cleanup(proxy.Close)
	return proxy
}
