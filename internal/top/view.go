package top

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/twtr-dev/twtr/internal/inspect"
)

// minWidth is the width that every column fits into.
const minWidth = 80

// view renders snapshots.
type view struct {
	width int
	// style colors the lines.
	style bool
}

var (
	bold   = lipgloss.NewStyle().Bold(true)
	faint  = lipgloss.NewStyle().Faint(true)
	green  = lipgloss.NewStyle().Foreground(lipgloss.Green)
	yellow = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	red    = lipgloss.NewStyle().Foreground(lipgloss.Red)
)

// lines renders a snapshot, each line at most as wide as the view.
func (v view) lines(s Snapshot) []string {
	sections := [][]string{v.header(s), v.deliveries(s), v.failures(s), v.queues(s), v.completed(s)}
	var all []string
	for _, section := range sections {
		if len(section) > 0 && len(all) > 0 {
			all = append(all, "")
		}
		all = append(all, section...)
	}
	for i, line := range all {
		all[i] = ansi.Truncate(line, v.width, "…")
	}
	return all
}

func (v view) paint(style lipgloss.Style, text string) string {
	if !v.style {
		return text
	}
	return style.Render(text)
}

func (v view) header(s Snapshot) []string {
	oldest := ""
	if age := longest(s); age > 0 {
		oldest = ", oldest shown " + duration(age)
	}
	items := 0.0
	for _, d := range s.Deliveries {
		items += max(0, d.Rate)
	}
	lag := "none completed yet"
	if n := len(s.Lags); n > 0 {
		lag = fmt.Sprintf("p50 %s, p95 %s, longest %s, of the newest %d completed",
			duration(s.Lags[n/2]), duration(s.Lags[n*95/100]), duration(s.Lags[n-1]), n)
	}
	lines := []string{
		v.paint(bold, "Deliveries") + fmt.Sprintf("  %s running%s; %s completed/s; %s items/s", number(s.Running), oldest, rate(s.Rate), number(int64(items))),
		v.paint(bold, "Lag") + "         " + lag,
		v.paint(bold, "Others") + fmt.Sprintf("      %s running workflows of other types", number(s.Others)),
	}
	for _, problem := range s.Problems {
		lines = append(lines, v.paint(red, "! "+clean(problem)))
	}
	return lines
}

func longest(s Snapshot) (age time.Duration) {
	for _, d := range s.Deliveries {
		age = max(age, d.Age)
	}
	return age
}

// The widths of the columns of the deliveries, for 80 columns; the bar gets what a wider terminal has more.
const (
	ageWidth    = 6
	authorWidth = 14
	barWidth    = 10
	doneWidth   = 15
	rateWidth   = 7
	maxBar      = 50
)

func (v view) deliveries(s Snapshot) []string {
	if len(s.Deliveries) == 0 {
		return nil
	}
	bar := min(maxBar, barWidth+v.width-minWidth)
	lines := []string{v.paint(faint, fmt.Sprintf("%*s %-*s %-*s %*s %*s %s",
		ageWidth, "AGE", authorWidth, "AUTHOR", bar+5, "PROGRESS", doneWidth, "ITEMS", rateWidth, "ITEMS/S", "STATE"))}
	for _, d := range s.Deliveries {
		total, percent, share := "?", "   ?", 0.0
		if d.Total > 0 {
			total = number(d.Total)
			share = float64(d.Delivered) / float64(d.Total)
			percent = fmt.Sprintf("%3d%%", int(100*share))
		}
		speed := "-"
		if d.Rate >= 0 {
			speed = number(int64(d.Rate))
		}
		full := int(share * float64(bar))
		state := d.State
		if strings.HasPrefix(state, "attempt") || strings.HasPrefix(state, "task") {
			state = v.paint(red, state)
		} else if !strings.HasSuffix(state, "step") && !strings.HasSuffix(state, "steps") {
			state = v.paint(yellow, state)
		}
		lines = append(lines, fmt.Sprintf("%*s %s %s%s %s %*s %*s %s",
			ageWidth, duration(d.Age), cell(d.Author, authorWidth), v.paint(green, strings.Repeat("█", full)), v.paint(faint, strings.Repeat("░", bar-full)), percent,
			doneWidth, number(d.Delivered)+"/"+total, rateWidth, speed, state))
	}
	return lines
}

func (v view) failures(s Snapshot) []string {
	if len(s.Failures) == 0 {
		return nil
	}
	const most = 3
	lines := []string{v.paint(bold, "Failing activities")}
	failures := slices.Clone(s.Failures)
	slices.SortStableFunc(failures, func(a, b inspect.Failure) int { return int(b.Attempt - a.Attempt) })
	for _, f := range failures[:min(most, len(failures))] {
		lines = append(lines, v.paint(red, fmt.Sprintf("%s, attempt %d", clean(f.Activity), f.Attempt))+" of "+clean(f.WorkflowID), "    "+clean(f.Error))
	}
	if more := len(failures) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("    and %d more", more))
	}
	return lines
}

func (v view) queues(s Snapshot) []string {
	if len(s.Queues) == 0 {
		return nil
	}
	lines := []string{v.paint(faint, fmt.Sprintf("%-11s %9s %10s %10s %7s", "TASK QUEUE", "WORKFLOWS", "ACTIVITIES", "OLDEST", "WORKERS"))}
	for _, q := range s.Queues {
		note := ""
		switch {
		case q.Workflows.Pollers == 0 || q.Activities.Pollers == 0:
			note = v.paint(red, "no worker polls it")
		case q.Workflows.Throttled || q.Activities.Throttled:
			note = v.paint(yellow, "rate limited")
		}
		oldest := "-"
		if age := max(q.Workflows.Age, q.Activities.Age); q.Workflows.Backlog+q.Activities.Backlog > 0 {
			oldest = duration(age)
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%-11s %9s %10s %10s %7d  %s",
			q.Name, number(q.Workflows.Backlog), number(q.Activities.Backlog), oldest, max(q.Workflows.Pollers, q.Activities.Pollers), note), " "))
	}
	return lines
}

func (v view) completed(s Snapshot) []string {
	if len(s.Completed) == 0 {
		return nil
	}
	lines := []string{v.paint(faint, fmt.Sprintf("%*s %-*s %*s %8s", ageWidth, "TOOK", authorWidth, "LAST COMPLETED", doneWidth, "ITEMS", "REFUSED"))}
	for _, c := range s.Completed {
		refused := optional(c.Failed)
		if c.Failed > 0 {
			refused = v.paint(red, refused)
		}
		lines = append(lines, fmt.Sprintf("%*s %s %*s %s%s", ageWidth, duration(c.Took), cell(c.Author, authorWidth), doneWidth, optional(c.Delivered),
			strings.Repeat(" ", 8-len(optional(c.Failed))), refused))
	}
	return lines
}

func optional(n int64) string {
	if n < 0 {
		return "?"
	}
	return number(n)
}

// cell is a text in a column: cut, or filled with spaces.
func cell(text string, width int) string {
	text = ansi.Truncate(clean(text), width, "…")
	return text + strings.Repeat(" ", width-ansi.StringWidth(text))
}

// clean replaces what a terminal would not print: an error may have line breaks, and must not have control sequences.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// number writes 999,999 and, from a million on, 1.23M.
func number(n int64) string {
	if n >= 1_000_000 {
		return strconv.FormatFloat(float64(n)/1e6, 'f', 2, 64) + "M"
	}
	text := strconv.FormatInt(n, 10)
	if n >= 1000 {
		text = text[:len(text)-3] + "," + text[len(text)-3:]
	}
	return text
}

func rate(perSecond float64) string {
	if perSecond < 0 {
		return "-"
	}
	return strconv.FormatFloat(perSecond, 'f', 1, 64)
}

// duration writes 0.2s, 14s, 3m20s, 5h12m or 3d4h.
func duration(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}
