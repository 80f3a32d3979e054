package api

import (
	"embed"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/swaggest/swgui/v5/static"
)

// OpenAPI describes the API, in YAML. The tests check every response against it.
//
//go:embed openapi.yaml
var OpenAPI string

// AsyncAPI describes the events, in YAML. The tests check every event against it.
//
//go:embed asyncapi.yaml
var AsyncAPI string

func getAsyncAPI(c *gin.Context) {
	write(c, http.StatusOK, "application/yaml", []byte(AsyncAPI))
}

func getOpenAPI(c *gin.Context) {
	write(c, http.StatusOK, "application/yaml", []byte(OpenAPI))
}

//go:embed docs
var ours embed.FS

// docs is the page that shows the document and can call the API, with the files that it loads: Swagger UI, gzipped, which every
// browser accepts.
var docs = map[string]docsFile{
	"":                     {"text/html; charset=utf-8", "", embedded(ours, "docs/index.html")},
	"docs.js":              {"text/javascript; charset=utf-8", "", embedded(ours, "docs/docs.js")},
	"swagger-ui-bundle.js": {"text/javascript; charset=utf-8", "gzip", embedded(static.FS, "swagger-ui-bundle.js.gz")},
	"swagger-ui.css":       {"text/css; charset=utf-8", "gzip", embedded(static.FS, "swagger-ui.css.gz")},
	"favicon-32x32.png":    {"image/png", "", embedded(static.FS, "favicon-32x32.png")},
}

type docsFile struct {
	contentType, encoding string
	content               []byte
}

func embedded(files embed.FS, name string) []byte {
	content, err := files.ReadFile(name)
	if err != nil {
		panic(err) // only for a file that was not there at build time
	}
	return content
}

// docsPolicy lets the page load and call nothing but this API. Swagger UI has pictures in its style sheet.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (a *API) getDocs(c *gin.Context) {
	file, ok := docs[c.Param("file")]
	if !ok {
		a.handle(notFound)(c)
		return
	}
	c.Header("Content-Security-Policy", docsPolicy)
	if file.encoding != "" {
		c.Header("Content-Encoding", file.encoding)
	}
	write(c, http.StatusOK, file.contentType, file.content)
}
