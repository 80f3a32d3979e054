package twtr_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// In the last column of a table: a file, and tests in it, or texts in quotation marks that name a check in it.
var (
	fileAndTests = regexp.MustCompile("`([^`]+)`((?:,? (?:Test\\w+|\"[^\"]+\"))+)")
	testName     = regexp.MustCompile(`Test\w+|"[^"]+"`)
)

func TestEveryThreatNamesATestThatExists(t *testing.T) {
	document, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(document)) {
		line = strings.TrimSuffix(strings.TrimSpace(line), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|--") || strings.HasSuffix(line, " test ") {
			continue
		}
		rows++
		named := fileAndTests.FindAllStringSubmatch(line[strings.LastIndex(line, "|"):], -1)
		if len(named) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, n := range named {
			source, err := os.ReadFile(n[1])
			if err != nil {
				t.Error(err)
			}
			for _, name := range testName.FindAllString(n[2], -1) {
				text := "func " + name + "("
				if quoted, ok := strings.CutPrefix(name, `"`); ok {
					text = strings.TrimSuffix(quoted, `"`)
				}
				if !strings.Contains(string(source), text) {
					t.Errorf("%s has no %s", n[1], name)
				}
			}
		}
	}
	if rows < 30 {
		t.Errorf("only %d rows were found", rows)
	}
}
