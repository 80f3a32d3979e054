package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/twtr-dev/twtr/dev/bench/measure"
)

// figure is one measured property: the median of its rounds, and its ratio to another one that was measured in the same rounds.
type figure struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Rounds []float64 `json:"rounds"`
	Median float64   `json:"median"`
	To     string    `json:"to,omitempty"`
	Ratio  float64   `json:"ratio,omitempty"` // the median of the ratios of each round
}

// result has the figures of one benchmark.
type result struct {
	Name    string   `json:"name"`
	Figures []figure `json:"figures"`
}

// add adds a figure of the benchmark that is running.
func (b *bench) add(name, unit string, rounds ...float64) {
	r := &b.results[len(b.results)-1]
	r.Figures = append(r.Figures, figure{Name: name, Unit: unit, Rounds: rounds, Median: measure.Median(rounds)})
}

// percentiles are those of the times of each round, in milliseconds.
type percentiles struct{ p50, p99 []float64 }

func (p *percentiles) add(round []float64) {
	p.p50, p.p99 = append(p.p50, measure.Percentile(round, 0.5)), append(p.p99, measure.Percentile(round, 0.99))
}

func (p *percentiles) report(b *bench, name string) {
	b.add(name+", p50", "ms", p.p50...)
	b.add(name+", p99", "ms", p.p99...)
}

// ratio compares two figures of the benchmark that is running, round by round.
func (b *bench) ratio(name, to string) {
	r := &b.results[len(b.results)-1]
	find := func(name string) *figure {
		return &r.Figures[slices.IndexFunc(r.Figures, func(f figure) bool { return f.Name == name })]
	}
	one, other := find(name), find(to)
	one.To, one.Ratio = to, measure.Median(measure.Ratios(one.Rounds, other.Rounds))
}

func (r result) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\n%s\tmedian\tmin\tmax\t\tratio\n", strings.ToUpper(r.Name))
	for _, f := range r.Figures {
		ratio := ""
		if f.To != "" {
			ratio = fmt.Sprintf("%.2f × %s", f.Ratio, f.To)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, measure.Short(f.Median), measure.Short(slices.Min(f.Rounds)), measure.Short(slices.Max(f.Rounds)), f.Unit, ratio)
	}
	_ = table.Flush() // the table goes to standard output
}

// write writes results.json and a picture of each benchmark.
func (b *bench) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	all := struct {
		Date    string   `json:"date"`
		Store   string   `json:"store"`
		CPUs    int      `json:"cpus"`
		Go      string   `json:"go"`
		Results []result `json:"results"`
	}{time.Now().UTC().Format(time.DateOnly), b.engine, runtime.NumCPU(), runtime.Version(), b.results}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results-"+b.engine+".json"), append(text, '\n'), 0o600); err != nil {
		return err
	}
	for _, r := range b.results {
		if err := r.draw(filepath.Join(dir, r.Name+"-"+b.engine+".svg"), b.engine); err != nil {
			return err
		}
	}
	return nil
}

// draw makes bars of the figures that have the unit of the first one: others would need another scale.
func (r result) draw(file, engine string) error {
	p := plot.New()
	unit := r.Figures[0].Unit
	p.Title.Text = fmt.Sprintf("%s (%s), %s", r.Name, engine, unit)
	var values plotter.Values
	var names []string
	for _, f := range r.Figures {
		if f.Unit == unit {
			values, names = append(values, f.Median), append(names, f.Name)
		}
	}
	slices.Reverse(values) // the first at the top
	slices.Reverse(names)
	bars, err := plotter.NewBarChart(values, vg.Points(14))
	if err != nil {
		return err
	}
	bars.Horizontal = true
	p.Add(bars)
	p.NominalY(names...)
	p.X.Min = 0
	return p.Save(7*vg.Inch, vg.Length(1+0.4*float64(len(names)))*vg.Inch, file)
}
