// Package apitest checks requests and responses against the OpenAPI document.
package apitest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Contract is what an OpenAPI document promises.
type Contract struct {
	doc    *openapi3.T
	router routers.Router
}

// New makes a contract of a document in YAML, which must be valid.
func New(document string) (*Contract, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData([]byte(document))
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(loader.Context); err != nil {
		return nil, err
	}
	router, err := gorillamux.NewRouter(doc)
	return &Contract{doc, router}, err
}

// Check returns an error if the document does not say that the request may be answered so: with this status, exactly these
// headers, and a body of this type and shape. A HEAD must be answered as the GET, without a body. Whether the request is a good
// one is not looked at.
func (c *Contract) Check(request *http.Request, response *http.Response, body []byte) error {
	if err := c.check(request, response, body); err != nil {
		return fmt.Errorf("%s %.200s is answered %d, against the OpenAPI document: %w", request.Method, request.URL.Path, response.StatusCode, err)
	}
	return nil
}

func (c *Contract) check(request *http.Request, response *http.Response, body []byte) error {
	route, err := c.route(request)
	if err != nil {
		return err
	}
	promised := route.Operation.Responses.Status(response.StatusCode)
	if promised == nil {
		return errors.New("there is no such status")
	}
	for name := range response.Header {
		known := func(promised string) bool { return http.CanonicalHeaderKey(promised) == name }
		if !slices.Contains(unsaid, name) && !slices.ContainsFunc(slices.Collect(maps.Keys(promised.Value.Headers)), known) {
			return fmt.Errorf("there is no header %s", name)
		}
	}
	empty := request.Method == http.MethodHead || response.StatusCode == http.StatusNotModified
	if empty && len(body) > 0 {
		return errors.New("there is a body")
	}
	return openapi3filter.ValidateResponse(request.Context(), &openapi3filter.ResponseValidationInput{
		Options:                &openapi3filter.Options{ExcludeResponseBody: empty},
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, Route: route},
		Status:                 response.StatusCode,
		Header:                 response.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
	})
}

// route is the operation of the document that the request calls. For a path or a method that the document doesn't have it
// is one that is only ever answered so.
func (c *Contract) route(request *http.Request) (*routers.Route, error) {
	if request.Method == http.MethodHead {
		request = request.Clone(request.Context())
		request.Method = http.MethodGet
	}
	route, _, err := c.router.FindRoute(request)
	switch {
	case errors.Is(err, routers.ErrPathNotFound):
		return c.refusal(http.StatusNotFound, "UnknownPath"), nil
	case errors.Is(err, routers.ErrMethodNotAllowed):
		return c.refusal(http.StatusMethodNotAllowed, "WrongMethod"), nil
	}
	return route, err
}

func (c *Contract) refusal(status int, component string) *routers.Route {
	responses := openapi3.NewResponses(
		openapi3.WithStatus(status, c.doc.Components.Responses[component]),
		openapi3.WithStatus(http.StatusBadRequest, c.doc.Components.Responses["BadQuery"]),
	)
	return &routers.Route{Spec: c.doc, Operation: &openapi3.Operation{Responses: responses}}
}

// unsaid are the headers that go without saying: those of the body, of net/http, of CORS, and what all responses have.
var unsaid = []string{"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Vary", "X-Content-Type-Options",
	"Access-Control-Allow-Origin", "Access-Control-Expose-Headers"}
