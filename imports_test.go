package twtr_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/twtr-dev/twtr"

// mayImport lists what each package may import in addition to the standard library. Packages are patterns of the go command:
// "." is the domain, "./x" a package of this module, "/..." at the end includes all below it, and "..." alone is everything. The
// nested module dev may import everything and is not checked.
var mayImport = []struct {
	pkg     string
	imports []string
}{
	{".", []string{
		"github.com/google/uuid", "golang.org/x/text/unicode/norm",
	}},
	{"./activities", []string{
		".",
		"go.temporal.io/sdk/activity", "go.temporal.io/sdk/temporal",
		"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/metric",
		"github.com/google/uuid", "golang.org/x/sync/...", "golang.org/x/time/rate",
	}},
	{"./workflows", []string{
		".", "./activities",
		"go.temporal.io/api/...", "go.temporal.io/sdk/...",
		"github.com/dustin/go-humanize", "github.com/google/uuid",
	}},
	{"./workers", []string{
		".", "./activities", "./workflows", "./internal/...",
		"go.temporal.io/api/...", "go.temporal.io/sdk/...", "github.com/google/uuid", "golang.org/x/sync/errgroup", "golang.org/x/time/rate",
	}},
	{"./api", []string{
		".", "./workflows", "./internal/...",
		"github.com/gin-gonic/gin/...", "github.com/go-json-experiment/json/...", "github.com/golang-jwt/jwt/v5",
		"go.temporal.io/api/...", "go.temporal.io/sdk/client", "go.temporal.io/sdk/converter",
		"go.temporal.io/sdk/workflow", // for the type of a workflow, in a typed start
		"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes", "go.opentelemetry.io/otel/metric", "go.opentelemetry.io/otel/trace",
		"github.com/google/uuid", "github.com/hashicorp/golang-lru", "github.com/throttled/throttled/v2/...", "github.com/trustelem/zxcvbn/frequency",
		"golang.org/x/crypto/argon2", "golang.org/x/sync/errgroup",
		"github.com/rs/cors", "github.com/swaggest/swgui/v5/static",
	}},
	{"./api/apitest", []string{
		"github.com/getkin/kin-openapi/...", "github.com/goccy/go-yaml", "github.com/santhosh-tekuri/jsonschema/v6",
	}},
	{"./store/cassandra", []string{
		".", "./migrations",
		"github.com/gocql/gocql/...", "github.com/golang-migrate/migrate/v4/...",
		"github.com/google/uuid", "golang.org/x/sync/...",
	}},
	{"./store/sqlite", []string{
		".", "./migrations",
		"modernc.org/sqlite/...", "github.com/golang-migrate/migrate/v4/...",
		"github.com/google/uuid",
	}},
	{"./store/sqlite/sqlitetest", []string{
		"./store/sqlite",
		"github.com/stretchr/testify/...",
	}},
	{"./store/storetest", []string{
		".",
		"github.com/google/uuid", "github.com/stretchr/testify/...",
	}},
	{"./migrations", []string{
		"github.com/golang-migrate/migrate/v4/...",
	}},
	{"./internal/...", []string{"..."}},
	{"./cmd/...", []string{"..."}},
}

// onlyImportedBy overrides mayImport.
var onlyImportedBy = []struct {
	imports string
	by      []string
}{
	{"github.com/gocql/gocql/...", []string{"./store/cassandra"}},
	{"github.com/gin-gonic/gin/...", []string{"./api"}},
	{"github.com/getkin/kin-openapi/...", []string{"./api/apitest"}},
	{"./store/...", []string{"./cmd/...", "./store/sqlite/sqlitetest"}},
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	for pkg, imports := range packages(t) {
		may, listed := []string(nil), false
		for _, rule := range mayImport {
			if matches(rule.pkg, pkg) {
				may, listed = rule.imports, true
			}
		}
		if !listed {
			t.Errorf("%s is not in the table mayImport: add what it may import", pkg)
			continue
		}
		for _, imp := range imports {
			if !matchesAny(may, imp) {
				t.Errorf("%s imports %s; in addition to the standard library it may import only %s",
					pkg, imp, strings.Join(may, ", "))
			}
			for _, rule := range onlyImportedBy {
				if matches(rule.imports, imp) && !matchesAny(rule.by, pkg) {
					t.Errorf("%s imports %s; only %s may import %s",
						pkg, imp, strings.Join(rule.by, ", "), rule.imports)
				}
			}
		}
	}
}

// packages returns the imports of each package of this module, written as in the tables, except those of its tests and those
// from the standard library. It leaves out packages that have only tests.
func packages(t *testing.T) map[string][]string {
	openAll(t)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-f", `{{if .GoFiles}}{{.ImportPath}} {{join .Imports " "}}{{end}}`, "./...")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	found := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := relative(fields[0])
		found[pkg] = []string{}
		for _, imp := range fields[1:] {
			if first, _, _ := strings.Cut(imp, "/"); strings.Contains(first, ".") { // no dot: the standard library
				found[pkg] = append(found[pkg], relative(imp))
			}
		}
	}
	if _, ok := found["."]; !ok {
		t.Fatalf("go list did not find package %s:\n%s", module, out)
	}
	return found
}

// openAll opens the module's directories, so that go test notices a change in one of them: it does not know what the go command
// reads, and would return an old result from its cache.
func openAll(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if path != "." && d.IsDir() && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// relative returns a package of this module as "." or "./x", and any other unchanged.
func relative(pkg string) string {
	if pkg == module {
		return "."
	}
	if below, ok := strings.CutPrefix(pkg, module+"/"); ok {
		return "./" + below
	}
	return pkg
}

func matches(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == tree || strings.HasPrefix(pkg, tree+"/")
	}
	return pkg == pattern
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, pkg) })
}
