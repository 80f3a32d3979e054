package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sqltool "go.temporal.io/server/tools/sql"

	"github.com/twtr-dev/twtr/cmd"
)

// asEnv makes the test binary one of ours, dev or twtr, or one of Temporal's.
const asEnv = "TWTR_TEST_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(asEnv) {
	case "dev":
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(cmd.Execute(ctx, newRoot(), os.Args[1:], os.Stdout, os.Stderr))
	case "twtr":
		os.Exit(cmd.Main(os.Args[1:], "test", os.Stdout, os.Stderr))
	case "temporal-server":
		os.Exit(temporalServer())
	case "temporal-sql-tool":
		if sqltool.RunTool(os.Args) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// process is one of our binaries, started in a directory.
type process struct {
	*exec.Cmd
	stdout *bufio.Reader
	stderr *buffer
}

func start(t *testing.T, dir, as string, env []string, args ...string) *process {
	p := &process{Cmd: exec.Command(os.Args[0], args...), stderr: &buffer{}}
	// Several processes of one machine need ops ports of their own.
	p.Dir, p.Env, p.Stderr = dir, append(append(os.Environ(), asEnv+"="+as, "TWTR_OPS_ADDR=127.0.0.1:0"), env...), p.stderr
	stdout, err := p.StdoutPipe()
	require.NoError(t, err)
	p.stdout = bufio.NewReader(stdout)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
		if t.Failed() {
			t.Logf("%s %v: %.4000s", as, args, p.stderr.String())
		}
	})
	return p
}

// says waits until the process has written that.
func (p *process) says(t *testing.T, text string) {
	for {
		line, err := p.stdout.ReadString('\n')
		if strings.Contains(line, text) {
			go func() { _, _ = io.Copy(io.Discard, p.stdout) }()
			return
		}
		require.NoError(t, err, "before it said %q: %s", text, p.stderr.String())
	}
}

// stops sends the signal, and wants the process to end by itself, within a deadline that a hang would pass.
func (p *process) stops(t *testing.T, s os.Signal) {
	require.NoError(t, p.Process.Signal(s))
	watchdog := time.AfterFunc(30*time.Second, func() { _ = p.Process.Kill() })
	defer watchdog.Stop()
	require.NoError(t, p.Wait(), p.stderr.String())
}

func devArgs(t *testing.T) (api, temporal string, args []string) {
	api, temporal = freeAddr(t), freeAddr(t)
	return api, temporal, []string{"--http-addr", api, "--temporal-addr", temporal, "--temporal-ui-addr", freeAddr(t), "--nats-addr", freeAddr(t)}
}

func TestAfterKill9EverythingIsThereAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	api, _, args := devArgs(t)
	p := start(t, dir, "dev", nil, args...)
	p.says(t, "twtr is running.")
	s := &stack{t: t, url: "http://" + api}
	ann, bob := s.signUp("ann"), s.signUp("bob")
	s.follow(bob, "ann")
	posted := s.post(ann, 8, 50)
	require.NoError(t, p.Process.Kill())
	_ = p.Wait()

	p = start(t, dir, "dev", nil, args...)
	p.says(t, "twtr is running.")
	s.eventually("all arrive", func() bool { return len(s.feed(bob)) >= 50 }) // by the token of before
	require.Equal(t, posted, s.feed(bob))
	p.stops(t, os.Interrupt)
}

func TestOnlyItsOwnerReadsTheData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, ".twtr")
	require.NoError(t, os.Mkdir(data, 0o700))
	for _, name := range []string{"log", "twtr.db", "twtr.db.migrate", "temporal.db"} {
		require.NoError(t, os.WriteFile(filepath.Join(data, name), nil, 0o600))
		require.NoError(t, os.Chmod(filepath.Join(data, name), 0o644), "as an older version created it")
	}
	require.NoError(t, os.Chmod(data, 0o755))
	api, _, args := devArgs(t)
	p := start(t, dir, "dev", nil, args...)
	p.says(t, "twtr is running.")
	(&stack{t: t, url: "http://" + api}).signUp("ann")

	modes := map[string]os.FileMode{}
	require.NoError(t, filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		if entry.IsDir() && entry.Name() == "nats" { // within a directory that only its owner reads
			return fs.SkipDir
		}
		info, err := entry.Info()
		require.NoError(t, err)
		modes[filepath.Base(path)] = info.Mode().Perm()
		return nil
	}))
	require.Equal(t, map[string]os.FileMode{
		".twtr": 0o700, "log": 0o600, "auth.keys": 0o600, "seal.key": 0o600,
		"twtr.db": 0o600, "twtr.db-wal": 0o600, "twtr.db-shm": 0o600, "twtr.db.migrate": 0o600,
		"temporal.db": 0o600, "temporal.db-wal": 0o600, "temporal.db-shm": 0o600,
		"temporal-visibility.db": 0o600, "temporal-visibility.db-wal": 0o600, "temporal-visibility.db-shm": 0o600,
	}, modes)
	p.stops(t, os.Interrupt)
}

func TestTheWelcomeNamesWhatRuns(t *testing.T) {
	t.Parallel()
	api, _, args := devArgs(t)
	welcome := func() (lines string) {
		p := start(t, t.TempDir(), "dev", nil, args...)
		for {
			line, err := p.stdout.ReadString('\n')
			require.NoError(t, err, p.stderr.String())
			if line == "Try:\n" {
				break
			}
			lines += line
		}
		p.stops(t, os.Interrupt)
		return lines
	}
	want := "\ntwtr is running.\n  API and web page http://" + api + "\n  Temporal Web UI  http://" + args[5] + "\n%s" +
		"  store            sqlite; data, log and secrets are in .twtr/\n\n"
	require.Equal(t, fmt.Sprintf(want, "  NATS             nats://"+args[7]+"\n"), welcome())
	args[7] = "" // none
	require.Equal(t, fmt.Sprintf(want, ""), welcome())
}

func TestATakenPortIsOneLine(t *testing.T) {
	t.Parallel()
	api, temporal, args := devArgs(t)
	ops := freeAddr(t)
	for addr, want := range map[string]string{
		ops:      "dev: ops: " + ops + " is already in use (--ops-addr chooses another)\n",
		api:      "dev: API: " + api + " is already in use (--http-addr chooses another)\n",
		temporal: "dev: Temporal: " + temporal + " is already in use (--temporal-addr chooses another)\n",
		args[5]:  "dev: Temporal Web UI: " + args[5] + " is already in use (--temporal-ui-addr chooses another)\n",
		args[7]:  "dev: NATS: " + args[7] + " is already in use (--nats-addr chooses another)\n",
	} {
		l, err := net.Listen("tcp", addr)
		require.NoError(t, err)
		p := start(t, t.TempDir(), "dev", []string{"TWTR_OPS_ADDR=" + ops}, args...)
		_, err = io.Copy(io.Discard, p.stdout)
		require.NoError(t, err)
		require.Error(t, p.Wait())
		require.Equal(t, want, p.stderr.String())
		require.NoError(t, l.Close())
	}
}

func TestThreeProcessesWorkAsOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	api, temporal, args := devArgs(t)
	server := start(t, dir, "dev", nil, append([]string{"temporal"}, args[2:]...)...)
	server.says(t, "Temporal at "+temporal)
	env := []string{
		"TEMPORAL_ADDRESS=" + temporal, "TWTR_HTTP_ADDR=" + api, "TWTR_SQLITE_PATH=" + filepath.Join(dir, "twtr.db"),
	}
	env = append(env, secretsEnv...)
	received := receiveSpans(t)
	traced := func(service string) []string {
		return append(slices.Clone(env), "OTEL_EXPORTER_OTLP_ENDPOINT="+received.URL, "OTEL_SERVICE_NAME="+service)
	}
	migrate := start(t, dir, "twtr", env, "migrate")
	migrate.says(t, "is up to date")
	require.NoError(t, migrate.Wait())
	processes := []*process{start(t, dir, "twtr", traced("twtr-api"), "api"), start(t, dir, "twtr", traced("twtr-worker"), "worker", "all")}
	s := &stack{t: t, url: "http://" + api, engine: "sqlite", file: filepath.Join(dir, "twtr.db")}
	requireHealthy(t, s.url)
	check := start(t, dir, "twtr", env, "healthcheck", api)
	require.NoError(t, check.Wait())

	s.eventually("a worker is there", func() bool { return s.call("POST", "/users", "", signUpBody("first")).Status == 200 })
	ann, bob := s.signUp("ann"), s.signUp("bob")
	s.follow(bob, "ann")
	posted := s.post(ann, 4, 20)
	s.eventually("all arrive", func() bool { return len(s.feed(bob)) >= 20 })
	require.Equal(t, posted, s.feed(bob))

	s.seedFollowers("ann", manyFollowers)
	content := map[string]string{"content": "to all of you"}
	a := s.callWith("POST", "/tweets", ann, content, map[string]string{"X-Request-Id": "traced"})
	require.Equal(t, 200, a.Status, a.Error)
	require.Equal(t, "traced", a.header.Get("X-Request-Id"))
	var one tweet
	require.NoError(t, json.Unmarshal(a.Data, &one))
	s.eventually("all have it", func() bool { return s.delivery(ann, one.ID).State == "complete" })
	for _, p := range processes {
		p.stops(t, syscall.SIGTERM)
	}
	requireTraceOfADelivery(t, received, "traced")
	for _, secret := range []string{"to all of you", ann, bob, "@example.com", "correct horse"} {
		require.NotContains(t, received.raw.String(), secret)
	}
}

func TestWaitEndsWhenStoreSchemaAndTemporalAreThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, temporal, args := devArgs(t)
	wait := start(t, dir, "twtr", []string{"TEMPORAL_ADDRESS=" + temporal}, "wait", "--timeout", "1m")
	says := func(begin string) {
		line, err := wait.stdout.ReadString('\n')
		require.NoError(t, err, wait.stderr.String())
		require.True(t, strings.HasPrefix(line, begin), line)
	}
	says("waiting for the schema: ")
	migrate := start(t, dir, "twtr", nil, "migrate")
	migrate.says(t, "is up to date")
	require.NoError(t, migrate.Wait())
	says("waiting for Temporal: ")
	server := start(t, dir, "dev", nil, append([]string{"temporal"}, args[2:]...)...)
	server.says(t, "Temporal at "+temporal)
	says("the store, its schema and Temporal are available\n")
	require.NoError(t, wait.Wait())
	server.stops(t, os.Interrupt)
}

func TestAWorkerTellsWhetherItCanWork(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, temporal, args := devArgs(t)
	server := start(t, dir, "dev", nil, append([]string{"temporal"}, args[2:]...)...)
	server.says(t, "Temporal at "+temporal)
	migrate := start(t, dir, "twtr", nil, "migrate")
	migrate.says(t, "is up to date")
	require.NoError(t, migrate.Wait())
	addr := freeAddr(t)
	worker := start(t, dir, "twtr", []string{"TEMPORAL_ADDRESS=" + temporal, "TWTR_OPS_ADDR=" + addr, "TWTR_SEAL_KEY=" + sealKey},
		"worker", "users")
	requireHealthy(t, "http://"+addr)
	get := func(path string) (int, string) {
		response, err := http.Get("http://" + addr + path)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
	requireAnswer := func(path string, code int, want string) {
		t.Helper()
		gotCode, got := get(path)
		require.Equal(t, want, got)
		require.Equal(t, code, gotCode)
	}
	requireAnswer("/healthz", 200, "ok")
	requireAnswer("/readyz", 200, "ready")
	check := start(t, dir, "twtr", []string{"TWTR_OPS_ADDR=" + addr}, "healthcheck")
	require.NoError(t, check.Wait(), check.stderr)
	require.Eventually(t, func() bool {
		code, metrics := get("/metrics")
		return code == 200 && strings.Contains(metrics, "\ntemporal_worker_start") && strings.Contains(metrics, `task_queue="users"`)
	}, time.Minute, 20*time.Millisecond)

	server.stops(t, os.Interrupt)
	requireAnswer("/readyz", 503, "Temporal is unavailable\n")
	requireAnswer("/healthz", 200, "ok")
	worker.stops(t, syscall.SIGTERM)
}
