package main

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/api"
)

// operation is one of the document, with a path that has the examples of its parameters.
type operation struct {
	*openapi3.Operation

	method, path string
}

// hostile makes requests that no client should make.
type hostile struct {
	*stack

	token string
	all   []operation
}

func newHostile(t *testing.T) *hostile {
	s := newStack(t, "sqlite", "--http-page", "true")
	s.work()
	document, err := openapi3.NewLoader().LoadFromData([]byte(api.OpenAPI))
	require.NoError(t, err)
	h := &hostile{stack: s, token: s.signUp("ann")}
	for path, item := range document.Paths.Map() {
		for method, o := range item.Operations() {
			filled := regexp.MustCompile(`\{\w+\}`).ReplaceAllStringFunc(path, func(name string) string {
				return o.Parameters.GetByInAndName("path", strings.Trim(name, "{}")).Example.(string)
			})
			h.all = append(h.all, operation{o, method, filled})
		}
	}
	require.Greater(t, len(h.all), 20)
	return h
}

// send holds the answer to the document, and returns its status and headers.
func (h *hostile) send(method, path, body string, headers ...string) (status int, header http.Header) {
	h.t.Helper()
	request, err := http.NewRequest(method, h.url, strings.NewReader(body))
	require.NoError(h.t, err)
	request.URL.Path, request.URL.RawQuery, _ = strings.Cut(path, "?")
	request.Header.Set("Authorization", "Bearer "+h.token)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(h.t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(h.t, err)
	require.NoError(h.t, h.check(request, response, content), "%s %s %q %v: %s", method, path, body, headers, content)
	return response.StatusCode, response.Header
}

func TestAnotherMethodIsToldWhichThereAre(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	known := map[string][]string{}
	for _, o := range h.all {
		known[o.path] = append(known[o.path], o.method)
		if o.method == http.MethodGet {
			known[o.path] = append(known[o.path], http.MethodHead)
		}
	}
	for path, has := range known {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW"} {
			if slices.Contains(has, method) {
				continue
			}
			status, header := h.send(method, path, "{}")
			require.Equal(t, http.StatusMethodNotAllowed, status, "%s %s", method, path)
			require.ElementsMatch(t, has, strings.Split(header.Get("Allow"), ", "), "%s %s", method, path)
		}
	}
}

func TestABodyThatIsNotWhatItMustBeIsRefused(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	for _, o := range h.all {
		if o.RequestBody == nil {
			continue
		}
		want := func(want int, body string, headers ...string) {
			t.Helper()
			status, header := h.send(o.method, o.path, body, headers...)
			require.Equal(t, want, status, "%s %s %q %v", o.method, o.path, body, headers)
			if want == http.StatusUnsupportedMediaType && strings.HasPrefix(headers[0], "Content-Encoding") {
				require.Equal(t, "identity", header.Get("Accept-Encoding"))
			}
		}
		plain, _ := h.send(o.method, o.path, "{}", "Content-Type: application/json")
		require.Contains(t, []int{http.StatusUnprocessableEntity, http.StatusUnauthorized}, plain)
		for _, contentType := range []string{"", "text/plain", "application/xml", "application/x-www-form-urlencoded", "image/png", ";;", "a",
			"multipart/form-data; boundary=x", "application/json; charset=utf-8", "application/json; charset=\"UTF-8\"", "text/plain; format=flowed"} {
			want(plain, "{}", "Content-Type: "+contentType)
		}
		want(plain, "\ufeff{}")
		for _, charset := range []string{"iso-8859-1", "utf-16", "UTF-16LE", "utf-7", "\"windows-1252\"", "x"} {
			want(http.StatusUnsupportedMediaType, "{}", "Content-Type: application/json; charset="+charset)
		}
		for _, encoding := range []string{"gzip", "br", "deflate", "zstd", "gzip, identity", "x"} {
			want(http.StatusUnsupportedMediaType, "{}", "Content-Encoding: "+encoding)
		}
		for _, body := range []string{"", " ", "x", "[]", "null", "1", `""`, "{", "{}{}", "{}x", `{"a":1,"a":2}`, "{\"username\":\"\xff\"}", "\xff\xfe{\x00}\x00",
			`{"username":"\ud800"}`, "{\"\xc3\x28\":1}", `{"username":`, strings.Repeat("[", 30000), strings.Repeat(`{"a":`, 10000)} {
			want(http.StatusBadRequest, body)
		}
		for name := range o.RequestBody.Value.Content["application/json"].Schema.Value.Properties {
			for _, value := range []string{"1", "true", "[]", "{}", "1e999"} {
				want(http.StatusBadRequest, `{"`+name+`":`+value+`}`)
			}
		}
		want(http.StatusRequestEntityTooLarge, `{"a":"`+strings.Repeat("a", 1<<16)+`"}`)
	}
}

func TestAQueryOrAPathThatIsNotWhatItMustBeIsRefused(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	for _, o := range h.all {
		for _, query := range []string{"%", "%zz", "a=%f", "limit=1;cursor=x", "a=1&b=%2"} {
			status, _ := h.send(o.method, o.path+"?"+query, "{}")
			require.Equal(t, http.StatusBadRequest, status, "%s %s?%s", o.method, o.path, query)
		}
		for name, values := range map[string][]string{
			"limit":  {"", "0", "-1", "101", "1.5", "1e2", "%EF%BC%91", "%00", "%FF", "999999999999999999999"},
			"cursor": {"", "x", "%00", "%FF", strings.Repeat("A", 32), strings.Repeat("A", 5000)},
			"after":  {"", "x", "%00", "%FF", "01a20b7a-6605-45c2-93a0-55606f63d101"},
		} {
			for _, value := range values {
				if o.Parameters.GetByInAndName("query", name) == nil {
					continue
				}
				status, _ := h.send(o.method, o.path+"?"+name+"="+value, "{}")
				// To readTweetOrList with an id they are nothing.
				if o.OperationID != "readTweetOrList" {
					require.Equal(t, http.StatusUnprocessableEntity, status, "%s %s %s=%q", o.method, o.path, name, value)
				}
			}
		}
		if o.OperationID == "deleteMe" {
			continue
		}
		for _, header := range []string{"If-None-Match: *", `If-None-Match: W/"x", "y`, "If-None-Match: \xff", "Range: bytes=0-1", "Accept: image/png",
			"Accept-Encoding: br;q=x", "X-Request-Id: \xff", "X-Forwarded-For: x", "Expect: 100-continue", "X-HTTP-Method-Override: DELETE"} {
			status, _ := h.send(o.method, o.path, "{}", header)
			require.Less(t, status, 500, "%s %s %s", o.method, o.path, header)
		}
	}
	for _, path := range []string{"/users/", "/users//tweets", "/users/\xff", "/users/a\x00", "/users/a/b", "/users/../metrics", "/users/" + strings.Repeat("a", 5000),
		"/tweets/" + strings.Repeat("0", 36), "/tweets/ann/", "/TWEETS/ann", "//", "/docs/..", "/docs/../api.go", "/docs/%2e%2e", "/deliveries/x", "/follow/\u202e", "/users/me/"} {
		for _, method := range []string{"GET", "HEAD", "DELETE"} {
			status, _ := h.send(method, path, "")
			require.Contains(t, []int{400, 404, 405, 422}, status, "%s %q", method, path)
		}
	}
}

func TestATokenThatIsNotOneIsRefused(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	secured := 0
	for _, o := range h.all {
		if o.Security == nil {
			continue
		}
		secured++
		for _, value := range []string{"", "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Basic YTpi", h.token, "Bearer " + h.token + "x", "Bearer \xff",
			"Bearer " + h.token + " x", "Bearer " + strings.Repeat("x", 10000)} {
			status, _ := h.send(o.method, o.path, "{}", "Authorization: "+value)
			require.Equal(t, http.StatusUnauthorized, status, "%s %s %.100q", o.method, o.path, value)
		}
	}
	require.Greater(t, secured, 8)
}
