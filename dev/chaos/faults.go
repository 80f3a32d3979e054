//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/twtr-dev/twtr/dev/internal/netfault"
	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// fault is one kind of what can go wrong. strike lets it happen to something chosen at random, and returns what heals it.
type fault struct {
	name    string
	part    string // of the system that it affects: two faults at once affect different parts
	atMost  time.Duration
	atLeast time.Duration
	strike  func(ctx context.Context, random *rand.Rand) (heal func(context.Context) error, err error)
}

// struck is one fault that happened.
type struck struct {
	name         string
	began, ended time.Duration // since the run's start: when it struck, and when it was healed
}

func (s *system) faults() (all []fault) {
	add := func(name, part string, atLeast, atMost time.Duration, strike func(context.Context, *rand.Rand) (func(context.Context) error, error)) {
		all = append(all, fault{name: name, part: part, atLeast: atLeast, atMost: atMost, strike: strike})
	}
	const second = time.Second
	add("reset a completed delivery", "resets", 0, 0, s.resetDelivery)
	if s.alone != nil {
		add("kill the process", "process", second, 5*second, kill([]*process{s.alone}))
		add("pause the process", "process", second, 8*second, pause([]*process{s.alone}))
		if s.disk != "" {
			add("the disk is full", "disk", 5*second, 20*second, s.fillDisk)
		}
		return all
	}
	add("kill an API", "api", second, 5*second, kill(s.apis))
	add("pause an API", "api", second, 8*second, pause(s.apis))
	add("kill Temporal", "temporal", second, 8*second, kill([]*process{s.temporal}))
	add("pause Temporal", "temporal", second, 8*second, pause([]*process{s.temporal}))
	for _, domain := range domains {
		both := s.workersOf(domain)
		add("kill both workers of "+domain, domain, second, 8*second, killAll(both))
		add("pause a worker of "+domain, domain, second, 12*second, pause(both))
	}
	add("replace all workers by another version", "workers", 0, 0, s.replaceWorkers)
	add("kill a Cassandra node", "cassandra", 5*second, 15*second, s.killNodes(1))
	add("kill two Cassandra nodes", "cassandra", 20*second, 20*second, s.killNodes(2))
	add("kill all Cassandra nodes", "cassandra", 60*second, 60*second, s.killNodes(3))
	add("pause a Cassandra node", "cassandra", 5*second, 15*second, s.pauseNodes(1))
	add("pause all Cassandra nodes", "cassandra", 5*second, 15*second, s.pauseNodes(3))
	for _, f := range []struct {
		name    string
		disturb func(*netfault.Proxy) error
	}{
		{"hang", (*netfault.Proxy).Hang},
		{"are delayed by 2 s", func(p *netfault.Proxy) error { return p.Delay(2 * time.Second) }},
		{"are closed in the middle of an answer", func(p *netfault.Proxy) error { return p.Tear(20_000) }},
		{"are reset", func(p *netfault.Proxy) error { return p.Reset(500 * time.Millisecond) }},
		{"are cut", func(p *netfault.Proxy) error { p.Cut(); return nil }},
	} {
		add("connections to Temporal "+f.name, "temporal", 3*second, 12*second, disturbed(f.disturb, s.proxies.temporal))
		add("connections to Cassandra "+f.name, "cassandra", 3*second, 12*second, disturbed(f.disturb, s.proxies.cassandra...))
	}
	add("the clock of an API is off by 5 s", "api", 5*second, 15*second, s.replace(s.apis, clocks...))
	for _, domain := range domains {
		add("the clock of a worker of "+domain+" is off by 5 s", domain, 5*second, 15*second, s.replace(s.workersOf(domain), clocks...))
	}
	// Within the page's window of 3 s, but after the first sweep of an unfollow that came meanwhile.
	add("a worker of feeds writes 1.5 s late", "feeds", 10*second, 20*second, s.replace(s.workersOf("feeds"), "CHAOS_LATE=1.5s"))
	return all
}

// faultsNamed are those that have a text in their names.
func (s *system) faultsNamed(text string) []fault {
	return slices.DeleteFunc(s.faults(), func(f fault) bool { return !strings.Contains(f.name, text) })
}

func (s *system) workersOf(domain string) (both []*process) {
	for _, w := range s.workers {
		if w.args[1] == domain {
			both = append(both, w)
		}
	}
	return both
}

func one(of []*process, random *rand.Rand) *process { return of[random.IntN(len(of))] }

type strike = func(context.Context, *rand.Rand) (func(context.Context) error, error)

func kill(of []*process) strike {
	return func(ctx context.Context, random *rand.Rand) (func(context.Context) error, error) {
		return killAll([]*process{one(of, random)})(ctx, random)
	}
}

func killAll(of []*process) strike {
	return func(context.Context, *rand.Rand) (func(context.Context) error, error) {
		for _, p := range of {
			p.end(syscall.SIGKILL)
		}
		return func(context.Context) (err error) {
			for _, p := range of {
				err = errors.Join(err, p.start())
			}
			return err
		}, nil
	}
}

func pause(of []*process) strike {
	return func(_ context.Context, random *rand.Rand) (func(context.Context) error, error) {
		p := one(of, random)
		p.signal(syscall.SIGSTOP)
		return func(context.Context) error { p.signal(syscall.SIGCONT); return nil }, nil
	}
}

// replaceWorkers stops one worker after the other, as a rolling update does, and starts one of the other version in its place.
func (s *system) replaceWorkers(ctx context.Context, _ *rand.Rand) (func(context.Context) error, error) {
	version := s.programs.v2
	if s.workers[0].program == version {
		version = s.programs.v1
	}
	for _, w := range s.workers {
		w.end(syscall.SIGTERM)
		w.program = version
		if err := w.start(); err != nil {
			return nil, err
		}
		_ = traffic.Wait(ctx, time.Second) // at the end of the run the others are replaced at once
	}
	return nil, nil
}

// someNodes are the numbers of so many nodes.
func someNodes(count int, random *rand.Rand) (numbers []int) {
	for _, i := range random.Perm(cassandraNodes)[:count] {
		numbers = append(numbers, i+1)
	}
	return numbers
}

func (s *system) signalNodes(numbers []int, sig syscall.Signal) (err error) {
	for _, n := range numbers {
		err = errors.Join(err, s.nodes.signal(n, sig))
	}
	return err
}

func (s *system) killNodes(count int) strike {
	return func(_ context.Context, random *rand.Rand) (func(context.Context) error, error) {
		return s.nodes.start, s.signalNodes(someNodes(count, random), syscall.SIGKILL)
	}
}

func (s *system) pauseNodes(count int) strike {
	return func(_ context.Context, random *rand.Rand) (func(context.Context) error, error) {
		numbers := someNodes(count, random)
		return func(context.Context) error { return s.signalNodes(numbers, syscall.SIGCONT) }, s.signalNodes(numbers, syscall.SIGSTOP)
	}
}

// disturbed disturbs the connections through proxies.
func disturbed(disturb func(*netfault.Proxy) error, all ...*netfault.Proxy) strike {
	return func(context.Context, *rand.Rand) (func(context.Context) error, error) {
		var failed error
		for _, proxy := range all {
			failed = errors.Join(failed, disturb(proxy))
		}
		return func(ctx context.Context) (failed error) {
			for _, proxy := range all {
				failed = errors.Join(failed, proxy.Heal(ctx))
			}
			return failed
		}, failed
	}
}

// clocks are those of the hindered program, 5 s behind and ahead.
var clocks = []string{"CHAOS_CLOCK=-5", "CHAOS_CLOCK=5"}

// replace replaces a process by one of the hindered program, with one of those variables, and later by one of its own program.
func (s *system) replace(of []*process, variables ...string) strike {
	return func(_ context.Context, random *rand.Rand) (func(context.Context) error, error) {
		p, variable := one(of, random), variables[random.IntN(len(variables))]
		program := p.program
		p.program = s.programs.hindered
		p.end(syscall.SIGTERM)
		return func(context.Context) error {
			p.end(syscall.SIGTERM)
			p.program = program
			return p.start()
		}, p.start(variable)
	}
}

// diskSize is that of the disk for SQLite, in bytes.
const diskSize = 512 << 20

// fillDisk writes a file until the disk is full.
func (s *system) fillDisk(context.Context, *rand.Rand) (func(context.Context) error, error) {
	name := filepath.Join(s.disk, "full")
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(file, io.LimitReader(zeros{}, diskSize))
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	return func(context.Context) error { return os.Remove(name) }, errors.Join(err, file.Close())
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// resetDelivery repeats the newest deliveries that have completed from their first step.
func (s *system) resetDelivery(ctx context.Context, _ *rand.Rand) (func(context.Context) error, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	list, err := s.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: "WorkflowType = 'PostTweet' AND ExecutionStatus = 'Completed'", PageSize: 3,
	})
	if err != nil { // Temporal may be affected by another fault
		fmt.Println("            no delivery is reset:", err)
		return nil, nil
	}
	for _, e := range list.Executions {
		iterator := s.client.GetWorkflowHistory(ctx, e.Execution.WorkflowId, e.Execution.RunId, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for iterator.HasNext() {
			event, err := iterator.Next()
			if err != nil {
				break // a deletion of the tweet has deleted it
			}
			if event.EventType != enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
				continue
			}
			_, err = s.client.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
				Namespace: "default", WorkflowExecution: e.Execution, Reason: "chaos", WorkflowTaskFinishEventId: event.EventId,
			})
			if err != nil {
				fmt.Println("            a delivery is not reset:", err)
			}
			break
		}
	}
	return nil, nil
}

// striker lets faults happen, in an order that depends on the seed only.
type striker struct {
	all    []fault
	random *rand.Rand
	deck   []fault // those that have not happened yet in this round
	struck []struck
	now    func() time.Duration
}

// run strikes until the context ends, and heals what it struck.
func (s *striker) run(ctx context.Context) error {
	for {
		if err := traffic.Wait(ctx, s.between(5*time.Second, 20*time.Second)); err != nil {
			return nil //nolint:nilerr // the time is over
		}
		first, _ := s.next("")
		faults := []fault{first}
		if s.random.IntN(4) == 0 {
			if second, ok := s.next(first.part); ok {
				faults = append(faults, second)
			}
		}
		if err := s.strike(ctx, faults); err != nil {
			return err
		}
	}
}

func (s *striker) between(atLeast, atMost time.Duration) time.Duration {
	if atLeast == atMost {
		return atLeast
	}
	return atLeast + time.Duration(s.random.Int64N(int64(atMost-atLeast)))
}

// next takes a fault from the deck that does not affect that part, if there is one.
func (s *striker) next(except string) (fault, bool) {
	other := func(f fault) bool { return !meet(f.part, except) }
	if !slices.ContainsFunc(s.all, other) {
		return fault{}, false
	}
	if !slices.ContainsFunc(s.deck, other) {
		more := slices.Clone(s.all)
		s.random.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
		s.deck = append(s.deck, more...)
	}
	i := slices.IndexFunc(s.deck, other)
	f := s.deck[i]
	s.deck = slices.Delete(s.deck, i, i+1)
	return f, true
}

// meet tells if two parts are the same, or one has the other.
func meet(a, b string) bool {
	return a == b || a == "workers" && slices.Contains(domains, b) || b == "workers" && slices.Contains(domains, a)
}

// strike lets faults happen at once, and heals each after its time.
func (s *striker) strike(ctx context.Context, faults []fault) error {
	type active struct {
		struck
		heal func(context.Context) error
		left time.Duration
	}
	var all []active
	var failed error
	for _, f := range faults {
		a := active{struck: struck{name: f.name, began: s.now()}, left: s.between(f.atLeast, f.atMost)}
		fmt.Printf("%8.1f s  %s\n", a.began.Seconds(), f.name)
		heal, err := f.strike(ctx, s.random)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", f.name, err))
		}
		a.heal = heal
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b active) int { return int(a.left - b.left) })
	began := s.now()
	for _, a := range all {
		_ = traffic.Wait(ctx, a.left-(s.now()-began)) // the end of the run heals, too
		if a.heal != nil {
			if err := a.heal(context.WithoutCancel(ctx)); err != nil {
				failed = errors.Join(failed, fmt.Errorf("heal %s: %w", a.name, err))
			}
		}
		a.ended = s.now()
		s.struck = append(s.struck, a.struck)
	}
	return failed
}
