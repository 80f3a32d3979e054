package helm_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachAlertFiresWhenItShouldAndOnlyThen(t *testing.T) {
	directory := os.Getenv("PROMETHEUS")
	if directory == "" {
		missing(t, "PROMETHEUS is not set to the directory of promtool")
	}
	promtool := filepath.Join(directory, "promtool")
	for _, args := range [][]string{{"check", "rules", "rules/twtr.yaml"}, {"test", "rules", "rules/test.yaml"}} {
		stdout, stderr, failed := run(t, promtool, args...)
		require.False(t, failed, stdout+stderr)
	}
	rules, err := os.ReadFile("rules/twtr.yaml")
	require.NoError(t, err)
	tests, err := os.ReadFile("rules/test.yaml")
	require.NoError(t, err)
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllSubmatch(rules, -1)
	require.NotEmpty(t, alerts)
	for _, alert := range alerts {
		require.Contains(t, string(tests), `alertname="`+string(alert[1])+`"`)
	}
}

func TestThePrometheusRuleHasTheRulesThatAreTested(t *testing.T) {
	rule := find(t, render(t, "everything"), "PrometheusRule", "twtr")
	require.Equal(t, file(t, "rules/twtr.yaml")[0]["groups"], rule["spec"].(map[string]any)["groups"])
}
