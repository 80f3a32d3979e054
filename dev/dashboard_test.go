package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestEachPanelOfTheDashboardShowsData runs every query of the dashboard in a real Prometheus that reads a process in which a little of
// everything happens.
func TestEachPanelOfTheDashboardShowsData(t *testing.T) {
	programs := os.Getenv("PROMETHEUS")
	if programs == "" {
		t.Skip("PROMETHEUS is not set to the directory of a Prometheus: make helm-test installs one")
	}
	dir := t.TempDir()
	api, _, args := devArgs(t)
	ops := freeAddr(t)
	process := start(t, dir, "dev", []string{"TWTR_OPS_ADDR=" + ops, "TWTR_RATELIMIT_LOGINS=100"}, args...)
	process.says(t, "twtr is running.")
	p := startPrometheus(t, programs, ops)

	s := &stack{t: t, url: "http://" + api, ops: "http://" + ops}
	ann, bob := s.signUp("ann"), s.signUp("bob")
	somethingOfAll := func() {
		s.follow(bob, "ann")
		live := s.stream(bob, "")
		posted := s.tweet(ann, "hello")
		live.await(1)
		live.stop()
		s.eventually("it arrives", func() bool { return len(s.feed(bob)) > 0 })
		s.unfollow(bob, "ann")
		s.deleteTweet(ann, posted.ID)
		s.call("POST", "/users/authorize", "", map[string]string{"username": "bob", "password": "wrong horse"})
	}
	for deadline := time.Now().Add(2 * time.Minute); ; {
		somethingOfAll()
		var empty []string
		for title, queries := range dashboard(t) {
			for _, query := range queries {
				if !p.answers(query) {
					empty = append(empty, title+": "+query)
				}
			}
		}
		if len(empty) == 0 {
			return
		}
		require.True(t, time.Now().Before(deadline), "no data: %q", empty)
	}
}

// dashboard returns the queries of each panel, as Grafana would send them.
func dashboard(t *testing.T) map[string][]string {
	content, err := os.ReadFile("../helm/dashboards/twtr.json")
	require.NoError(t, err)
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(content, &board))
	queries := map[string][]string{}
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			query := strings.NewReplacer("$namespace", "twtr", "$__rate_interval", "1m").Replace(target.Expr)
			queries[panel.Title] = append(queries[panel.Title], query)
		}
	}
	require.NotEmpty(t, queries)
	return queries
}

// prometheus reads the metrics of one process every second.
type prometheus struct {
	t   *testing.T
	url string
}

func startPrometheus(t *testing.T, programs, target string) *prometheus {
	dir, addr := t.TempDir(), freeAddr(t)
	rules, err := filepath.Abs("../helm/rules/twtr.yaml")
	require.NoError(t, err)
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: twtr
    static_configs: [{targets: [%q], labels: {namespace: twtr}}]
`, rules, target)
	file := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	server := &pod{Cmd: exec.Command(filepath.Join(programs, "prometheus"), "--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=warn"), name: "Prometheus"}
	server.begin(t)
	p := &prometheus{t: t, url: "http://" + addr}
	require.Eventually(t, func() bool {
		response, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, time.Minute, 50*time.Millisecond)
	return p
}

// answers reports whether a query has a result that is a number.
func (p *prometheus) answers(query string) bool {
	response, err := http.Get(p.url + "/api/v1/query?query=" + url.QueryEscape(query))
	require.NoError(p.t, err)
	defer response.Body.Close()
	var answer struct {
		Error string
		Data  struct{ Result []struct{ Value [2]any } }
	}
	require.NoError(p.t, json.NewDecoder(response.Body).Decode(&answer))
	require.Empty(p.t, answer.Error, query)
	for _, result := range answer.Data.Result {
		value, err := strconv.ParseFloat(result.Value[1].(string), 64)
		if err == nil && !math.IsNaN(value) {
			return true
		}
	}
	return false
}
