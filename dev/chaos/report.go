//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/twtr-dev/twtr/dev/chaos/history"
)

// report tells what clients noticed of the faults.
type report struct {
	ops      []history.Op
	struck   []struck
	delivery []progress
}

// newReport leaves out what was no call: the follows of those who have no account.
func newReport(ops []history.Op, struck []struck, delivery []progress) report {
	calls := slices.DeleteFunc(slices.Clone(ops), func(op history.Op) bool { return op.Call == op.Return })
	return report{calls, struck, delivery}
}

// columns are the kinds of calls that the table has a column for.
var columns = []struct {
	name  string
	kinds []history.Kind
}{
	{"sign-up", []history.Kind{history.SignUp}},
	{"log-in, refresh", []history.Kind{history.LogIn, history.Refresh}},
	{"post", []history.Kind{history.Post}},
	{"delete", []history.Kind{history.Delete}},
	{"follow, unfollow", []history.Kind{history.Follow, history.Unfollow}},
	{"read", []history.Kind{history.Feed, history.Tweets, history.Edge, history.Profile}},
}

// answered tells if the API did what it was asked to: a refusal that is the client's fault is an answer, too.
func answered(op history.Op) bool { return op.Outcome != history.Unknown }

// successes are the times of the answers to those kinds of calls, in order.
func (r report) successes(kinds []history.Kind) (times []time.Duration) {
	for _, op := range r.ops {
		if answered(op) && slices.Contains(kinds, op.Kind) {
			times = append(times, op.Return)
		}
	}
	slices.Sort(times)
	return times
}

// table prints a row for each kind of fault: how often it struck, the longest time without an answer other than an error for each kind of
// call, and the longest time from the healing until each kind of call had one.
func (r report) table(out io.Writer) {
	byColumn := make([][]time.Duration, len(columns))
	fmt.Fprint(out, "| fault | times |")
	for i, c := range columns {
		byColumn[i] = r.successes(c.kinds)
		fmt.Fprintf(out, " %s |", c.name)
	}
	fmt.Fprintf(out, " recovered |\n|---|---|%s---|\n", strings.Repeat("---|", len(columns)))
	names := map[string][]struck{}
	for _, s := range r.struck {
		names[s.name] = append(names[s.name], s)
	}
	for _, name := range sorted(names) {
		fmt.Fprintf(out, "| %s | %d |", name, len(names[name]))
		var recovered time.Duration
		for _, times := range byColumn {
			var longest time.Duration
			for _, s := range names[name] {
				gap, after := outage(times, s)
				longest, recovered = max(longest, gap), max(recovered, after)
			}
			fmt.Fprintf(out, " %.1f |", longest.Seconds())
		}
		fmt.Fprintf(out, " %.1f |\n", recovered.Seconds())
	}
}

func sorted[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// outage returns the longest time between two successes of which a part was during the fault, and the time from the healing to the first
// success after it; 0 if there was none. Without a success after the fault the first time ends with it.
func outage(times []time.Duration, s struck) (gap, recovered time.Duration) {
	i, _ := slices.BinarySearch(times, s.began)
	for ; i < len(times); i++ {
		if i > 0 {
			gap = max(gap, times[i]-times[i-1])
		}
		if times[i] >= s.ended {
			return gap, times[i] - s.ended
		}
	}
	if len(times) > 0 {
		gap = max(gap, s.ended-times[len(times)-1])
	}
	return gap, 0
}

// slowest returns the slowest answer of each column that was no time-out of the client.
func (r report) slowest() string {
	var parts []string
	for _, c := range columns {
		var slowest history.Op
		for _, op := range r.ops {
			if op.Code != 0 && slices.Contains(c.kinds, op.Kind) && op.Return-op.Call > slowest.Return-slowest.Call {
				slowest = op
			}
		}
		parts = append(parts, fmt.Sprintf("%s %.1f s (%d)", c.name, (slowest.Return-slowest.Call).Seconds(), slowest.Code))
	}
	return "slowest answers: " + strings.Join(parts, ", ")
}

// plot draws the calls per second, the deliveries, and the faults, one below the other.
func (r report) plot(out io.Writer) error {
	if len(r.ops) == 0 {
		return nil
	}
	calls, deliveries, faults := plot.New(), plot.New(), plot.New()
	end := r.ops[len(r.ops)-1].Return
	for _, err := range []error{r.plotCalls(calls, end), r.plotDeliveries(deliveries), r.plotFaults(faults)} {
		if err != nil {
			return err
		}
	}
	faults.X.Label.Text = "seconds"
	for _, p := range []*plot.Plot{calls, deliveries, faults} {
		p.X.Min, p.X.Max = 0, end.Seconds()
	}
	const width, height = 30 * vg.Centimeter, 6 * vg.Centimeter
	canvas := vgsvg.New(width, 3*height)
	tiles := plot.Align([][]*plot.Plot{{calls}, {deliveries}, {faults}}, draw.Tiles{Rows: 3, Cols: 1}, draw.New(canvas))
	for i, p := range []*plot.Plot{calls, deliveries, faults} {
		p.Draw(tiles[i][0])
	}
	_, err := canvas.WriteTo(out)
	return err
}

func (r report) plotCalls(p *plot.Plot, end time.Duration) error {
	p.Y.Label.Text, p.Y.Min, p.Legend.Top = "calls per second", 0, true
	for i, outcome := range []struct {
		name string
		is   bool
	}{{"answered", true}, {"503, or no answer", false}} {
		points := make(plotter.XYs, int(end.Seconds())+1)
		for x := range points {
			points[x].X = float64(x)
		}
		for _, op := range r.ops {
			if answered(op) == outcome.is {
				points[min(len(points)-1, int(op.Return.Seconds()))].Y++
			}
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return err
		}
		line.Color = plotutil.Color(1 - i)
		p.Add(line)
		p.Legend.Add(outcome.name, line)
	}
	return nil
}

func (r report) plotDeliveries(p *plot.Plot) error {
	p.Y.Label.Text, p.Y.Min = "feeds with the newest tweet", 0
	var points plotter.XYs
	for _, d := range r.delivery {
		points = append(points, plotter.XY{X: d.at.Seconds(), Y: float64(d.feeds)})
	}
	if len(points) == 0 {
		return nil
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	p.Add(line)
	return nil
}

// plotFaults draws a row for each kind of fault that struck.
func (r report) plotFaults(p *plot.Plot) error {
	var names []string
	for _, s := range r.struck {
		if !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(b, a) })
	var ticks plot.ConstantTicks
	for y, name := range names {
		ticks = append(ticks, plot.Tick{Value: float64(y), Label: name})
		for _, s := range r.struck {
			if s.name != name {
				continue
			}
			line, err := plotter.NewLine(plotter.XYs{{X: s.began.Seconds(), Y: float64(y)}, {X: max(s.ended, s.began+time.Second).Seconds(), Y: float64(y)}})
			if err != nil {
				return err
			}
			line.Width, line.Color = vg.Points(5), plotutil.Color(0)
			p.Add(line)
		}
	}
	p.Y.Tick.Marker = ticks
	p.Y.Min, p.Y.Max = -0.5, float64(len(names))-0.5
	return nil
}
