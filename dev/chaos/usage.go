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

// usage returns the memory and the goroutines of a process, by its metrics.
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
		if name, value, ok := strings.Cut(lines.Text(), " "); ok {
			values[name], _ = strconv.ParseFloat(value, 64) // of a comment it is 0
		}
	}
	return fmt.Sprintf("%.0f MiB, %.0f", values["process_resident_memory_bytes"]/(1<<20), values["go_goroutines"]), nil
}

func (u *usage) table(out io.Writer) {
	fmt.Fprintf(out, "\nresident memory, goroutines\n\n| process | %s |\n|%s\n", strings.Join(u.times, " | "), strings.Repeat("---|", 1+len(u.times)))
	for _, p := range u.of() {
		fmt.Fprintf(out, "| %s | %s |\n", p.name, strings.Join(u.rows[p.name], " | "))
	}
}
