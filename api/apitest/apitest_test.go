package apitest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/api"
	"github.com/twtr-dev/twtr/api/apitest"
)

func TestAnAnswerIsHeldToTheDocument(t *testing.T) {
	contract, err := apitest.New(api.OpenAPI)
	require.NoError(t, err)
	const (
		user        = `{"status":200,"data":{"username":"ann","displayName":"Ann","createdAt":"2026-11-24T02:54:31.120Z","followers":1,"followings":0},"error":""}`
		notFound    = `{"status":404,"data":null,"error":"there is no user ann","code":"not-found"}`
		wrongMethod = `{"status":405,"data":null,"error":"this path does not take PUT","code":"wrong-method"}`
		unavailable = `{"status":503,"data":null,"error":"the store does not answer","code":"unavailable"}`
	)
	for _, c := range []struct {
		call   string
		status int
		header string // beside Content-Type, X-Request-Id and those of a read; a name alone takes one of these away
		body   string
		wrong  string // what the error says; empty if there is none
	}{
		{"GET /users/ann", 200, "", user, ""},
		{"HEAD /users/ann", 200, "", "", ""},
		{"HEAD /users/ann", 404, "", "", ""},
		{"GET /users/ann", 304, "", "", ""},
		{"GET /users/ann", 404, "", notFound, ""},
		{"GET /users/ann", 503, "Retry-After: 1", unavailable, ""},
		{"GET /nowhere", 404, "", notFound, ""},
		{"PUT /users/ann", 405, "Allow: GET, HEAD", wrongMethod, ""},
		{"HEAD /users/ann", 200, "", user, "there is a body"},
		{"GET /users/ann", 304, "", user, "there is a body"},
		{"GET /users/ann", 404, "", strings.Replace(notFound, `,"code":"not-found"`, "", 1), "missing property 'code'"},
		{"GET /users/ann", 200, "ETag", user, `"ETag" missing`},
		{"GET /users/ann", 201, "", user, "there is no such status"},
		{"GET /users/ann", 200, "", notFound, "value must be 200"},
		{"GET /users/ann", 200, "", "x" + user, "failed to decode"},
		{"GET /users/ann", 200, "", strings.Replace(user, `"followers":1,`, "", 1), "missing property 'followers'"},
		{"GET /users/ann", 200, "", strings.Replace(user, `{"u`, `{"email":"","u`, 1), "additional properties 'email' not allowed"},
		{"GET /users/ann", 200, "", strings.Replace(user, `"error"`, `"nextCursor":"","error"`, 1), "additional properties 'nextCursor' not allowed"},
		{"GET /users/ann", 200, "", strings.Replace(user, ".120Z", "Z", 1), "does not match pattern"},
		{"GET /users/ann", 404, "", strings.Replace(notFound, "null", "{}", 1), "got object, want null"},
		{"GET /users/ann", 404, "Retry-After: 1", notFound, "there is no header Retry-After"},
		{"GET /users/ann", 503, "", unavailable, `"Retry-After" missing`},
		{"GET /users/ann", 503, "Retry-After: soon", unavailable, `"Retry-After"`},
		{"GET /users/ann", 404, "X-Request-Id", notFound, `"X-Request-Id" missing`},
		{"GET /users/ann", 404, "Content-Type: text/plain", notFound, `"text/plain"`},
		{"GET /users/ann", 404, "Content-Type", notFound, `Content-Type has unexpected value: ""`},
		{"GET /nowhere", 200, "", user, "there is no such status"},
		{"GET /users/ann/", 404, "", `{}`, "missing properties"},
		{"PUT /users/ann", 404, "", notFound, "there is no such status"},
		{"PUT /users/ann", 405, "", wrongMethod, `"Allow" missing`},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		header := http.Header{"Content-Type": {"application/json; charset=utf-8"}, "X-Request-Id": {"1"}}
		if c.status < 400 {
			header.Set("ETag", `"2c26b46b68ffc68ff99b453c1d304134"`)
			header.Set("Cache-Control", "no-cache")
		}
		if name, value, given := strings.Cut(c.header, ": "); given {
			header.Set(name, value)
		} else {
			header.Del(name)
		}
		err := contract.Check(httptest.NewRequest(method, path, nil), &http.Response{StatusCode: c.status, Header: header}, []byte(c.body))
		if c.wrong == "" {
			require.NoError(t, err, c.call)
			continue
		}
		require.ErrorContains(t, err, c.wrong, "%+v", c)
	}
}

func TestADocumentThatContradictsItselfIsRefused(t *testing.T) {
	for right, wrong := range map[string]string{
		"data: null, error: the tweet is not yours,": "data: {}, error: the tweet is not yours,",
		"operationId: readFeed":                      "operationId: follow",
		"#/components/responses/NotYours":            "#/components/responses/Nobodys",
	} {
		require.Contains(t, api.OpenAPI, right)
		_, err := apitest.New(strings.ReplaceAll(api.OpenAPI, right, wrong))
		require.Error(t, err, wrong)
	}
}
