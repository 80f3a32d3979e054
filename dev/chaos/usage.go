//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// usage is what the processes use, at a few times of a run.
type usage struct {
	of    func() []*process
	times []string
	rows  map[string][]string // by the process's name: a cell for each of times
}

// measureDuring measures after a sixth of that time, which is for warming up, after a half, and at the end.
func (u *usage) measureDuring(ctx context.Context, length time.Duration) {
	began := time.Now()
	for _, after := range []time.Duration{length / 6, length / 2, length} {
		if traffic.Wait(ctx, time.Until(began.Add(after))) != nil {
			return
		}
		u.measure(ctx, after.String())
	}
}

// measure adds a column. A process that does not answer, as during a fault, has no figures in it.
func (u *usage) measure(ctx context.Context, when string) {
	u.times = append(u.times, when)
	for _, p := range u.of() {
		cell, err := p.usage(ctx)
		if err != nil {
			cell = "–"
		}
		u.rows[p.name] = append(u.rows[p.name], cell)
	}
}

// cachedWorkflows is the SDK's metric of how many workflows the process has in its cache. There is a value for each type of workflow: what
// it was at the last task of one.
const cachedWorkflows = "temporal_sticky_cache_size"

// usage returns the memory, the goroutines and the cached workflows of a process, by its metrics.
func (p *process) usage(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ops+"/metrics", nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		series, text, _ := strings.Cut(lines.Text(), " ")
		name, _, _ := strings.Cut(series, "{")
		value, _ := strconv.ParseFloat(text, 64) // of a comment it is 0
		values[name] = max(values[name], value)
	}
	return fmt.Sprintf("%.0f MiB, %.0f, %.0f", values["process_resident_memory_bytes"]/(1<<20), values["go_goroutines"], values[cachedWorkflows]), nil
}

func (u *usage) table(out io.Writer) {
	fmt.Fprintf(out, "\nresident memory, goroutines, cached workflows\n\n| process | %s |\n|%s\n", strings.Join(u.times, " | "), strings.Repeat("---|", 1+len(u.times)))
	for _, p := range u.of() {
		fmt.Fprintf(out, "| %s | %s |\n", p.name, strings.Join(u.rows[p.name], " | "))
	}
}
