package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/bench/measure"
	"github.com/twtr-dev/twtr/dev/internal/freeaddr"
)

const (
	// liveAuthors are the users whom the readers of the streams follow, liveFollowings each, in addition to one whom all follow.
	liveAuthors    = 1000
	liveFollowings = 10
	allFollow      = "live"
)

// live measures the time from POST /tweets until the event arrives in a live feed, compared with a bare round trip through NATS,
// and the memory of a process with many live feeds.
func live(b *bench) error {
	n := b.scale.streams
	if err := measure.Each(128, n, func(i int) error {
		for j := range liveFollowings {
			followee := liveAuthor((i*liveFollowings + j) % liveAuthors)
			if err := b.store.PutFollow(b.ctx, twtr.Follow{Follower: liveReader(i), Followee: followee, At: time.Now()}); err != nil {
				return err
			}
		}
		return b.store.PutFollow(b.ctx, twtr.Follow{Follower: liveReader(i), Followee: allFollow, At: time.Now()})
	}); err != nil {
		return err
	}
	p, err := b.startLiveAPI()
	if err != nil {
		return err
	}
	defer p.stop()
	one, err := p.open(0)
	if err != nil {
		return err
	}
	defer one.Close()
	if err := b.natsRoundTrips(); err != nil {
		return err
	}
	if err := p.latency("POST to event, 1 stream", liveAuthor(0), one); err != nil {
		return err
	}
	for _, quantile := range []string{"p50", "p99"} {
		b.ratio("POST to event, 1 stream, "+quantile, "NATS round trip, "+quantile)
	}
	if err := b.awaitIdle(); err != nil {
		return err
	}
	before, err := memory(p.Cmd, "VmRSS")
	if err != nil {
		return err
	}
	streams := make([]*liveStream, n)
	streams[0] = one
	begin := time.Now()
	err = measure.Each(64, n-1, func(i int) (err error) {
		streams[i+1], err = p.open(i + 1)
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range streams {
			_ = s.Close()
		}
	}()
	b.add(fmt.Sprintf("open %d streams", n), "s", time.Since(begin).Seconds())
	if err := p.latency(fmt.Sprintf("POST to event, %d streams", n), allFollow, streams...); err != nil {
		return err
	}
	with, err := memory(p.Cmd, "VmRSS")
	if err != nil {
		return err
	}
	b.add("memory with 1 stream", "MiB", before)
	b.add(fmt.Sprintf("memory with %d streams", n), "MiB", with)
	return nil
}

func liveAuthor(i int) string { return fmt.Sprintf("author-%d", i) }
func liveReader(i int) string { return fmt.Sprintf("live-%d", i) }

// natsRoundTrips measures the time from a publication until a subscriber has it.
func (b *bench) natsRoundTrips() error {
	c, err := nats.Connect(b.nats.URL())
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := c.SubscribeSync("bench")
	if err != nil {
		return err
	}
	message := []byte(measure.Content + measure.Content)
	var percentiles percentiles
	for range b.scale.rounds {
		var took []float64
		for range b.scale.samples {
			begin := time.Now()
			if err := c.Publish("bench", message); err != nil {
				return err
			}
			if _, err := s.NextMsg(time.Minute); err != nil {
				return err
			}
			took = append(took, measure.Milliseconds(time.Since(begin)))
			time.Sleep(time.Millisecond)
		}
		percentiles.add(took)
	}
	percentiles.report(b, "NATS round trip")
	return nil
}

// liveAPI is an API in a process of its own, with events.
type liveAPI struct {
	*exec.Cmd
	b    *bench
	addr string
	api  *measure.API
}

func (b *bench) startLiveAPI() (*liveAPI, error) {
	addr, err := freeaddr.Find(b.ctx)
	if err != nil {
		return nil, err
	}
	process := b.twtr("api", "--http-addr", addr, "--events-url", b.nats.URL(), "--stream-per-process", fmt.Sprint(b.scale.streams))
	p := &liveAPI{process, b, addr, measure.NewAPI("http://" + addr)}
	if err := p.Start(); err != nil {
		return nil, err
	}
	return p, measure.Await(b.ctx, "the API listens", func() (bool, error) {
		c, err := new(net.Dialer).DialContext(b.ctx, "tcp", addr)
		if err == nil {
			err = c.Close()
		}
		return err == nil, nil
	})
}

func (p *liveAPI) stop() {
	_ = p.Process.Signal(os.Interrupt)
	_ = p.Wait()
}

// liveStream is a live feed that passes on when each tweet arrived.
type liveStream struct {
	net.Conn
	arrived chan arrival
}

type arrival struct {
	id string
	at time.Time
}

// open returns when the stream has begun.
func (p *liveAPI) open(reader int) (*liveStream, error) {
	c, err := new(net.Dialer).DialContext(p.b.ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(c, "GET /feeds/me/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n", measure.Token(liveReader(reader))); err != nil {
		return nil, err
	}
	s := &liveStream{c, make(chan arrival, 16)}
	in := bufio.NewReaderSize(c, 512)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("stream of reader %d: %w", reader, err)
		}
		if strings.HasPrefix(line, "id: ") {
			break
		}
	}
	go func() {
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return // it is closed
			}
			if tweet, ok := strings.CutPrefix(line, `data: {"id":"`); ok {
				id, _, _ := strings.Cut(tweet, `"`)
				s.arrived <- arrival{id, time.Now()}
			}
		}
	}()
	return s, nil
}

// await returns when the tweet arrived; false if it does not.
func (s *liveStream) await(id string) (time.Time, bool) {
	timeout := time.After(time.Minute)
	for {
		select {
		case a := <-s.arrived:
			if a.id == id {
				return a.at, true
			}
		case <-timeout:
			return time.Time{}, false
		}
	}
}

// latency posts tweets of the author with rests, and adds the percentiles of the times until the streams have them.
func (p *liveAPI) latency(name, author string, streams ...*liveStream) error {
	samples := max(3, p.b.scale.samples/len(streams))
	var percentiles percentiles
	for range p.b.scale.rounds {
		var mu sync.Mutex
		var took []float64
		for i := range samples + 1 {
			begin := time.Now()
			id, err := p.api.Post(p.b.ctx, measure.Token(author))
			if err != nil {
				return err
			}
			var late atomic.Bool
			var all sync.WaitGroup
			for _, s := range streams {
				all.Go(func() {
					at, ok := s.await(id.String())
					if !ok {
						late.Store(true)
					}
					if i > 0 { // before the first one the process may just have started
						mu.Lock()
						defer mu.Unlock()
						took = append(took, measure.Milliseconds(at.Sub(begin)))
					}
				})
			}
			all.Wait()
			if late.Load() {
				return errors.New("an event has not arrived within a minute")
			}
			time.Sleep(50 * time.Millisecond)
		}
		percentiles.add(took)
	}
	percentiles.report(p.b, name)
	return nil
}
