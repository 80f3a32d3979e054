//go:build linux

// Command chaos runs the whole system on this machine, lets clients use it while one part after the other fails, and checks that what
// the clients were told is true. The order of the faults depends on the seed only. `make chaos` runs it; see docs/reliability.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twtr-dev/twtr/dev/chaos/check"
	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// options are those of a run.
type options struct {
	seed      uint64
	length    time.Duration
	followers int
	rows      int // per second
	users     int
	engine    string        // cassandra or sqlite
	only      string        // faults whose names contain it; none
	outage    time.Duration // of all Cassandra nodes, instead of other faults
	broken    string        // safeguard to take away
	root      string        // of the repository
	dir       string        // for everything that the run leaves
	plot      string        // file
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.Uint64Var(&o.seed, "seed", 0, "of the faults and the clients; 0: a random one")
	flags.DurationVar(&o.length, "for", 20*time.Minute, "how long faults strike")
	flags.IntVar(&o.followers, "followers", 10_000, "of the user whose tweets are always being delivered")
	flags.IntVar(&o.rows, "rows", 500, "feed items per second that each worker writes, so that a delivery takes a while; 0: no limit")
	flags.StringVar(&o.engine, "store", "cassandra", "cassandra or sqlite")
	flags.IntVar(&o.users, "users", 8, "who act all the time, with two clients each; few, so that their operations meet")
	flags.StringVar(&o.only, "only", "", "only the faults whose names contain this; none: no faults")
	flags.DurationVar(&o.outage, "outage", 0, "instead of other faults all Cassandra nodes are killed, for so long")
	flags.StringVar(&o.broken, "break", "", "take a safeguard away, to see that the check finds it: "+strings.Join(slices.Sorted(maps.Keys(breaks)), ", "))
	flags.StringVar(&o.root, "root", "..", "of the repository")
	flags.StringVar(&o.dir, "dir", "", "for logs, data and the history, which a run without findings removes; default: a temporary one")
	flags.StringVar(&o.plot, "plot", "", "file for a picture (SVG)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000) + 1
	}
	if o.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "twtr-chaos"); err != nil {
			return err
		}
	} else if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	fmt.Fprintf(out, "seed %d, %s for %v; everything is in %s\n", o.seed, o.engine, o.length, o.dir)
	if err := o.run(ctx, out); err != nil {
		return fmt.Errorf("seed %d: %w (logs, data and history are in %s)", o.seed, err, o.dir)
	}
	return os.RemoveAll(o.dir)
}

func (o options) run(ctx context.Context, out io.Writer) (err error) {
	programs, err := build(ctx, o.root, o.dir, o.broken)
	if err != nil {
		return err
	}
	s := &system{dir: o.dir, programs: programs, engine: o.engine}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx, o.rows); err != nil {
		return err
	}
	recorder, err := newRecorder(o.dir)
	if err != nil {
		return err
	}
	c := newClients(recorder, newClient(s.addrs), o.seed, o.users)
	if err := c.signUpAll(ctx); err != nil {
		return err
	}
	followers, err := s.generate(ctx, o.followers)
	if err != nil {
		return err
	}
	c.follow(followers, celebrity)

	used := &usage{of: s.twtrs, rows: map[string][]string{}}
	used.measure(ctx, "before")
	struck, err := o.strike(ctx, s, c, used)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%8.1f s  all is healed\n", c.now().Seconds())
	if err := s.settled(ctx); err != nil {
		return err
	}
	longest, err := s.longestHistory(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%8.1f s  no workflow runs; the longest history has %d events\n", c.now().Seconds(), longest)
	if longest >= maxEvents {
		return fmt.Errorf("a history has %d events", longest)
	}
	used.measure(ctx, "after")
	if restarts := s.restarts(); restarts != "" {
		fmt.Fprintf(out, "processes that ended by themselves, as when they started without a dependency: %s\n", restarts)
	}
	used.table(out)
	ops := c.all() // without the log-ins of the reading
	final, err := s.read(ctx, c, followers)
	if err := errors.Join(err, recorder.close(), writeJSON(filepath.Join(o.dir, "final.json"), final)); err != nil {
		return err
	}
	return o.judge(newReport(ops, struck, recorder.delivery), check.Run(ops, final), recorder.wrong, out)
}

const (
	// before is how long the clients act before an outage, so that it meets deliveries and changes that are in flight.
	before = 30 * time.Second
	// afterwards is how long the clients go on when the last fault is healed, so that one can see how they recover.
	afterwards = 15 * time.Second
)

// strike lets the clients act and the faults happen, for the time of the run.
func (o options) strike(ctx context.Context, s *system, c *clients, u *usage) ([]struck, error) {
	acting, stop := context.WithCancel(ctx)
	defer stop()
	striker := &striker{random: rand.New(rand.NewPCG(o.seed, 0)), now: c.now}
	c.start(acting)
	var measuring sync.WaitGroup
	measuring.Go(func() { u.measureDuring(acting, o.length) })
	var err error
	switch {
	case o.outage > 0:
		if err = traffic.Wait(ctx, before); err != nil {
			break
		}
		err = striker.strike(ctx, []fault{{name: "Cassandra is unavailable", atLeast: o.outage, atMost: o.outage, strike: s.killNodes(cassandraNodes)}})
	case o.only == "none":
		err = traffic.Wait(ctx, o.length)
	default:
		striking, cancel := context.WithTimeout(ctx, o.length)
		defer cancel()
		if striker.all = s.faultsNamed(o.only); len(striker.all) == 0 {
			return nil, fmt.Errorf("no fault has %q in its name", o.only)
		}
		err = striker.run(striking)
	}
	if err == nil {
		err = traffic.Wait(ctx, afterwards)
	}
	stop()
	c.wait()
	measuring.Wait()
	return striker.struck, err
}

// judge prints what happened. It returns an error if something was lost, or is there that should not be.
func (o options) judge(r report, found check.Report, wrong []string, out io.Writer) error {
	fmt.Fprintln(out)
	r.table(out)
	fmt.Fprintf(out, "\nseconds; %s\n", r.slowest())
	if o.plot != "" {
		file, err := os.Create(o.plot)
		if err != nil {
			return err
		}
		if err := errors.Join(r.plot(file), file.Close()); err != nil {
			return err
		}
	}
	for _, w := range wrong {
		fmt.Fprintln(out, w)
	}
	fmt.Fprintf(out, "faults %d, %s\n", len(r.struck), found)
	if len(wrong) > 0 || !found.OK() {
		return errors.New("what clients were told is not true")
	}
	return nil
}

func writeJSON(file string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}
