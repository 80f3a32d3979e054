package api

import (
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/twtr-dev/twtr/api/apitest"
)

var contract = sync.OnceValues(func() (*apitest.Contract, error) { return apitest.New(OpenAPI) })

// serve has the API answer a request, and holds the answer to the document.
func serve(t *testing.T, a *API, r *http.Request) *httptest.ResponseRecorder {
	promised, err := contract()
	require.NoError(t, err)
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	response := w.Result()
	defer response.Body.Close()
	require.NoError(t, promised.Check(r, response, w.Body.Bytes()))
	return w
}

// document is read, and is valid: its examples, too, are what their schemas say.
func document(t *testing.T) *openapi3.T {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData([]byte(OpenAPI))
	require.NoError(t, err)
	require.NoError(t, doc.Validate(loader.Context))
	require.True(t, doc.IsOpenAPI31OrLater())
	return doc
}

// operations of the document, by method and path, with its parameters' names left out: Gin's are others.
func operations(t *testing.T) map[string]*openapi3.Operation {
	all := map[string]*openapi3.Operation{}
	for path, item := range document(t).Paths.Map() {
		for method, operation := range item.Operations() {
			all[method+" "+regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "{}")] = operation
		}
	}
	return all
}

func call(method, path string) string {
	return method + " " + regexp.MustCompile(`:\w+`).ReplaceAllString(path, "{}")
}

func TestTheDocumentHasTheRoutesThatTheAPIHas(t *testing.T) {
	documented := operations(t)
	var registered []string
	for _, r := range newAPIWith(t, &strings.Builder{}, Config{Page: &WebPage{}}).gin.Routes() {
		if r.Method != http.MethodHead { // one for each GET
			registered = append(registered, call(r.Method, r.Path))
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(documented)), registered)
}

func TestTheDocumentSaysWhatNeedsAnAccessTokenAndWhatIsLimited(t *testing.T) {
	documented := operations(t)
	a := newAPI(t, &strings.Builder{})
	limited := newRateLimit("x", 1, noop.Int64Counter{})
	a.signUps, a.logins, a.tweets, a.follows, a.reads = limited, limited, limited, limited, limited
	for _, r := range a.routes() {
		operation := documented[call(r.method, r.path)]
		require.Equal(t, r.auth, operation.Security != nil, operation.OperationID)
		if r.auth {
			require.NotNil(t, operation.Responses.Status(http.StatusUnauthorized), operation.OperationID)
		}
		if r.limit != nil {
			require.NotNil(t, operation.Responses.Status(http.StatusTooManyRequests), operation.OperationID)
		}
	}
}

func TestTheDocumentExplainsEverythingAndGivesExamples(t *testing.T) {
	explained := func(what string, content openapi3.Content) {
		assert.NotEmpty(t, content, what)
		for kind, media := range content {
			if media.Schema != nil { // what has none is a page, a picture or the like
				assert.True(t, media.Example != nil || media.Examples != nil, "%s has no example of %s", what, kind)
			}
		}
	}
	doc := document(t)
	for path, operation := range operations(t) {
		assert.NotEmpty(t, operation.OperationID, path)
		assert.Regexp(t, `^[A-Z][^.]*\.$`, operation.Summary, path)
		assert.Len(t, operation.Tags, 1, path)
		assert.NotNil(t, doc.Tags.Get(operation.Tags[0]), path)
		if operation.RequestBody != nil {
			explained(path+"'s body", operation.RequestBody.Value.Content)
		}
		for status, response := range operation.Responses.Map() {
			if status != "304" {
				explained(path+" "+status, response.Value.Content)
			}
			assert.NotNil(t, response.Value.Headers["X-Request-Id"], path+" "+status)
		}
	}
	for _, name := range []string{"UnknownPath", "WrongMethod"} {
		explained(name, doc.Components.Responses[name].Value.Content)
	}
	for name, header := range doc.Components.Headers { // Validate does not look at these
		require.NoError(t, header.Value.Schema.Value.VisitJSON(header.Value.Example, openapi3.EnableJSONSchema2020()), name)
	}
}

func TestTheDocsPageLoadsWhatItNeedsFromUs(t *testing.T) {
	a := newAPI(t, &strings.Builder{})
	get := func(path string) *httptest.ResponseRecorder {
		return serve(t, a, httptest.NewRequest(http.MethodGet, path, nil))
	}
	require.Equal(t, OpenAPI, get("/openapi.yaml").Body.String())
	require.Equal(t, AsyncAPI, get("/asyncapi.yaml").Body.String())
	page := get("/docs")
	require.Contains(t, page.Header().Get("Content-Security-Policy"), "default-src 'none'")
	loaded := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page.Body.String(), -1)
	require.Len(t, loaded, len(docs)-1)
	for _, link := range loaded {
		file := get("/" + link[1])
		require.Equal(t, http.StatusOK, file.Code, link[1])
		body := io.Reader(file.Body)
		if file.Header().Get("Content-Encoding") == "gzip" {
			unzipped, err := gzip.NewReader(body)
			require.NoError(t, err)
			body = unzipped
		}
		content, err := io.ReadAll(body)
		require.NoError(t, err)
		require.NotEmpty(t, content)
	}
	missing := get("/docs/nothing")
	require.Equal(t, http.StatusNotFound, missing.Code)
	require.JSONEq(t, `{"status":404,"data":null,"error":"there is nothing at this path","code":"not-found"}`, missing.Body.String())
}

func TestWhatTheAPIDoesNotHaveIsRefusedInTheEnvelope(t *testing.T) {
	a := newAPI(t, &strings.Builder{})
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/", 404},
		{http.MethodGet, "/docs/", 404},
		{http.MethodHead, "/healthz", 200},
		{http.MethodHead, "/nowhere", 404},
		{http.MethodPut, "/tweets/ann", 405},
		{http.MethodGet, "/healthz", 200},
		{http.MethodGet, "/metrics", 404},
		{http.MethodGet, "/readyz", 404},
	} {
		require.Equal(t, c.status, serve(t, a, httptest.NewRequest(c.method, c.path, nil)).Code, c.path)
	}
}
