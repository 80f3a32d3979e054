package api

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/twtr-dev/twtr"
)

// pathMethods are the methods that each path has. Gin's own Allow header also has those of paths that are only similar.
type pathMethods struct {
	patterns []string // with ":" for a parameter; those with fewer parameters first: /users/me comes before /users/:
	methods  map[string][]string
}

func newPathMethods(routes gin.RoutesInfo) pathMethods {
	p := pathMethods{methods: map[string][]string{}}
	for _, route := range routes {
		pattern := parameter.ReplaceAllString(route.Path, ":")
		if p.methods[pattern] == nil {
			p.patterns = append(p.patterns, pattern)
		}
		p.methods[pattern] = append(p.methods[pattern], route.Method)
	}
	slices.SortStableFunc(p.patterns, func(a, b string) int { return strings.Count(a, ":") - strings.Count(b, ":") })
	return p
}

var parameter = regexp.MustCompile(`:\w+`)

// allow is the value of the Allow header; "" if there is no such path.
func (p pathMethods) allow(path string) string {
	segments := strings.Split(path, "/")
	for _, pattern := range p.patterns {
		fits := slices.EqualFunc(strings.Split(pattern, "/"), segments, func(part, segment string) bool {
			return part == segment || part == ":" && segment != ""
		})
		if fits {
			return strings.Join(p.methods[pattern], ", ")
		}
	}
	return ""
}

// wrongMethod handles a method that the path does not have.
func (a *API) wrongMethod(c *gin.Context) (any, error) {
	allow := a.paths.allow(cmp.Or(c.Request.URL.RawPath, c.Request.URL.Path))
	if c.Header("Allow", allow); allow == "" { // removes it
		return notFound(c)
	}
	return nil, twtr.Errorf(twtr.WrongMethod, "this path does not take %s", c.Request.Method)
}

// checkMethod finds a wrong method that Gin takes for one of a path with a parameter: GET /users/logout is not
// GET /users/:username.
func (a *API) checkMethod(c *gin.Context) {
	path := c.Request.URL.Path
	if c.FullPath() != "" && c.FullPath() != path && a.paths.methods[path] != nil && !strings.Contains(path, ":") {
		_, err := a.wrongMethod(c)
		a.respond(c, nil, err)
	}
}
