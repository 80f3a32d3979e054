package api

import (
	"bytes"
	"embed"
	"html/template"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

// WebPage configures the page that is a small client of the API.
type WebPage struct {
	// TemporalUI is the address of the namespace in Temporal's Web UI, such as http://localhost:8233/namespaces/default. The page
	// then links each delivery to its workflow. Empty: no links.
	TemporalUI string
}

//go:embed page
var pageSources embed.FS

type pageFile struct {
	contentType string
	content     []byte
}

// pagePolicy lets the page load and call nothing but this server, and lets no script make HTML from text.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// servePage returns the handler of the page and of the files that it loads. Browsers keep them, and ask each time whether they have
// changed.
func (a *API) servePage(p WebPage) (gin.HandlerFunc, error) {
	index, err := p.index()
	if err != nil {
		return nil, err
	}
	files := map[string]pageFile{"": {"text/html; charset=utf-8", index}}
	for name, contentType := range map[string]string{
		"client.js": "text/javascript; charset=utf-8",
		"stream.js": "text/javascript; charset=utf-8",
		"page.js":   "text/javascript; charset=utf-8",
		"page.css":  "text/css; charset=utf-8",
		"icon.svg":  "image/svg+xml",
	} {
		files[name] = pageFile{contentType, embedded(pageSources, "page/"+name)}
	}
	return func(c *gin.Context) {
		file, ok := files[c.Param("file")]
		if !ok {
			a.handle(notFound)(c)
			return
		}
		c.Header("Content-Security-Policy", pagePolicy)
		c.Header("Referrer-Policy", "no-referrer")
		writeTagged(c, "no-cache", file.contentType, file.content)
	}, nil
}

// index is the page itself, with what it has to know.
func (p WebPage) index() ([]byte, error) {
	page, err := template.ParseFS(pageSources, "page/index.html")
	if err != nil {
		return nil, err
	}
	var data struct {
		MaxContent int
		Workflow   string // the address of a delivery's workflow, up to the tweet's id
	}
	data.MaxContent = twtr.MaxContent
	if p.TemporalUI != "" {
		prefix := strings.TrimSuffix(workflows.PostTweetID(uuid.Nil), uuid.Nil.String())
		data.Workflow = p.TemporalUI + "/workflows/" + url.PathEscape(prefix)
	}
	var index bytes.Buffer
	err = page.Execute(&index, data)
	return index.Bytes(), err
}
