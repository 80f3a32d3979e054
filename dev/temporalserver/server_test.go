package temporalserver

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.temporal.io/server/common/log/tag"

	"github.com/twtr-dev/twtr/dev/internal/freeaddr"
)

const namespace = "twtr"

func TestStartRunsAWorkflowWithAnActivity(t *testing.T) {
	s := start(t, Options{})
	c := dial(t, s)
	work(t, c)

	require.Equal(t, "hello bird", greet(t, c, "greet/bird"))
}

func TestStartOnTheSameFileFindsEverything(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a name with % and ?.db")
	require.NoError(t, os.WriteFile(file, nil, 0o600), "a start that is killed early may leave an empty file")

	s := start(t, Options{File: file})
	c := dial(t, s)
	stopWork := work(t, c)
	greet(t, c, "greet/bird")
	stopWork()
	_, err := c.ExecuteWorkflow(t.Context(), options("greet/later"), greetWorkflow, "later")
	require.NoError(t, err)
	s.Stop()

	s = start(t, Options{File: file})
	c = dial(t, s)
	var greeting string
	require.NoError(t, c.GetWorkflow(t.Context(), "greet/bird", "").Get(t.Context(), &greeting))
	require.Equal(t, "hello bird", greeting)
	require.Equal(t, 1, count(t, c, `WorkflowId = 'greet/bird'`))
	work(t, c)
	require.NoError(t, c.GetWorkflow(t.Context(), "greet/later", "").Get(t.Context(), &greeting), "an open workflow continues")
	require.Equal(t, "hello later", greeting)
}

func TestBothFilesArePrivateAndInWALMode(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "temporal.db")
	require.NoError(t, os.WriteFile(file, nil, 0o644), "as older versions created it")
	c := dial(t, start(t, Options{File: file}))
	_, err := c.ExecuteWorkflow(t.Context(), options("wait"), waitWorkflow)
	require.NoError(t, err)
	require.Equal(t, 1, count(t, c, ""))
	for _, name := range []string{file, filepath.Join(dir, "temporal-visibility.db")} {
		header, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, []byte{2, 2}, header[18:20], "the header's write and read version: 2 is WAL")
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 6, "two files with their -wal and -shm")
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode(), f.Name())
	}
}

// TestAFileOfAnOlderVersionKeepsItsWorkflows starts on a file without the second one.
func TestAFileOfAnOlderVersionKeepsItsWorkflows(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "temporal.db")
	s := start(t, Options{File: file})
	c := dial(t, s)
	stopWork := work(t, c)
	greet(t, c, "greet/bird")
	stopWork()
	_, err := c.ExecuteWorkflow(t.Context(), options("greet/later"), greetWorkflow, "later")
	require.NoError(t, err)
	require.Equal(t, 1, count(t, c, `WorkflowId = 'greet/later'`))
	s.Stop()
	require.Zero(t, visibilityRecords(t, file))
	require.Equal(t, 2, visibilityRecords(t, filepath.Join(dir, "temporal-visibility.db")))

	moved := filepath.Join(dir, "moved.db") // the process keeps the connections to temporal.db open, see Options.File
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(file + suffix)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(moved+suffix, content, 0o600))
	}
	s = start(t, Options{File: moved})
	c = dial(t, s)
	work(t, c)
	var greeting string
	require.NoError(t, c.GetWorkflow(t.Context(), "greet/bird", "").Get(t.Context(), &greeting))
	require.NoError(t, c.GetWorkflow(t.Context(), "greet/later", "").Get(t.Context(), &greeting))
	require.Equal(t, 1, count(t, c, `WorkflowId = 'greet/later'`), "listed again when it closes")
}

func visibilityRecords(t *testing.T, file string) int {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	require.NoError(t, err)
	defer db.Close()
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM executions_visibility`).Scan(&n))
	return n
}

func TestDynamicConfigReplacesDefaults(t *testing.T) {
	c := dial(t, start(t, Options{DynamicConfig: map[string]any{"history.maxTotalUpdates": 1}}))
	_, err := c.ExecuteWorkflow(t.Context(), options("wait"), waitWorkflow)
	require.NoError(t, err)
	work(t, c)
	update := func() error {
		u, err := c.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
			WorkflowID: "wait", UpdateName: "nothing", WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if err == nil {
			err = u.Get(t.Context(), nil)
		}
		return err
	}
	require.NoError(t, update())
	require.ErrorContains(t, update(), "limit on the total number of distinct updates")
}

func TestTwoServersRunAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	one := start(t, Options{File: filepath.Join(dir, "one.db")})
	two := start(t, Options{File: filepath.Join(dir, "two.db")})
	c1, c2 := dial(t, one), dial(t, two)
	work(t, c1)
	work(t, c2)
	require.Equal(t, "hello bird", greet(t, c1, "greet/bird"))
	require.Zero(t, count(t, c2, ""))
	one.Stop()
	require.Equal(t, "hello bird", greet(t, c2, "greet/bird"), "continues without the other")
}

func TestStopReturnsThoughClientsWait(t *testing.T) {
	s := start(t, Options{UIAddr: freeAddr(t)})
	c := dial(t, s)
	work(t, c) // its pollers wait a minute
	run, err := c.ExecuteWorkflow(t.Context(), options("wait"), waitWorkflow)
	require.NoError(t, err)
	waited := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { waited <- run.Get(ctx, nil) }()
	time.Sleep(200 * time.Millisecond)

	began := time.Now()
	s.Stop()
	require.Less(t, time.Since(began), 5*time.Second)
	s.Stop()
	cancel()
	require.Error(t, <-waited)
	l, err := net.Listen("tcp", s.Addr())
	require.NoError(t, err, "the port is free again")
	require.NoError(t, l.Close())
}

func TestTheUIShowsTheNamespace(t *testing.T) {
	ui := freeAddr(t)
	s := start(t, Options{UIAddr: ui})
	c := dial(t, s)
	work(t, c)
	greet(t, c, "greet/bird")
	require.Equal(t, 1, count(t, c, `WorkflowId = 'greet/bird'`))

	status, contentType, body := get(t, "http://"+ui+"/")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, contentType, "text/html")
	require.Contains(t, body, "<html")

	status, _, body = get(t, "http://"+ui+"/api/v1/namespaces/"+namespace+"/workflows")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"greet/bird"`)

	status, _, body = get(t, "http://"+ui+"/api/v1/settings")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"DisableNewsFetch":true`)
	require.Contains(t, body, `"NotifyOnNewVersion":false`)

	s.Stop()
	_, err := net.DialTimeout("tcp", ui, time.Second)
	require.Error(t, err)
}

func TestATakenPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	taken := l.Addr().String()

	_, err = Start(t.Context(), Options{Addr: taken})
	require.EqualError(t, err, "Temporal: "+taken+" is already in use")
	_, err = Start(t.Context(), Options{Addr: "127.0.0.1:0", UIAddr: taken})
	require.EqualError(t, err, "Temporal Web UI: "+taken+" is already in use")
}

func TestAPortTakenAtTheLastMomentIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	taken, free := l.Addr().(*net.TCPAddr), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	dbs, err := openDatabases(t.Context(), "", namespace)
	require.NoError(t, err)

	s := &Server{log: newLogger(nil, nil)}
	err = s.startTemporal(serverOptions(taken, [len(innerServices)]*net.TCPAddr{free, free, free}, dbs, dynamicConfig, s.log, nil))
	require.ErrorContains(t, err, taken.String()+": bind: address already in use")
}

func TestStartStopsWhenItsContextIsDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, Options{Addr: "127.0.0.1:0", File: filepath.Join(t.TempDir(), "temporal.db")})
	require.ErrorIs(t, err, context.Canceled)
}

func TestOnlyWarningsAreLoggedUnlessAskedFor(t *testing.T) {
	var all, warnings written
	start(t, Options{Logger: slog.New(slog.NewTextHandler(&all, nil)), LogLevel: slog.LevelInfo}).Stop()
	start(t, Options{Logger: slog.New(slog.NewTextHandler(&warnings, nil))}).Stop()
	require.Contains(t, all.String(), "level=INFO")
	require.Empty(t, warnings.String(), "a start logs no warnings")
}

func TestAShardThatIsStillBeingAcquiredIsNoErrorInTheLog(t *testing.T) {
	var out written
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)), nil)
	l.Error("Queue reader unable to retrieve tasks", tag.Error(errors.New("shard status unknown")))
	require.Empty(t, out.String())
	l.Error("Queue reader unable to retrieve tasks", tag.Error(errors.New("disk I/O error")))
	require.Contains(t, out.String(), "disk I/O error")
}

func TestASearchAttributeIsAddedAtRunTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "temporal.db")
	s := start(t, Options{File: file})
	c := dial(t, s)
	add := &operatorservice.AddSearchAttributesRequest{
		Namespace:        namespace,
		SearchAttributes: map[string]enums.IndexedValueType{"TwtrAuthor": enums.INDEXED_VALUE_TYPE_KEYWORD},
	}
	_, err := c.OperatorService().AddSearchAttributes(t.Context(), add)
	require.NoError(t, err)
	_, err = c.OperatorService().AddSearchAttributes(t.Context(), add)
	require.NoError(t, err, "adding one that exists is no error")

	// The services see it when they next read the namespace.
	author := temporal.NewSearchAttributeKeyKeyword("TwtrAuthor")
	o := options("wait")
	o.TypedSearchAttributes = temporal.NewSearchAttributes(author.ValueSet("bird"))
	began := time.Now()
	require.Eventually(t, func() bool {
		_, err = c.ExecuteWorkflow(t.Context(), o, waitWorkflow)
		return err == nil
	}, 10*time.Second, 50*time.Millisecond, "%v", err)
	t.Logf("usable after %v", time.Since(began))
	require.Equal(t, 1, count(t, c, `TwtrAuthor = 'bird'`))
	s.Stop()

	c = dial(t, start(t, Options{File: file}))
	require.Equal(t, 1, count(t, c, `TwtrAuthor = 'bird'`))
}

func TestTheNamespaceKeepsClosedWorkflowsForAWeek(t *testing.T) {
	c := dial(t, start(t, Options{}))
	ns, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	require.NoError(t, err)
	require.Equal(t, 7*24*time.Hour, ns.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration())
}

func greetWorkflow(ctx workflow.Context, who string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	var greeting string
	err := workflow.ExecuteActivity(ctx, hello, who).Get(ctx, &greeting)
	return greeting, err
}

func waitWorkflow(ctx workflow.Context) error {
	err := workflow.SetUpdateHandler(ctx, "nothing", func(workflow.Context) error { return nil })
	if err != nil {
		return err
	}
	return workflow.Sleep(ctx, time.Hour)
}

func hello(_ context.Context, who string) (string, error) { return "hello " + who, nil }

func start(t *testing.T, o Options) *Server {
	t.Helper()
	o.Addr = "127.0.0.1:0"
	o.Namespace = namespace
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	began := time.Now()
	s, err := Start(t.Context(), o)
	require.NoError(t, err)
	t.Logf("started in %v", time.Since(began))
	t.Cleanup(func() {
		began := time.Now()
		s.Stop()
		t.Logf("stopped in %v", time.Since(began))
	})
	return s
}

func dial(t *testing.T, s *Server) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: s.Addr(), Namespace: namespace, Logger: quiet()})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func work(t *testing.T, c client.Client) (stop func()) {
	t.Helper()
	w := worker.New(c, "test", worker.Options{WorkerStopTimeout: time.Second})
	w.RegisterWorkflow(greetWorkflow)
	w.RegisterWorkflow(waitWorkflow)
	w.RegisterActivity(hello)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	return w.Stop
}

func options(id string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: id, TaskQueue: "test"}
}

func greet(t *testing.T, c client.Client, id string) string {
	t.Helper()
	run, err := c.ExecuteWorkflow(t.Context(), options(id), greetWorkflow, strings.TrimPrefix(id, "greet/"))
	require.NoError(t, err)
	var greeting string
	require.NoError(t, run.Get(t.Context(), &greeting))
	return greeting
}

// count waits until a query that should match does: visibility records are written after what they are about.
func count(t *testing.T, c client.Client, query string) int {
	t.Helper()
	var n int64
	for range 50 {
		answer, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: query})
		require.NoError(t, err)
		if n = answer.GetCount(); n > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return int(n)
}

func get(t *testing.T, url string) (status int, contentType, body string) {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, answer.Header.Get("Content-Type"), string(all)
}

func freeAddr(t *testing.T) string {
	addr, err := freeaddr.Find(t.Context())
	require.NoError(t, err)
	return addr
}

// written is what a logger wrote, from any goroutine.
type written struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func quiet() sdklog.Logger { return sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)) }
