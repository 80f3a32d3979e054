package top

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// Options say how to show the system.
type Options struct {
	Title    string // where it is
	Interval time.Duration
	Collect  func(context.Context, Request) Snapshot
}

// plainDeliveries is how many deliveries the plain output has.
const plainDeliveries = 20

// Print writes a snapshot as plain lines at every interval, until ctx ends; one if once is set. The first one follows after an
// interval, because rates need two.
func Print(ctx context.Context, out io.Writer, o Options, once bool) error {
	request := Request{Limit: plainDeliveries}
	o.collect(ctx, request)
	for {
		select {
		case <-time.After(o.Interval):
		case <-ctx.Done():
			return nil
		}
		s := o.collect(ctx, request)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // told to stop
		}
		lines := append([]string{"twtr top  " + s.At.Format(time.DateTime) + "  " + o.Title}, view{width: minWidth}.lines(s)...)
		if _, err := fmt.Fprintln(out, strings.Join(lines, "\n")); err != nil || once {
			return err
		}
		fmt.Fprintln(out)
	}
}

// Run shows the system on a terminal until a key or ctx ends it.
func Run(ctx context.Context, in io.Reader, out io.Writer, o Options) error {
	program := tea.NewProgram(newModel(ctx, o), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler())
	stop := context.AfterFunc(ctx, program.Quit) // one whose own context ends leaves a goroutine that reads in
	defer stop()
	_, err := program.Run()
	return err
}

// collectTimeout bounds how long a snapshot takes. What is unavailable is then shown as such.
const collectTimeout = 5 * time.Second

func (o Options) collect(ctx context.Context, r Request) Snapshot {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	return o.Collect(ctx, r)
}

// model is what the terminal shows. One snapshot is taken at a time.
type model struct {
	ctx     context.Context // of the program, for the snapshots
	options Options

	width, height int
	snapshot      Snapshot
	request       Request
	paused        bool
}

func newModel(ctx context.Context, o Options) model {
	return model{ctx: ctx, options: o, width: minWidth, height: 24, request: Request{Limit: rows(24)}}
}

type (
	// taken is a snapshot that has been taken.
	taken Snapshot
	// tick says that an interval is over.
	tick struct{}
)

// take takes a snapshot.
func (m model) take() tea.Msg { return taken(m.options.collect(m.ctx, m.request)) }

// Init implements [tea.Model].
func (m model) Init() tea.Cmd { return m.take }

// Update implements [tea.Model].
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = max(minWidth, msg.Width), msg.Height
		m.request.Limit = rows(m.height)
	case taken:
		if !m.paused {
			m.snapshot = Snapshot(msg)
		}
		return m, tea.Tick(m.options.Interval, func(time.Time) tea.Msg { return tick{} })
	case tick:
		if m.paused {
			return m, tea.Tick(m.options.Interval, func(time.Time) tea.Msg { return tick{} })
		}
		return m, m.take
	case tea.KeyPressMsg:
		return m.press(msg.String())
	}
	return m, nil
}

// press handles a key. What it changes shows with the next snapshot.
func (m model) press(key string) (tea.Model, tea.Cmd) {
	page := m.request.Limit
	switch key {
	case "q", "esc", "ctrl+c":
		return m, tea.Quit
	case "p", "space":
		m.paused = !m.paused
	case "s":
		m.request.Newest, m.request.Offset = !m.request.Newest, 0
	case "down", "j":
		m.scroll(1)
	case "up", "k":
		m.scroll(-1)
	case "pgdown":
		m.scroll(page)
	case "pgup":
		m.scroll(-page)
	case "home", "g":
		m.request.Offset = 0
	}
	return m, nil
}

func (m *model) scroll(by int) {
	last := max(0, int(m.snapshot.Running)-m.request.Limit)
	m.request.Offset = min(last, max(0, m.request.Offset+by))
}

// rows is how many deliveries a terminal of that height has room for, next to the header, the task queues and the longest list of
// failing activities.
func rows(height int) int { return min(MaxDeliveries, max(3, height-21)) }

// View implements [tea.Model].
func (m model) View() tea.View {
	v := view{width: m.width, style: true}
	lines := v.lines(m.snapshot)
	if m.snapshot.At.IsZero() {
		lines = []string{"…"}
	}
	lines = append([]string{v.title(m)}, lines...)
	lines = lines[:min(len(lines), max(1, m.height-1))]
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, v.paint(faint, m.help()))
	screen := tea.NewView(strings.Join(lines, "\n"))
	screen.AltScreen = true
	screen.WindowTitle = "twtr top"
	return screen
}

func (v view) title(m model) string {
	at := m.snapshot.At.Format(time.TimeOnly)
	if m.paused {
		at += " paused"
	}
	left := "twtr top  " + at
	return v.paint(bold, left) + strings.Repeat(" ", max(1, v.width-len(left)-len(m.options.Title))) + v.paint(faint, m.options.Title)
}

func (m model) help() string {
	order := "newest"
	if m.request.Newest {
		order = "oldest"
	}
	position := ""
	if n := len(m.snapshot.Deliveries); n > 0 && m.snapshot.Running > int64(n) {
		position = fmt.Sprintf("  from %d of %s", m.request.Offset+1, number(m.snapshot.Running))
	}
	return fmt.Sprintf("q quit  s %s first  ↑↓ scroll  p pause%s", order, position)
}
