package containers

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/nats-io/nats-server/v2/conf"
	"github.com/stretchr/testify/require"
)

func TestTheNATSOfTheClusterTestIsWhatItsValuesSay(t *testing.T) {
	values, err := os.ReadFile(root + "/helm/values/nats.yaml")
	require.NoError(t, err)
	var want struct {
		Config         struct{ Merge struct{ Authorization any } }
		ExtraResources []any `yaml:"extraResources"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(strings.ReplaceAll(string(values), "<< $TWTR_PASSWORD >>", "hidden")), &want))
	manifests, err := os.ReadFile(root + "/dev/cluster/nats.yaml")
	require.NoError(t, err)
	var configuration map[string]any
	var policies []any
	for _, text := range strings.Split(string(manifests), "\n---\n")[1:] {
		var manifest map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(text), &manifest))
		switch manifest["kind"] {
		case "ConfigMap":
			t.Setenv("SERVER_NAME", "nats-0")
			t.Setenv("TWTR_PASSWORD", "hidden")
			configuration, err = conf.Parse(manifest["data"].(map[string]any)["nats.conf"].(string))
			require.NoError(t, err)
		case "NetworkPolicy":
			policies = append(policies, manifest)
		}
	}
	asJSON := func(v any) string {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		return string(text)
	}
	require.JSONEq(t, asJSON(want.Config.Merge.Authorization), asJSON(configuration["authorization"]))
	require.JSONEq(t, asJSON(want.ExtraResources), asJSON(policies))
}
