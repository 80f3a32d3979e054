package top

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/internal/inspect"
)

// busy is a snapshot in which every part has something.
func busy() Snapshot {
	lags := make([]time.Duration, 100)
	for i := range lags {
		lags[i] = time.Duration(i+1) * 100 * time.Millisecond
	}
	return Snapshot{
		At: time.Date(2026, 11, 26, 12, 45, 7, 0, time.UTC), Running: 12_345, Others: 7, Rate: 12.44, Lags: lags,
		Deliveries: []Delivery{
			{WorkflowID: "post-tweet/1", Author: "the-longest-name", Age: 26 * time.Hour, Delivered: 612_345, Total: 10_000_000, Rate: 41_234, State: "16 steps"},
			{WorkflowID: "post-tweet/2", Author: "bob", Age: 14 * time.Second, Total: 3000, Rate: -1, State: "waits for worker"},
			{WorkflowID: "post-tweet/3", Author: "eve", Age: 200 * time.Second, Delivered: 500, Rate: 0, State: "attempt 12"},
		},
		Queues: []Queue{
			{Name: "tweets", Workflows: QueueKind{Pollers: 2}, Activities: QueueKind{Pollers: 2, Throttled: true}},
			{Name: "feeds", Workflows: QueueKind{Pollers: 1}, Activities: QueueKind{Backlog: 1234, Age: 14 * time.Second}},
		},
		Failures: []inspect.Failure{
			{WorkflowID: "follow/ann/bob", Activity: "StoreFollow", Attempt: 3, Error: "no\nhost \x1b[31mis up"},
			{WorkflowID: "post-tweet/01a21109-4ab8-78c3-96b7-e68f9a4d737e", Activity: "Deliver", Attempt: 12, Error: "cassandra does not answer at 10.0.0.1, 10.0.0.2, 10.0.0.3 within five seconds"},
		},
		Completed: []Completed{{Author: "joe", Took: 1234 * time.Millisecond, Delivered: 1200, Failed: 1}, {Author: "ann", Took: time.Second, Delivered: -1, Failed: -1}},
		Problems:  []string{"store: connecting"},
	}
}

func TestASnapshotFitsInto80Columns(t *testing.T) {
	want := strings.TrimPrefix(`
Deliveries  12,345 running, oldest shown 1d2h; 12.4 completed/s; 41,234 items/s
Lag         p50 5.1s, p95 9.6s, longest 10s, of the newest 100 completed
Others      7 running workflows of other types
! store: connecting

   AGE AUTHOR         PROGRESS                  ITEMS ITEMS/S STATE
  1d2h the-longest-n… ░░░░░░░░░░   6%  612,345/10.00M  41,234 16 steps
   14s bob            ░░░░░░░░░░   0%         0/3,000       - waits for worker
 3m20s eve            ░░░░░░░░░░    ?           500/?       0 attempt 12

Failing activities
Deliver, attempt 12 of post-tweet/01a21109-4ab8-78c3-96b7-e68f9a4d737e
    cassandra does not answer at 10.0.0.1, 10.0.0.2, 10.0.0.3 within five secon…
StoreFollow, attempt 3 of follow/ann/bob
    no host  [31mis up

TASK QUEUE  WORKFLOWS ACTIVITIES     OLDEST WORKERS
tweets              0          0          -       2  rate limited
feeds               0      1,234        14s       1  no worker polls it

  TOOK LAST COMPLETED           ITEMS  REFUSED
  1.2s joe                      1,200        1
  1.0s ann                          ?        ?
`, "\n")
	require.Equal(t, want, strings.Join(view{width: 80}.lines(busy()), "\n")+"\n")
	styled := strings.Join(view{width: 80, style: true}.lines(busy()), "\n") + "\n"
	require.Equal(t, want, ansi.Strip(styled), "colors change nothing else")
	require.NotEqual(t, want, styled)
}

func TestTheProgressBarIsFullWhenAllIsDelivered(t *testing.T) {
	line := view{width: 100}.deliveries(Snapshot{Deliveries: []Delivery{{Delivered: 10, Total: 10}}})[1]
	require.Contains(t, line, " "+strings.Repeat("█", 30)+" 100% ")
}

// screen is what the terminal shows, as lines without colors.
func screen(m model) []string { return strings.Split(ansi.Strip(m.View().Content), "\n") }

// after returns the model after those messages.
func after(m model, messages ...tea.Msg) model {
	for _, msg := range messages {
		next, _ := m.Update(msg)
		m = next.(model)
	}
	return m
}

func press(key string) tea.KeyPressMsg {
	for code, name := range map[rune]string{tea.KeyDown: "down", tea.KeyUp: "up", tea.KeyPgDown: "pgdown", tea.KeyHome: "home"} {
		if name == key {
			return tea.KeyPressMsg{Code: code}
		}
	}
	return tea.KeyPressMsg{Code: rune(key[0]), Text: key}
}

func TestTheScreenHasAsManyLinesAsTheTerminalAndEndsWithTheKeys(t *testing.T) {
	for _, height := range []int{5, 24, 60} {
		m := after(newModel(t.Context(), Options{Title: "Temporal here"}), tea.WindowSizeMsg{Width: 120, Height: height}, taken(busy()))
		lines := screen(m)
		require.Len(t, lines, height)
		require.True(t, strings.HasPrefix(lines[0], "twtr top  12:45:07  "), lines[0])
		require.True(t, strings.HasSuffix(lines[0], "  Temporal here"), lines[0])
		require.Equal(t, "q quit  s newest first  ↑↓ scroll  p pause  from 1 of 12,345", lines[height-1])
	}
}

func TestKeysChooseWhichDeliveriesAreCollected(t *testing.T) {
	m := after(newModel(t.Context(), Options{}), tea.WindowSizeMsg{Width: 80, Height: 31}, taken(busy()))
	require.Equal(t, Request{Limit: 10}, m.request)
	require.Equal(t, Request{Limit: 10, Offset: 11}, after(m, press("down"), press("pgdown")).request)
	require.Equal(t, Request{Limit: 10}, after(m, press("down"), press("up"), press("up")).request)
	require.Equal(t, Request{Limit: 10}, after(m, press("pgdown"), press("home")).request)
	require.Equal(t, Request{Limit: 10, Newest: true}, after(m, press("down"), press("s")).request)
	few := busy()
	few.Running = 3
	require.Equal(t, Request{Limit: 10}, after(m, taken(few), press("pgdown")).request, "all are shown")
	require.Equal(t, MaxDeliveries, after(m, tea.WindowSizeMsg{Width: 80, Height: 300}).request.Limit)
}

func TestPauseKeepsTheScreenAndAsksNothing(t *testing.T) {
	collected := 0
	m := newModel(t.Context(), Options{Collect: func(context.Context, Request) Snapshot {
		collected++
		return busy()
	}})
	m = after(m, m.Init()(), press("p"))
	require.Contains(t, screen(m)[0], " paused")
	require.Equal(t, 1, collected)
	next, _ := m.Update(taken(Snapshot{At: time.Now()}))
	require.Equal(t, screen(m), screen(next.(model)), "also of a snapshot that was on its way")
	require.Equal(t, 1, collected)
	_, command := after(m, press("p")).Update(tick{})
	require.IsType(t, taken{}, command())
	require.Equal(t, 2, collected)
}

func TestQEnds(t *testing.T) {
	_, command := newModel(t.Context(), Options{}).Update(press("q"))
	require.Equal(t, tea.QuitMsg{}, command())
}

func TestPlainOutputIsASnapshotEveryIntervalUntilItIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	o := Options{Title: "Temporal here", Interval: time.Millisecond, Collect: func(context.Context, Request) Snapshot {
		if n++; n > 3 {
			cancel()
		}
		s := busy()
		s.Running = int64(n)
		return s
	}}
	var out strings.Builder
	require.NoError(t, Print(ctx, &out, o, false))
	require.NotContains(t, out.String(), "\x1b")
	for i := range 3 {
		require.Equal(t, min(1, i), strings.Count(out.String(), fmt.Sprintf("Deliveries  %d running", i+1)), "the first one has no rates")
	}
	require.Equal(t, 2, strings.Count(out.String(), "twtr top  2026-11-26 12:45:07  Temporal here\n"))

	n = 0
	out.Reset()
	require.NoError(t, Print(t.Context(), &out, o, true))
	require.Equal(t, 1, strings.Count(out.String(), "twtr top"))
}

// terminal calls shown when the program has taken the whole screen.
type terminal struct {
	strings.Builder
	shown func()
}

func (t *terminal) Write(p []byte) (int, error) {
	n, err := t.Builder.Write(p)
	if strings.Contains(t.String(), ansi.SetModeAltScreenSaveCursor) {
		t.shown()
	}
	return n, err
}

func TestTheTerminalIsLeftAsItWasWhenToldToStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, _, err := os.Pipe()
	require.NoError(t, err)
	defer in.Close()
	out := terminal{shown: cancel}
	require.NoError(t, Run(ctx, in, &out, Options{Interval: time.Hour, Collect: func(context.Context, Request) Snapshot { return busy() }}))
	require.Contains(t, out.String(), ansi.ResetModeAltScreenSaveCursor)
}
