package helm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// quantity is a quantity of Kubernetes, in thousandths of a CPU or in bytes.
func quantity(t *testing.T, q any) int {
	parts := regexp.MustCompile(`^([0-9.]+)(m|Mi|Gi)?$`).FindStringSubmatch(fmt.Sprint(q))
	require.NotNil(t, parts, q)
	number, err := strconv.ParseFloat(parts[1], 64)
	require.NoError(t, err)
	return int(number * map[string]float64{"": 1000, "m": 1, "Mi": 1 << 20, "Gi": 1 << 30}[parts[2]])
}

// size is what the pods of some objects request.
type size struct{ cpu, memory int }

// add adds count pods.
func (s *size) add(t *testing.T, p pod, count int) {
	for _, c := range p.Spec.Containers {
		s.cpu += count * quantity(t, c.Resources.Requests["cpu"])
		s.memory += count * quantity(t, c.Resources.Requests["memory"])
	}
}

func (s size) String() string {
	return fmt.Sprintf("%s CPUs and %s GiB", strconv.FormatFloat(float64(s.cpu)/1000, 'f', -1, 64), strconv.FormatFloat(float64(s.memory)/(1<<30), 'f', -1, 64))
}

// surge is what an upgrade requests in addition.
func (s size) surge() string { return fmt.Sprintf("%dm CPU and %d MiB", s.cpu, s.memory>>20) }

func TestTheDefaultsRequestWhatTheValuesSay(t *testing.T) {
	var all, more size
	for _, p := range pods(render(t, "defaults")) {
		replicas, surge := 1, 0
		p.object.into("spec.replicas", &replicas)
		p.object.into("spec.strategy.rollingUpdate.maxSurge", &surge)
		switch p.object.kind() {
		case "Deployment", "StatefulSet":
			all.add(t, p, replicas)
			more.add(t, p, surge)
		case "Job": // of the migration
			more.add(t, p, 1)
		}
	}
	require.LessOrEqual(t, all.cpu+more.cpu, 1700, "an upgrade fits a node of two CPUs that runs DNS and an ingress controller, too")
	for file, begin := range map[string]string{"values.yaml": "# ", "README.md": ""} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Contains(t, string(text), fmt.Sprintf("\n%sThe defaults request %v of memory, and %s more while they are upgraded", begin, all, more.surge()), file)
	}
}

func TestEachComponentKeepsAPodDuringARollout(t *testing.T) {
	for _, o := range ofKind(render(t, "defaults"), "Deployment") {
		var replicas, unavailable int
		o.into("spec.replicas", &replicas)
		o.into("spec.strategy.rollingUpdate.maxUnavailable", &unavailable)
		require.Greater(t, replicas, unavailable, o)
		if o.name() == "twtr-api" {
			require.Zero(t, unavailable)
		}
	}
}

// As a dependency: another chart's release and values, and an alias.
func TestAnotherChartCanDependOnThisOne(t *testing.T) {
	parent := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(parent, "Chart.yaml"), []byte(`
apiVersion: v2
name: site
version: 1.0.0
dependencies: [{name: twtr, version: ">=0", repository: "", alias: backend}]
`), 0o600))
	require.NoError(t, os.CopyFS(filepath.Join(parent, "charts", "twtr"), os.DirFS(".")))
	for _, helm := range []string{tool(t, "HELM", "helm"), tool(t, "HELM4", "helm4")} {
		objects := parse(t, template(t, helm, parent, "--set", "global.imageRegistry=registry.example.com,backend.image.tag=v9"))
		api := find(t, objects, "Deployment", "twtr-backend-api")
		require.Equal(t, "backend", api.labels("spec.selector.matchLabels")["app.kubernetes.io/name"])
		for _, name := range []string{"nameOverride=shop", "fullnameOverride=shop"} {
			objects = parse(t, template(t, helm, parent, "--set", "backend."+name))
			want := map[string]string{"nameOverride=shop": "twtr-shop-api", "fullnameOverride=shop": "shop-api"}[name]
			find(t, objects, "Deployment", want)
			find(t, objects, "Service", want)
		}
	}
}

func TestPodsHaveTheLabelsAndVariablesOfTheValues(t *testing.T) {
	objects := render(t, "everything")
	for _, p := range pods(ofKind(objects, "Deployment")) {
		require.Equal(t, "1", p.Metadata.Labels["example.com/cost"], p.object)
		require.NotContains(t, p.object.labels("spec.selector.matchLabels"), "example.com/cost", "a selector can't be changed")
		require.Contains(t, fmt.Sprint(p.Spec.Containers[0].Env), "{HTTPS_PROXY http://proxy:3128 ", p.object)
	}
	require.Contains(t, fmt.Sprint(pods(ofKind(objects, "Job"))[0].Spec.Containers[0].Env), "{HTTPS_PROXY http://proxy:3128 ")
	for _, account := range ofKind(objects, "ServiceAccount") {
		require.Equal(t, map[string]string{"example.com/role": "twtr"}, account.labels("metadata.annotations"), account)
	}
}

func TestNamesThatYAMLTakesForNumbersStayText(t *testing.T) {
	helm := tool(t, "HELM", "helm")
	names := "auth.existingSecret,auth.key,seal.existingSecret,seal.key,temporal.apiKey.existingSecret,temporal.apiKey.key,temporal.codecKeys.existingSecret,temporal.codecKeys.key,temporal.namespace," +
		"temporal.tls.existingSecret,temporal.tls.ca,temporal.tls.cert,temporal.tls.key,temporal.tls.serverName,cassandra.existingSecret," +
		"cassandra.usernameKey,cassandra.passwordKey,cassandra.datacenter,cassandra.bundled.storage,cassandra.bundled.storageClass," +
		"pods.priorityClassName,pods.annotations.a,pods.labels.a,ingress.className,ingress.host,ingress.tls.existingSecret,image.tag," +
		"image.repository,cassandra.bundled.image,versioning.deploymentName,versioning.buildId"
	set := strings.ReplaceAll(names, ",", "=123,") + "=123"
	stdout, stderr, failed := run(t, helm, "template", "123", ".", "--kube-version", kubeVersion, "--set-string", set+",nameOverride=true",
		"--set", "temporal.tls.enabled=true,versioning.enabled=true,workers.feeds.autoscaling.type=keda,metrics.serviceMonitor.enabled=true")
	require.False(t, failed, stderr)
	text := regexp.MustCompile(`^(name|namespace|key|value|secretName|image|host|hosts|.*ClassName|app\.kubernetes\.io/.*|helm\.sh/.*|a|storage|taskQueue|endpoint|workerDeployment.*)$`)
	var check func(object, string, any)
	check = func(o object, key string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, value := range value {
				check(o, key, value)
			}
		case []any:
			for _, value := range value {
				check(o, key, value)
			}
		default:
			if _, ok := value.(string); !ok && text.MatchString(key) {
				t.Errorf("%s of %s is the %T %v", key, o, value, value)
			}
		}
	}
	for _, o := range parse(t, stdout) {
		check(o, "", map[string]any(o))
	}
}

// TestTheReadmeListsAllValues fails if helm/README.md differs from what values.yaml says; UPDATE=1 writes it.
func TestTheReadmeListsAllValues(t *testing.T) {
	values, err := os.ReadFile("values.yaml")
	require.NoError(t, err)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	before, _, found := strings.Cut(string(readme), "| value | default | meaning |\n")
	require.True(t, found)
	want := before + table(string(values))
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile("README.md", []byte(want), 0o600))
	}
	require.Equal(t, want, string(readme), "run UPDATE=1 go test ./helm -run TestTheReadmeListsAllValues")
}

var valueLine = regexp.MustCompile(`^( *)([\w.]+):(?: ([^#\s].*?))?(?:\s+# (.*))?$`)

// table lists the values of a file as a table: the key's path, the default, and the comment after it or in the lines above it.
func table(values string) string {
	var b strings.Builder
	b.WriteString("| value | default | meaning |\n|---|---|---|\n")
	var path, above []string
	lines := strings.Split(values, "\n")
	for i, line := range lines {
		if comment, ok := strings.CutPrefix(strings.TrimSpace(line), "# "); ok {
			above = append(above, comment)
			continue
		}
		parts := valueLine.FindStringSubmatch(line)
		if parts == nil {
			above = nil
			continue
		}
		depth := len(parts[1]) / 2
		path = append(path[:min(depth, len(path))], parts[2])
		meaning := strings.TrimSpace(strings.Join(append(above, parts[4]), " "))
		above = nil
		value := parts[3]
		if value == "" {
			value = items(lines[i+1:])
		}
		if value == "" && meaning == "" {
			continue // only a group
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.Join(path, "."), code(value), strings.ReplaceAll(meaning, "|", `\|`))
	}
	return b.String()
}

// items returns the items of a list that these lines begin with, in flow style; "" if they begin with none.
func items(lines []string) string {
	var all []string
	for _, line := range lines {
		item, ok := strings.CutPrefix(strings.TrimSpace(line), "- ")
		if !ok {
			break
		}
		all = append(all, item)
	}
	if all == nil {
		return ""
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
}
