package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	_ "go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql" // PostgreSQL for temporalServer and temporal-sql-tool
	"go.temporal.io/server/temporal"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/twtr-dev/twtr/workers"
)

// The processes of the chart, started as the manifests say, on the closest thing to a cluster: a Cassandra, and a Temporal that
// keeps its data in PostgreSQL and is set up as in docker-compose.yml.
func TestTheChartsProcessesWorkAsOneOnCassandraAndPostgreSQL(t *testing.T) {
	if os.Getenv("TWTR_TEST_CHART") == "" {
		t.Skip("needs helm, and PostgreSQL: make helm-test provides them")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "twtr")
	output(t, exec.Command("go", "-C", "..", "build", "-o", binary, "./cmd/twtr"))
	hosts, keyspace := findCassandra(t), "twtr_chart_"+strings.ReplaceAll(uuid.NewString(), "-", "")[:16]
	t.Cleanup(func() { dropKeyspace(t, hosts, keyspace) })
	const namespace = "twtr-prod" // not the default
	address := startTemporalOnPostgres(t, dir, namespace)

	migrate, processes := renderChart(t, map[string]string{
		"temporal.address":          address,
		"temporal.namespace":        namespace,
		"cassandra.bundled.enabled": "false",
		"cassandra.hosts":           "{" + hosts + "}",
		"cassandra.keyspace":        keyspace,
		"cassandra.replication":     `\{'class': 'SimpleStrategy'\, 'replication_factor': 1\}`,
	})
	require.Equal(t, 0, migrate.start(t, dir, binary).wait(t))
	require.Len(t, processes, 1+len(workers.Domains()), "the API, and a worker of each domain")
	s := &stack{t: t}
	var running []*pod
	for name, p := range processes {
		require.Equal(t, 0, p.InitContainers[0].start(t, dir, binary).wait(t), name)
		process := p.Containers[0].start(t, dir, binary)
		process.name = name
		running = append(running, process)
		if strings.HasSuffix(name, "-api") {
			s.url = "http://" + process.addrs["http"]
		}
	}
	for _, process := range running {
		process.ready(t)
	}

	ann, bob := s.signUp("ann"), s.signUp("bob")
	s.follow(bob, "ann")
	hello := s.tweet(ann, "hello")
	s.eventually("it arrives", func() bool { return len(s.feed(bob)) == 1 })
	require.Equal(t, []tweet{hello}, s.feed(bob))
	s.unfollow(bob, "ann")
	s.eventually("it is gone again", func() bool { return len(s.feed(bob)) == 0 })
	s.follow(bob, "ann")
	s.eventually("it comes back", func() bool { return len(s.feed(bob)) == 1 })
	s.deleteTweet(ann, hello.ID)
	s.eventually("it is deleted everywhere", func() bool { return len(s.feed(bob)) == 0 })

	for _, process := range running {
		require.NoError(t, process.Process.Signal(syscall.SIGTERM))
	}
	for _, process := range running {
		require.Equal(t, 0, process.wait(t), process.name)
	}
}

// findCassandra returns the hosts of a running Cassandra, or of one that it starts for this test.
func findCassandra(t *testing.T) (hosts string) {
	if hosts := os.Getenv("TWTR_TEST_CASSANDRA"); hosts != "" {
		return hosts
	}
	if conn, err := net.Dial("tcp", "127.0.0.1:9042"); err == nil {
		conn.Close()
		return "127.0.0.1"
	}
	home := t.TempDir()
	script := func(action string) {
		command := exec.Command("../scripts/cassandra.sh", action)
		command.Env = append(os.Environ(), "TWTR_CASSANDRA_DIR="+home)
		output(t, command)
	}
	t.Cleanup(func() { script("stop") })
	script("start")
	return "127.0.0.1"
}

// startTemporalOnPostgres starts a server with a namespace, and returns its address. Schema tool and server get the arguments and
// variables of docker-compose.yml, except for addresses.
func startTemporalOnPostgres(t *testing.T, dir, namespace string) (address string) {
	postgres, port, err := net.SplitHostPort(freeAddr(t))
	require.NoError(t, err)
	data := strings.TrimSpace(output(t, exec.Command("../scripts/postgres.sh", "start", port)))
	t.Cleanup(func() { output(t, exec.Command("../scripts/postgres.sh", "stop", data)) })

	options, err := cli.NewProjectOptions([]string{"../docker-compose.yml"},
		cli.WithEnv([]string{"POSTGRES_PASSWORD=p", "TWTR_AUTH_KEYS=a", "TWTR_SEAL_KEY=s"}))
	require.NoError(t, err)
	compose, err := options.LoadProject(t.Context())
	require.NoError(t, err)

	tool := filepath.Join(dir, "temporal-sql-tool")
	require.NoError(t, os.WriteFile(tool, fmt.Appendf(nil, "#!/bin/sh\n%s=temporal-sql-tool exec %s \"$@\"\n", asEnv, os.Args[0]), 0o700))
	schema := compose.Services["temporal-schema"]
	command := append(append([]string{}, schema.Entrypoint...), schema.Command...)
	sh := exec.Command(command[0], command[1:]...) // as in the container: compose has replaced $$ by $
	sh.Env = environ(schema.Environment, "PATH="+dir+":"+os.Getenv("PATH"), "SQL_HOST="+postgres, "SQL_PORT="+port)
	output(t, sh)

	dynamic := filepath.Join(dir, "dynamic.yaml")
	require.NoError(t, os.WriteFile(dynamic, []byte(compose.Configs["temporal"].Content), 0o600))
	// An unused loopback address, so that Temporal's eight ports can be the default ones. Random ports might not do: its database
	// can't store ports above 32767.
	ip := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	address = ip + ":7233"
	server := &pod{Cmd: exec.Command(os.Args[0]), name: "Temporal"}
	server.Env = environ(compose.Services["temporal"].Environment, asEnv+"=temporal-server", "LOG_LEVEL=error", "DYNAMIC_CONFIG_FILE_PATH="+dynamic,
		"POSTGRES_SEEDS="+postgres, "DB_PORT="+port, "BIND_ON_IP="+ip)
	server.begin(t)

	c, err := client.NewLazyClient(client.Options{HostPort: address})
	require.NoError(t, err)
	defer c.Close()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
			Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour)})
		_, exists := errors.AsType[*serviceerror.NamespaceAlreadyExists](err)
		return err == nil || exists
	}, 2*time.Minute, 500*time.Millisecond, "Temporal responds at %s", address)
	return address
}

// temporalServer does what the program temporal-server does, without authorization.
func temporalServer() (code int) {
	c, err := config.Load(config.WithEmbedded())
	if err == nil {
		var server temporal.Server
		server, err = temporal.NewServer(temporal.ForServices(temporal.DefaultServices), temporal.WithConfig(c),
			temporal.WithLogger(log.NewZapLogger(log.BuildZapLogger(c.Log))), temporal.InterruptOn(temporal.InterruptCh()))
		if err == nil {
			err = server.Start()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// environ returns an environment of compose's with others added or overridden.
func environ(base types.MappingWithEquals, others ...string) (env []string) {
	for name, value := range base {
		env = append(env, name+"="+*value)
	}
	return append(env, others...) // the last of duplicates counts
}

// podSpec is the part of Kubernetes' PodSpec that the test needs.
type podSpec struct {
	InitContainers, Containers []container
}

type container struct {
	Args []string
	Env  []struct {
		Name, Value string
		ValueFrom   struct {
			SecretKeyRef struct{ Name, Key string }
		}
	}
	Ports []struct {
		Name          string
		ContainerPort int
	}
	ReadinessProbe struct {
		HTTPGet struct{ Path, Port string }
	}
}

// renderChart returns the container of the migration's Job, and the pods of the Deployments by their names.
func renderChart(t *testing.T, values map[string]string) (migrate container, deployments map[string]podSpec) {
	helm := strings.TrimSpace(output(t, exec.Command("../scripts/tools.sh", "helm")))
	args := []string{"template", "twtr", "../helm", "--namespace", "twtr", "--kube-version", "1.30.0"}
	for key, value := range values {
		args = append(args, "--set", key+"="+value)
	}
	manifests := output(t, exec.Command(helm, args...))
	deployments = map[string]podSpec{}
	for decoder := yaml.NewDecoder(strings.NewReader(manifests)); ; {
		var any map[string]any
		err := decoder.Decode(&any)
		if errors.Is(err, io.EOF) {
			return migrate, deployments
		}
		require.NoError(t, err)
		text, err := json.Marshal(any) // encoding/json matches names regardless of case
		require.NoError(t, err)
		var manifest struct {
			Kind     string
			Metadata struct{ Name string }
			Spec     struct{ Template struct{ Spec podSpec } }
		}
		kind, _ := any["kind"].(string)
		if kind != "Job" && kind != "Deployment" {
			continue
		}
		require.NoError(t, json.Unmarshal(text, &manifest), "%s", text)
		switch pod := manifest.Spec.Template.Spec; {
		case manifest.Kind == "Deployment":
			deployments[manifest.Metadata.Name] = pod
		case strings.HasSuffix(manifest.Metadata.Name, "-migrate"):
			migrate = pod.Containers[0]
		}
	}
}

// chartSecrets are the Secrets that the deployer creates: name/key.
var chartSecrets = map[string]string{
	"twtr/auth-keys": "k1:" + strings.Repeat("a", 32),
	"twtr/seal-key":  strings.Repeat("s", 32),
}

// pod is a container's process.
type pod struct {
	*exec.Cmd
	name  string
	addrs map[string]string // that it listens on, by the name of the container's port
	probe string            // the URL of its readiness probe
	logs  buffer
}

// listens are the settings that the ports of a container belong to.
var listens = map[string]string{"TWTR_HTTP_ADDR": "http", "TWTR_OPS_ADDR": "ops"}

// start starts the container's process with only the container's environment. The ports it listens on differ, because all
// processes are on this machine.
func (c container) start(t *testing.T, dir, binary string) *pod {
	p := &pod{Cmd: exec.Command(binary, c.Args...), name: strings.Join(c.Args, " "), addrs: map[string]string{}}
	p.Dir, p.Env = dir, []string{"HOME=" + dir}
	for _, variable := range c.Env {
		value := variable.Value
		if ref := variable.ValueFrom.SecretKeyRef; ref.Name != "" {
			require.Contains(t, chartSecrets, ref.Name+"/"+ref.Key)
			value = chartSecrets[ref.Name+"/"+ref.Key]
		}
		if port := listens[variable.Name]; port != "" {
			require.Equal(t, fmt.Sprintf(":%d", c.ports()[port]), value, "the probes ask the port it listens on")
			value = freeAddr(t)
			p.addrs[port] = value
		}
		p.Env = append(p.Env, variable.Name+"="+value)
	}
	require.Len(t, p.addrs, len(c.Ports))
	if probe := c.ReadinessProbe.HTTPGet; probe.Path != "" {
		p.probe = "http://" + p.addrs[probe.Port] + probe.Path
	}
	p.begin(t)
	return p
}

// ports are the container's, by their names.
func (c container) ports() map[string]int {
	ports := map[string]int{}
	for _, port := range c.Ports {
		ports[port.Name] = port.ContainerPort
	}
	return ports
}

// begin starts the process, which is killed at the end of the test if it still runs.
func (p *pod) begin(t *testing.T) {
	p.Stdout, p.Stderr = &p.logs, &p.logs
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
		if t.Failed() {
			t.Logf("%s: %.4000s", p.name, p.logs.String())
		}
	})
}

// wait returns the exit code.
func (p *pod) wait(t *testing.T) int {
	watchdog := time.AfterFunc(2*time.Minute, func() { _ = p.Process.Kill() })
	defer watchdog.Stop()
	if err := p.Wait(); p.ProcessState == nil {
		require.NoError(t, err, p.name)
	}
	return p.ProcessState.ExitCode()
}

// ready waits until the readiness probe would succeed.
func (p *pod) ready(t *testing.T) {
	require.NotEmpty(t, p.probe, p.name)
	require.Eventually(t, func() bool {
		response, err := http.Get(p.probe)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, time.Minute, 50*time.Millisecond, "%s is ready", p.name)
}

// output runs a command and returns its standard output.
func output(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	var stdout, stderr buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	require.NoError(t, command.Run(), "%v: %s%s", command.Args, stdout.String(), stderr.String())
	return stdout.String()
}
