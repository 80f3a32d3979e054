package twtr_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// In the columns "where" and "test" of a table: a file, and names in it, or texts in quotation marks that it has.
var (
	fileAndNames = regexp.MustCompile("`([^`]+)`((?:,? (?:\\w+|\"[^\"]+\"))+)")
	nameOrText   = regexp.MustCompile(`\w+|"[^"]+"`)
)

func TestWhatTheDocumentsNameExists(t *testing.T) {
	for file, least := range map[string]int{"docs/security.md": 30, "docs/architecture.md": 30} {
		document, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		var columns []string
		for line := range strings.Lines(string(document)) {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			switch {
			case !strings.HasPrefix(line, "|"):
				columns = nil
			case columns == nil:
				columns = cells
			case strings.HasPrefix(line, "|--") || !slices.Contains(columns, " test "):
			case len(cells) != len(columns):
				t.Errorf("%s: %d cells in a table of %d columns: %s", file, len(cells), len(columns), line)
			default:
				rows++
				for i, column := range columns {
					if column == " where " || column == " test " {
						checkNames(t, cells[i])
					}
				}
			}
		}
		if rows < least {
			t.Errorf("%s: only %d rows were found", file, rows)
		}
	}
}

// checkNames fails the test unless the cell names something, and all that it names is there. A test must be a function.
func checkNames(t *testing.T, cell string) {
	named := fileAndNames.FindAllStringSubmatch(cell, -1)
	if len(named) == 0 {
		t.Errorf("no file and name: %s", cell)
	}
	for _, n := range named {
		source, err := os.ReadFile(n[1])
		if err != nil {
			t.Error(err)
		}
		for _, name := range nameOrText.FindAllString(n[2], -1) {
			pattern := `\b` + name + `\b`
			if strings.HasPrefix(name, "Test") {
				pattern = "func " + name + `\(`
			} else if text, ok := strings.CutPrefix(name, `"`); ok {
				pattern = regexp.QuoteMeta(strings.TrimSuffix(text, `"`))
			}
			if !regexp.MustCompile(pattern).Match(source) {
				t.Errorf("%s has no %s", n[1], name)
			}
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s#]*)(#[^)\s]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noLink  = regexp.MustCompile("[^a-z0-9 _-]+") // what GitHub leaves out of a heading's anchor
)

func TestLinksBetweenDocumentsLeadSomewhere(t *testing.T) {
	documents, err := filepath.Glob("docs/*.md")
	if err != nil || len(documents) < 5 {
		t.Fatal(documents, err)
	}
	for _, file := range append(documents, "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "dev/cluster/README.md", "dev/images/README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			target := file
			if l[1] != "" {
				target = filepath.Join(filepath.Dir(file), l[1])
			}
			content, err := os.ReadFile(target)
			if err != nil {
				if info, e := os.Stat(target); e != nil || !info.IsDir() {
					t.Errorf("%s: %v", file, err)
				}
				continue
			}
			if l[2] != "" && !slices.Contains(anchors(string(content)), l[2]) {
				t.Errorf("%s: %s has no heading for %s", file, target, l[2])
			}
		}
	}
}

// anchors returns those that GitHub gives to the headings of a document.
func anchors(document string) (all []string) {
	for _, h := range heading.FindAllStringSubmatch(document, -1) {
		all = append(all, "#"+strings.ReplaceAll(noLink.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return all
}
