package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/checks"
	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// services are those that run until they are stopped, in the order in which they are restarted. Events add nats.
var services = []string{
	"api", "worker-users", "worker-tweets", "worker-followers", "worker-feeds", "temporal-ui", "temporal", "postgresql", "cassandra",
}

// test is one run.
type test struct {
	checks.Runner
	directory string // of docker-compose.yml
	client    *traffic.Client
	loads     int // that were started: each has users of its own
	services  []string
}

func newTest(directory string) *test {
	// No connection is kept, so that none is to a container that is gone.
	transport := &http.Transport{DisableKeepAlives: true}
	t := &test{
		directory: directory, services: services,
		client: &traffic.Client{URL: "http://localhost:3002", HTTP: &http.Client{Timeout: 30 * time.Second, Transport: transport}},
	}
	t.Runner = checks.Runner{Out: os.Stdout, Explain: t.explain}
	return t
}

func (t *test) command(ctx context.Context, name string, args ...string) (string, error) {
	command := checks.Command(ctx, name, args...)
	command.Dir = t.directory
	return checks.Output(command)
}

func (t *test) docker(ctx context.Context, args ...string) (string, error) {
	return t.command(ctx, "docker", args...)
}

// container is one of `docker compose ps`.
type container struct{ ID, Service, State, Health, Status string }

// containers returns those of services that run, or also those that have exited.
func (t *test) containers(ctx context.Context, all bool) (found []container, err error) {
	out, err := t.docker(ctx, "compose", "ps", "--format", "json", "--all="+strconv.FormatBool(all))
	if err != nil {
		return nil, err
	}
	for decoder := json.NewDecoder(strings.NewReader(out)); ; {
		var c container
		if err := decoder.Decode(&c); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
}

func (t *test) container(ctx context.Context, service string) (c container, err error) {
	all, err := t.containers(ctx, false)
	if err != nil {
		return c, err
	}
	i := slices.IndexFunc(all, func(c container) bool { return c.Service == service })
	if i < 0 {
		return c, fmt.Errorf("%s does not run", service)
	}
	return all[i], nil
}

// healthy is an error unless all services run, no other one does, and none is unhealthy.
func (t *test) healthy(ctx context.Context) error {
	all, err := t.containers(ctx, false)
	if err != nil {
		return err
	}
	missing := slices.Clone(t.services)
	for _, c := range all {
		i := slices.Index(missing, c.Service)
		if i < 0 {
			return fmt.Errorf("%s runs, which this test does not know", c.Service)
		}
		missing = slices.Delete(missing, i, i+1)
		// The image of the Web UI has no health check.
		if c.State != "running" || c.Health != "healthy" && (c.Health != "" || c.Service != "temporal-ui") {
			return fmt.Errorf("%s is %s %s", c.Service, c.State, c.Health)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("not running: %s", strings.Join(missing, ", "))
	}
	return nil
}

// explain prints the containers and the last lines of those that are not healthy.
func (t *test) explain() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if ps, err := t.docker(ctx, "compose", "ps", "--all"); err == nil {
		fmt.Fprint(t.Out, ps)
	}
	all, _ := t.containers(ctx, true)
	for _, c := range all {
		if c.Health == "healthy" || c.State == "running" && c.Health == "" || strings.HasPrefix(c.Status, "Exited (0)") {
			continue
		}
		if log, err := exec.CommandContext(ctx, "docker", "logs", "--tail", "15", c.ID).CombinedOutput(); err == nil {
			fmt.Fprintf(t.Out, "--- the last lines of %s (%s):\n%s", c.Service, c.Status, log)
		}
	}
}

func (t *test) up(ctx context.Context) error {
	if _, err := t.command(ctx, "make", "--no-print-directory", "up"); err != nil {
		return err
	}
	return t.healthy(ctx)
}

func (t *test) readme(ctx context.Context) error {
	calls, err := traffic.Readme(ctx, t.directory+"/README.md", strings.NewReplacer("curl ", "curl --fail-with-body "))
	t.Say("%d calls", calls)
	return err
}

// workflows returns the workflow and run IDs of the tweets that were posted, as the Web UI gets them.
func (t *test) workflows(ctx context.Context) (ids []string, err error) {
	const url = "http://localhost:8233/api/v1/namespaces/default/workflows?query=WorkflowType%3D%22PostTweet%22"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := t.client.HTTP.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	var list struct {
		Executions []struct {
			Execution struct{ WorkflowID, RunID string }
		}
	}
	err = json.NewDecoder(response.Body).Decode(&list)
	for _, e := range list.Executions {
		ids = append(ids, e.Execution.WorkflowID+" "+e.Execution.RunID)
	}
	return ids, err
}

func (t *test) webUI(ctx context.Context) error {
	if page, err := t.command(ctx, "curl", "--silent", "--show-error", "--fail", "--location", "http://localhost:8233"); err != nil {
		return err
	} else if !strings.Contains(page, "<html") {
		return fmt.Errorf("the Web UI's page is not HTML: %.200s", page)
	}
	// Temporal lists a workflow a moment after it started.
	return traffic.Eventually(ctx, 10*time.Second, func() error {
		ids, err := t.workflows(ctx)
		if err == nil && len(ids) != 1 {
			err = fmt.Errorf("%d workflows PostTweet, not 1", len(ids))
		}
		return err
	})
}

// ports checks the ports that containers publish, and that none of them is open on another address of this machine.
func (t *test) ports(ctx context.Context) error {
	var published []string
	all, err := t.containers(ctx, false)
	if err != nil {
		return err
	}
	for _, c := range all {
		out, err := t.docker(ctx, "port", c.ID)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			_, address, _ := strings.Cut(strings.TrimSpace(line), " -> ")
			host, port, err := net.SplitHostPort(address)
			if err != nil || host != "127.0.0.1" {
				return fmt.Errorf("%s publishes %s", c.Service, line)
			}
			published = append(published, port)
		}
	}
	slices.Sort(published)
	if want := []string{"3002", "7233", "8233"}; !slices.Equal(published, want) {
		return fmt.Errorf("the ports are %v, not %v", published, want)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	probes := 0
	for _, address := range addresses {
		network, ok := address.(*net.IPNet)
		if !ok || network.IP.IsLoopback() || network.IP.IsLinkLocalUnicast() {
			continue
		}
		for _, port := range published {
			dialer := net.Dialer{Timeout: 2 * time.Second}
			connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(network.IP.String(), port))
			if err == nil {
				_ = connection.Close()
				return fmt.Errorf("port %s is open on %s", port, network.IP)
			}
			probes++
		}
	}
	t.Say("%d probes of other addresses", probes)
	return nil
}

// privileges looks at what the kernel says of each service's first process.
func (t *test) privileges(ctx context.Context) error {
	for _, service := range services {
		c, err := t.container(ctx, service)
		if err != nil {
			return err
		}
		status, err := t.inNamespaceOf(ctx, "container:"+c.ID, "cat /proc/1/status")
		if err != nil {
			return err
		}
		field := func(name string) string {
			_, rest, _ := strings.Cut(status, "\n"+name+":")
			line, _, _ := strings.Cut(rest, "\n")
			return strings.TrimSpace(line)
		}
		if user := strings.Fields(field("Uid")); len(user) != 4 || slices.Contains(user, "0") {
			return fmt.Errorf("%s runs as user %v", service, user)
		}
		if service != "api" && !strings.HasPrefix(service, "worker-") {
			continue
		}
		for name, want := range map[string]string{"CapEff": "0000000000000000", "CapBnd": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2"} {
			if got := field(name); got != want {
				return fmt.Errorf("%s: %s is %s, not %s", service, name, got, want)
			}
		}
		readOnly, err := t.docker(ctx, "inspect", "--format", "{{.HostConfig.ReadonlyRootfs}}", c.ID)
		if err != nil {
			return err
		}
		if readOnly != "true" {
			return fmt.Errorf("%s: its file system is not read-only", service)
		}
	}
	return nil
}

// inNamespaceOf runs a shell command in a container of another image, which sees the processes of another container, or of the engine.
func (t *test) inNamespaceOf(ctx context.Context, pid, command string) (string, error) {
	image, err := t.docker(ctx, "compose", "config", "--images", "postgresql")
	if err != nil {
		return "", err
	}
	return t.docker(ctx, "run", "--rm", "--pid", pid, "--network", "none", "--entrypoint", "sh", image, "-c", command)
}
