package cmd

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// reloads is a process that applies a settings file's rate.
type reloads struct {
	t    *testing.T
	file string
	logs *lines

	mu   sync.Mutex
	rate int
}

func startReloads(t *testing.T, text string, args ...string) *reloads {
	r := &reloads{t: t, file: filepath.Join(t.TempDir(), "twtr.yaml"), logs: &lines{}}
	r.write(text)
	s, c := parse(t, append(args, "--config", r.file)...)
	r.rate = c.Workers.FeedRowsPerSecond
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		s.reload(ctx, 5*time.Millisecond, slog.New(slog.NewJSONHandler(r.logs, nil)), func(c Config) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.rate = c.Workers.FeedRowsPerSecond
		})
	})
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	return r
}

// write writes the file in place. It is never empty meanwhile, which would be a change of its own.
func (r *reloads) write(text string) {
	r.t.Helper()
	file, err := os.OpenFile(r.file, os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(r.t, err)
	defer file.Close()
	_, err = file.WriteString(text)
	require.NoError(r.t, err)
	require.NoError(r.t, file.Truncate(int64(len(text))))
}

func (r *reloads) requireRate(want int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.now() == want }, 5*time.Second, time.Millisecond)
}

func (r *reloads) now() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rate
}

// requireProblem wants one more line, which says that the file is invalid and why, and the rate as it was.
func (r *reloads) requireProblem(why string, rate int) {
	r.t.Helper()
	line := r.logs.next(r.t)
	require.Equal(r.t, "ERROR", line["level"])
	require.Equal(r.t, "settings file changed but is invalid; keeping the old settings", line["msg"])
	require.Contains(r.t, line["error"], why)
	time.Sleep(50 * time.Millisecond) // for more lines
	require.Empty(r.t, r.logs.rest())
	require.Equal(r.t, rate, r.now())
}

// lines are what is logged.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, string(text))
	return len(text), nil
}

var _ io.Writer = (*lines)(nil)

func (l *lines) rest() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text
}

func (l *lines) next(t *testing.T) (line map[string]any) {
	t.Helper()
	require.Eventually(t, func() bool { return len(l.rest()) > 0 }, 5*time.Second, time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	require.NoError(t, json.Unmarshal([]byte(l.text[0]), &line))
	l.text = l.text[1:]
	return line
}

func TestTheRateIsAppliedHoweverTheSettingsFileIsWritten(t *testing.T) {
	r := startReloads(t, "feed.rows_per_second: 2000\n")
	require.Equal(t, 2000, r.now())
	r.write("feed:\n  rows_per_second: 500\n")
	r.requireRate(500)
	line := r.logs.next(t)
	delete(line, "time")
	require.Equal(t, map[string]any{"level": "INFO", "msg": "setting changed", "setting": "feed.rows_per_second", "value": "500"}, line)

	// Removed, and written again.
	require.NoError(t, os.Remove(r.file))
	r.requireProblem("no such file", 500)
	r.write("feed.rows_per_second: 600\n")
	r.requireRate(600)
	r.logs.next(t)

	// Renamed over it, as editors do.
	other := r.file + "~"
	require.NoError(t, os.WriteFile(other, []byte("feed.rows_per_second: 700\n"), 0o600))
	require.NoError(t, os.Rename(other, r.file))
	r.requireRate(700)
	r.logs.next(t)

	// A symbolic link that is switched, as Kubernetes does.
	for _, rate := range []string{"800", "900"} {
		target := filepath.Join(filepath.Dir(r.file), rate)
		require.NoError(t, os.WriteFile(target, []byte("feed.rows_per_second: "+rate+"\n"), 0o600))
		require.NoError(t, os.Symlink(target, other))
		require.NoError(t, os.Rename(other, r.file))
	}
	r.requireRate(900)
}

func TestAnInvalidSettingsFileKeepsTheRateAndIsReportedOnce(t *testing.T) {
	r := startReloads(t, "feed.rows_per_second: 2000\n")
	for text, why := range map[string]string{
		"":                             "is empty",
		"\n":                           "is empty",
		"feed: [\n":                    "yaml",
		"feed.rows_per_seconds: 500\n": `there is no setting "feed.rows_per_seconds"`,
		"feed.rows_per_second: many\n": "feed.rows_per_second must be a whole number of at least 0",
		"feed.rows_per_second: 500\nlog.level: loud\n": "log.level must be",
	} {
		r.write(text)
		r.requireProblem(why, 2000)
		r.write("feed.rows_per_second: 2000\n")
		require.Equal(t, "settings file changed; no setting in force differs", r.logs.next(t)["msg"])
	}
	r.write("feed.rows_per_second: 500\n")
	r.requireRate(500)
}

func TestASettingsFileThatIsBeingWrittenIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reloads{t: t, file: filepath.Join(t.TempDir(), "twtr.yaml")}
		r.write("feed.rows_per_second: 2000\n")
		ctx, cancel := context.WithCancel(t.Context())
		var taken []string
		var done sync.WaitGroup
		done.Go(func() {
			watchFile(ctx, r.file, []byte("feed.rows_per_second: 2000\n"), time.Second, func(content []byte, err error) {
				taken = append(taken, string(content))
			})
		})
		time.Sleep(500 * time.Millisecond) // between two looks
		for _, text := range []string{"", "feed.rows_per_second: 5", "feed.rows_per_second: 500\n"} {
			r.write(text)
			time.Sleep(time.Second)
		}
		time.Sleep(3 * time.Second)
		cancel()
		done.Wait()
		require.Equal(t, []string{"feed.rows_per_second: 500\n"}, taken)
	})
}

func TestAChangeOfAnotherSettingIsNamedWithoutItsValue(t *testing.T) {
	secret := strings.Repeat("s", 32)
	r := startReloads(t, "feed.rows_per_second: 2000\n")
	r.write("feed.rows_per_second: 2000\nseal.key: " + secret + "\n")
	line := r.logs.next(t)
	delete(line, "time")
	require.Equal(t, map[string]any{"level": "WARN", "msg": "setting changed; restart to apply it", "setting": "seal.key"}, line)
	require.Equal(t, 2000, r.now())
}

func TestAFlagWinsOverAChangedSettingsFile(t *testing.T) {
	r := startReloads(t, "feed.rows_per_second: 2000\n", "--feed-rows-per-second", "10")
	require.Equal(t, 10, r.now())
	r.write("feed.rows_per_second: 500\n")
	require.Equal(t, "settings file changed; no setting in force differs", r.logs.next(t)["msg"])
	require.Equal(t, 10, r.now())
}
