package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
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
)

// figure is one measured thing: the median of its rounds, and its ratio to another's that was measured in turn with it.
type figure struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Rounds []float64 `json:"rounds"`
	Median float64   `json:"median"`
	To     string    `json:"to,omitempty"`
	Ratio  float64   `json:"ratio,omitempty"` // the median of the rounds' ratios, pair by pair
}

// result is what a benchmark has measured.
type result struct {
	Name    string   `json:"name"`
	Figures []figure `json:"figures"`
}

// add notes a figure of the benchmark that runs.
func (b *bench) add(name, unit string, rounds ...float64) {
	r := &b.results[len(b.results)-1]
	r.Figures = append(r.Figures, figure{Name: name, Unit: unit, Rounds: rounds, Median: median(rounds)})
}

// ratio compares two figures of the benchmark that runs, round by round.
func (b *bench) ratio(name, to string) {
	r := &b.results[len(b.results)-1]
	find := func(name string) *figure {
		return &r.Figures[slices.IndexFunc(r.Figures, func(f figure) bool { return f.Name == name })]
	}
	one, other := find(name), find(to)
	ratios := make([]float64, len(one.Rounds))
	for i := range ratios {
		ratios[i] = one.Rounds[i] / other.Rounds[i]
	}
	one.To, one.Ratio = to, median(ratios)
}

func (r result) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\n%s\tmedian\tmin\tmax\t\tratio\n", strings.ToUpper(r.Name))
	for _, f := range r.Figures {
		ratio := ""
		if f.To != "" {
			ratio = fmt.Sprintf("%.2f of %s", f.Ratio, f.To)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, short(f.Median), short(slices.Min(f.Rounds)), short(slices.Max(f.Rounds)), f.Unit, ratio)
	}
	_ = table.Flush() // to a terminal
}

// short is a number to three digits.
func short(n float64) string {
	if n == 0 {
		return "0"
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(n)))))
	return fmt.Sprintf("%.*f", digits, n)
}

func median(values []float64) float64 { return percentile(values, 0.5) }

// percentile is the value that a part p of all are not above; of an even number of them the median is the lower of the two.
func percentile(values []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
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

// draw makes bars of the figures that have the unit of the first: others would need another scale.
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
