// Package helm_test checks the chart against the binary, Kubernetes' schemas and the rights of the deployer's account. It runs helm
// and needs no cluster. `make helm-test` installs the tools; without one of them a test fails there, and is skipped elsewhere.
package helm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// kubeVersion is the oldest version that the chart supports, and the newest whose schemas kubectl-validate contains.
const kubeVersion = "1.30.0"

// tool returns the program that the environment variable names, or the installed one of that name.
func tool(t *testing.T, variable, name string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name+" is not installed, and "+variable+" is not set")
	}
	return path
}

// missing skips a test, or fails it if REQUIRE_HELM is set.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("REQUIRE_HELM") != "" {
		t.Fatal(what)
	}
	t.Skip(what + ": make helm-test installs it")
}

// run returns what a command prints, and whether it failed.
func run(t *testing.T, name string, args ...string) (stdout, stderr string, failed bool) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), "KUBECONFIG=/dev/null")
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), err != nil
}

// template renders the chart as release twtr in namespace twtr-dev.
func template(t *testing.T, helm, chart string, args ...string) string {
	t.Helper()
	args = append([]string{"template", "twtr", chart, "-n", "twtr-dev", "--kube-version", kubeVersion}, args...)
	stdout, stderr, failed := run(t, helm, args...)
	require.False(t, failed, stderr)
	return stdout
}

// render renders the chart with a file of values in testdata.
func render(t *testing.T, values string, args ...string) []object {
	t.Helper()
	helm := tool(t, "HELM", "helm")
	return parse(t, template(t, helm, ".", append([]string{"-f", filepath.Join("testdata", values+".yaml")}, args...)...))
}

// valueSets are the names of the files in testdata.
func valueSets(t *testing.T) []string {
	files, err := filepath.Glob("testdata/*.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 6)
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), ".yaml")
	}
	return files
}

// forEachValueSet runs a test on the manifests rendered with each file in testdata.
func forEachValueSet(t *testing.T, test func(*testing.T, []object)) {
	for _, values := range valueSets(t) {
		t.Run(values, func(t *testing.T) { test(t, render(t, values)) })
	}
}

// object is a manifest.
type object map[string]any

func parse(t *testing.T, manifests string) []object {
	t.Helper()
	var all []object
	for decoder := yaml.NewDecoder(strings.NewReader(manifests)); ; {
		var o object
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		if len(o) > 0 {
			all = append(all, o)
		}
	}
}

// into decodes the value at a path, of names separated by dots, into out. If there is none, out does not change. Names are matched
// regardless of case, as encoding/json does.
func (o object) into(path string, out any) {
	var at any = map[string]any(o)
	for name := range strings.SplitSeq(path, ".") {
		fields, _ := at.(map[string]any)
		at = fields[name]
	}
	if at == nil {
		return
	}
	text, err := json.Marshal(at)
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		panic(fmt.Sprintf("%s of %s: %v", path, o, err))
	}
}

// file parses all YAML documents of a file.
func file(t *testing.T, path string) []object {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return parse(t, string(text))
}

func (o object) text(path string) (s string)              { o.into(path, &s); return s }
func (o object) labels(path string) (m map[string]string) { o.into(path, &m); return m }
func (o object) kind() string                             { return o.text("kind") }
func (o object) name() string                             { return o.text("metadata.name") }
func (o object) String() string                           { return o.kind() + "/" + o.name() }

func ofKind(objects []object, kinds ...string) (some []object) {
	for _, o := range objects {
		if slices.Contains(kinds, o.kind()) {
			some = append(some, o)
		}
	}
	return some
}

func find(t *testing.T, objects []object, kind, name string) object {
	t.Helper()
	i := slices.IndexFunc(objects, func(o object) bool { return o.kind() == kind && o.name() == name })
	require.GreaterOrEqual(t, i, 0, "there is no %s/%s", kind, name)
	return objects[i]
}

// pod is the part of a pod, or of a pod template, that the tests check.
type pod struct {
	object   object
	Metadata struct{ Labels map[string]string }
	Spec     struct {
		ServiceAccountName            string
		AutomountServiceAccountToken  *bool
		EnableServiceLinks            *bool
		TerminationGracePeriodSeconds int
		SecurityContext               struct {
			RunAsNonRoot   bool
			RunAsUser      int
			SeccompProfile struct{ Type string }
		}
		HostNetwork, HostPID, HostIPC bool
		InitContainers                []container
		Containers                    []container
		Volumes                       []map[string]any
	}
}

type container struct {
	Name, Image string
	Args        []string
	Env         []struct {
		Name, Value string
		ValueFrom   struct{ SecretKeyRef struct{ Name, Key string } }
	}
	Ports []struct {
		Name          string
		ContainerPort int
	}
	Resources       struct{ Requests, Limits map[string]any }
	SecurityContext struct {
		AllowPrivilegeEscalation *bool
		ReadOnlyRootFilesystem   bool
		Privileged               bool
		Capabilities             struct{ Drop, Add []string }
	}
	StartupProbe   *probe
	LivenessProbe  *probe
	ReadinessProbe *probe
	Lifecycle      struct {
		PreStop struct {
			Sleep struct{ Seconds int }
			Exec  struct{ Command []string }
		}
	}
}

// env is the value of a variable; "" if there is none.
func (c container) env(name string) string {
	for _, variable := range c.Env {
		if variable.Name == name {
			return variable.Value
		}
	}
	return ""
}

type probe struct {
	HTTPGet struct{ Path, Port string }
}

// pods returns the pods of all workloads, including hooks.
func pods(objects []object) (all []pod) {
	for _, o := range objects {
		p := pod{object: o}
		switch o.kind() {
		case "Deployment", "StatefulSet", "Job", "WorkerDeployment":
			o.into("spec.template", &p)
		case "Pod":
			o.into("metadata", &p.Metadata)
			o.into("spec", &p.Spec)
		default:
			continue
		}
		all = append(all, p)
	}
	return all
}

func (p pod) containers() []container { return slices.Concat(p.Spec.InitContainers, p.Spec.Containers) }

// isTwtr reports whether the container runs the binary.
func (c container) isTwtr() bool { return strings.Contains(c.Image, "twtr") }
