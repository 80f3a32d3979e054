package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/bench/measure"
	"github.com/twtr-dev/twtr/dev/internal/freeaddr"
)

// system is a running dev program: API, workers and Temporal in one process, with an empty store.
type system struct {
	ctx      context.Context
	api      *measure.API
	cql      *gocql.Session
	temporal client.Client
	pid      int
	posted   atomic.Int64 // tweets that were posted
	failed   atomic.Int64 // requests of loads that were answered with an error
}

const (
	startTimeout = time.Minute
	// stopTimeout bounds a normal end; after it the program is killed.
	stopTimeout = 30 * time.Second
)

// withSystem starts a program in a new directory and with a new keyspace, calls do, and ends and removes all of it.
func withSystem(ctx context.Context, program, cassandra string, do func(*system) error) (err error) {
	program, err = filepath.Abs(program)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "twtr-compare")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	keyspace := "twtr_compare_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	admin, err := session(cassandra, "")
	if err != nil {
		return fmt.Errorf("cassandra at %s: %w", cassandra, err)
	}
	defer admin.Close()
	defer func() { err = errors.Join(err, admin.Query("DROP KEYSPACE IF EXISTS "+keyspace).Exec()) }()

	var addrs [3]string
	for i := range addrs {
		if addrs[i], err = freeaddr.Find(ctx); err != nil {
			return err
		}
	}
	http, temporal, ui := addrs[0], addrs[1], addrs[2]
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	// Settings go by environment: secrets may not be flags.
	process := exec.CommandContext(run, program, "--temporal-addr", temporal, "--temporal-ui-addr", ui)
	process.Dir = dir
	process.Env = append(os.Environ(),
		"TWTR_STORE=cassandra", "TWTR_CASSANDRA_HOSTS="+cassandra, "TWTR_CASSANDRA_KEYSPACE="+keyspace, "TWTR_HTTP_ADDR="+http,
		"TWTR_AUTH_KEYS="+measure.AuthKeys, "TWTR_SEAL_KEY="+measure.SealKey, "TWTR_LOG_LEVEL=warn")
	process.Cancel = func() error { return process.Process.Signal(os.Interrupt) }
	process.WaitDelay = stopTimeout
	var output bytes.Buffer
	process.Stdout, process.Stderr = &output, &output
	if err := process.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait(); cancel() }()
	defer func() {
		cancel()
		<-ended //nolint:errcheck // it was told to end
		if err != nil && ctx.Err() == nil {
			logs, _ := os.ReadFile(filepath.Join(dir, ".twtr", "log")) // best effort: the error says what failed
			err = fmt.Errorf("%w\noutput:\n%s\nend of the log:\n%s", err, output.Bytes(), logs[max(0, len(logs)-2000):])
		}
	}()

	s := &system{ctx: run, pid: process.Process.Pid, api: measure.NewAPI("http://" + http)}
	defer s.api.Close()
	if err := s.awaitStart(); err != nil {
		return err
	}
	if s.cql, err = session(cassandra, keyspace); err != nil {
		return err
	}
	defer s.cql.Close()
	quiet := sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	if s.temporal, err = client.DialContext(run, client.Options{HostPort: temporal, Logger: quiet}); err != nil {
		return err
	}
	defer s.temporal.Close()
	return do(s)
}

func session(host, keyspace string) (*gocql.Session, error) {
	cluster := gocql.NewCluster(host)
	cluster.Keyspace = keyspace
	cluster.Consistency = gocql.LocalQuorum
	cluster.WriteCoalesceWaitTime = 0
	cluster.Timeout = 30 * time.Second
	cluster.Logger = nothing{}
	return cluster.CreateSession()
}

// nothing drops the log of the Cassandra driver.
type nothing struct{}

func (nothing) Print(...any)          {}
func (nothing) Printf(string, ...any) {}
func (nothing) Println(...any)        {}

func (s *system) awaitStart() error {
	for end := time.Now().Add(startTimeout); ; {
		err := s.api.Call(s.ctx, http.MethodGet, "/healthz", "", "", nil)
		if err == nil {
			return nil
		}
		if s.ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("the program does not start: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// signUp writes rows of users. Their passwords are never checked, so they need no hash.
func (s *system) signUp(n int, name func(int) string) error {
	return measure.Each(64, n, func(i int) error {
		return s.cql.Query("INSERT INTO users (username, email, display_name, password_hash, created_at) VALUES (?, ?, ?, ?, ?)",
			name(i), "a@example.com", "A", "-", time.Now()).WithContext(s.ctx).Exec()
	})
}

// follow lets the readers 0 to n-1 follow a user, without counting them.
func (s *system) follow(n int, followee string) error {
	at := time.Now().UnixMicro()
	return measure.Each(64, n, func(i int) error {
		err := s.cql.Query("INSERT INTO followers (username, bucket, follower) VALUES (?, ?, ?) USING TIMESTAMP ?",
			followee, twtr.FollowerBucket(reader(i)), reader(i), at).WithContext(s.ctx).Exec()
		if err != nil {
			return err
		}
		return s.cql.Query("INSERT INTO followings (username, followee, followed_at) VALUES (?, ?, ?) USING TIMESTAMP ?",
			reader(i), followee, at, at).WithContext(s.ctx).Exec()
	})
}

// cpuTime is the CPU time that the program has used, its Temporal included and Cassandra not. Other processes on the machine
// change it much less than they change a rate.
func (s *system) cpuTime() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		return 0 // the program has ended, and the next call to it fails
	}
	_, fields, _ := strings.Cut(string(stat), ") ") // the name before may contain spaces
	var state string
	var skipped [10]int
	var user, system int64 // in 1/100 s
	into := []any{&state}
	for i := range skipped {
		into = append(into, &skipped[i])
	}
	if _, err := fmt.Sscan(fields, append(into, &user, &system)...); err != nil {
		return 0
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

func reader(i int) string { return fmt.Sprintf("r%d", i) }

// drain waits until the workflows of all tweets posted so far have closed. Visibility records are written after what they are
// about: that no workflow is listed as running is not enough.
func (s *system) drain() error {
	return measure.Await(s.ctx, fmt.Sprintf("the workflows of %d tweets have closed", s.posted.Load()), func() (bool, error) {
		closed, err := measure.Count(s.ctx, s.temporal, "WorkflowType = 'PostTweet' AND ExecutionStatus = 'Completed'")
		if err != nil || closed < s.posted.Load() {
			return false, err
		}
		running, err := measure.Count(s.ctx, s.temporal, "WorkflowType = 'PostTweet' AND ExecutionStatus = 'Running'")
		s.posted.Store(closed) // more, if a POST failed after its workflow had started
		return running == 0, err
	})
}

// tolerate makes a failed request one that is not counted, unless the program has ended: one that is busy may answer 503.
func (s *system) tolerate(err error) error {
	if err == nil || s.ctx.Err() != nil {
		return err
	}
	if s.failed.Add(1) == 1 {
		fmt.Fprintf(os.Stderr, "  the first failed request: %v\n", err)
	}
	return measure.ErrFailed
}
