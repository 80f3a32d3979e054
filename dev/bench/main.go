// Command bench measures twtr on this machine, compared with the raw speed of Cassandra, SQLite and Temporal in the same run, and
// writes a table, results.json and a picture of each benchmark. docs/performance.md explains them. Command compare, in a
// directory of its own, compares two versions of twtr.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// benchmark measures one thing; each has a file.
type benchmark struct {
	name string
	run  func(*bench) error
}

var benchmarks = []benchmark{
	{"delivery", delivery},
	{"sizes", sizes},
	{"post", post},
	{"feed", feed},
	{"fairness", fairness},
	{"deletions", deletions},
	{"storm", storm},
	{"logins", logins},
	{"live", live},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	engine := flag.String("store", "sqlite", "sqlite, or cassandra at -hosts")
	hosts := flag.String("hosts", "127.0.0.1", "Cassandra hosts, comma separated")
	binary := flag.String("twtr", "bin/twtr", "the binary twtr, for the processes whose memory is measured")
	smoke := flag.Bool("smoke", false, "small sizes and short rounds, to see that everything works: the figures mean nothing")
	only := flag.String("only", "", "run only the benchmarks that match this regular expression")
	out := flag.String("out", "", "directory for results.json and the pictures; empty: only the table")
	flag.Parse()
	chosen, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	b := &bench{ctx: ctx, binary: *binary, engine: *engine, hosts: strings.Split(*hosts, ","), scale: full, seeded: map[string]int{}}
	if *smoke {
		b.scale = small
	}
	if err := b.start(); err != nil {
		return errors.Join(err, b.stop())
	}
	for _, one := range benchmarks {
		if !chosen.MatchString(one.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", time.Now().Format(time.TimeOnly), one.name)
		b.results = append(b.results, result{Name: one.name})
		if err := one.run(b); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", one.name, err), b.stop())
		}
		b.results[len(b.results)-1].print(os.Stdout)
	}
	if err := b.stop(); err != nil {
		return err
	}
	if len(b.results) == 0 {
		return fmt.Errorf("there is no benchmark %q", *only)
	}
	if *out == "" {
		return nil
	}
	return b.write(*out)
}

// scale is how much is measured.
type scale struct {
	rounds     int           // each figure is the median of this many
	round      time.Duration // the duration of a load
	deliveries []int         // followers
	sizes      []int         // followers
	inARow     int           // tweets to the smallest of sizes, one after another
	samples    int           // of a latency that is measured one by one
	celebrity  int           // followers
	deletions  int
	storm      time.Duration
	logins     int
	streams    int
}

var (
	full = scale{
		rounds: 3, round: 3 * time.Second, deliveries: []int{1_500, 40_000}, sizes: []int{1_500, 10_000, 100_000, 1_000_000},
		inARow: 20, samples: 200, celebrity: 1_000_000, deletions: 200_000, storm: 30 * time.Second, logins: 250, streams: 10_000,
	}
	small = scale{
		rounds: 1, round: 300 * time.Millisecond, deliveries: []int{100, 2_000}, sizes: []int{100, 1_000, 21_000},
		inARow: 3, samples: 10, celebrity: 30_000, deletions: 1_000, storm: 2 * time.Second, logins: 10, streams: 100,
	}
)
