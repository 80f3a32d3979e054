package api

import (
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// TestTheDocumentSuitsGenerators checks what a generator of clients needs to give each value a type of its own. In dev a client is
// generated and run.
func TestTheDocumentSuitsGenerators(t *testing.T) {
	var document map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(OpenAPI), &document))
	sections := map[string]string{}
	for section, components := range document["components"].(map[string]any) {
		for name := range components.(map[string]any) {
			require.Empty(t, sections[name], "%s is in %s, too", name, section)
			sections[name] = section
		}
	}
	var walk func(at string, value any)
	walk = func(at string, value any) {
		switch value := value.(type) {
		case []any:
			for _, item := range value {
				walk(at, item)
			}
		case map[string]any:
			_, enum := value["enum"]
			_, constant := value["const"]
			if enum || constant {
				require.Contains(t, value, "type", at)
			}
			for key, child := range value {
				walk(at+"/"+key, child)
			}
		}
	}
	walk("", document)
}
