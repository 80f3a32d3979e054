// Command compare measures two builds of dev in turns, on a Cassandra that is running, and prints their figures and ratios.
// It drives them over HTTP, seeds only tables that both have, and imports no package whose behavior it measures.
// scripts/bench-compare.sh builds what it needs.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/twtr-dev/twtr/dev/bench/measure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// figure is one measured property of both programs, a value per round.
type figure struct {
	name, unit string
	base, new  []float64
}

func run(ctx context.Context) error {
	base := flag.String("base", "", "the dev program to compare with")
	changed := flag.String("new", "", "the dev program to compare")
	cassandra := flag.String("cassandra", "127.0.0.1", "host of a running Cassandra")
	rounds := flag.Int("rounds", 3, "rounds; each runs both programs, each with a keyspace and a directory of its own")
	only := flag.String("only", "", "measure only the figures of functions that match this regular expression: rested, burst, feeds, deliveries, follows")
	short := flag.Bool("short", false, "short measurements, to see that everything works: the figures mean nothing")
	flag.Parse()
	chosen, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if *base == "" || *changed == "" || flag.NArg() > 0 {
		return fmt.Errorf("usage: compare -base PROGRAM -new PROGRAM")
	}
	scale := full
	if *short {
		scale = small
	}
	var figures []*figure
	find := func(name, unit string) *figure {
		i := slices.IndexFunc(figures, func(f *figure) bool { return f.name == name })
		if i < 0 {
			i = len(figures)
			figures = append(figures, &figure{name: name, unit: unit})
		}
		return figures[i]
	}
	for round := range *rounds {
		// The order alternates, so that a machine that gets slower favors neither.
		for _, isBase := range []bool{round%2 == 0, round%2 != 0} {
			program, label := *changed, "new"
			if isBase {
				program, label = *base, "base"
			}
			fmt.Fprintf(os.Stderr, "%s: round %d of %d, %s\n", time.Now().Format(time.TimeOnly), round+1, *rounds, label)
			err := withSystem(ctx, program, *cassandra, func(s *system) error {
				return measureAll(s, scale, chosen, func(name, unit string, value float64) {
					fmt.Fprintf(os.Stderr, "  %s: %s %s\n", name, measure.Short(value), unit)
					if f := find(name, unit); isBase {
						f.base = append(f.base, value)
					} else {
						f.new = append(f.new, value)
					}
				})
			})
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, label, err)
			}
		}
	}
	return show(os.Stdout, figures)
}

// show prints the median of the rounds of each program, and the median of the ratios of each round with their extremes.
func show(w io.Writer, figures []*figure) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "figure\tbase\tnew\t\tnew/base\tof rounds\n")
	for _, f := range figures {
		ratios := measure.Ratios(f.new, f.base)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.2f\t%.2f–%.2f\n", f.name, measure.Short(measure.Median(f.base)),
			measure.Short(measure.Median(f.new)), f.unit, measure.Median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
	return table.Flush()
}
