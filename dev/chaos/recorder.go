//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/twtr-dev/twtr/dev/chaos/history"
	"github.com/twtr-dev/twtr/dev/internal/traffic"
)

// answerTimeout is how long a client waits for an answer. The API promises one within 5 s; a paused process gives none.
const answerTimeout = 10 * time.Second

// recorder keeps the history of a run, in memory and in a file, so that a run that crashes leaves one, too.
type recorder struct {
	began time.Time

	mu       sync.Mutex
	ops      []history.Op
	file     *os.File
	failed   error      // of writing the file
	delivery []progress // of the large deliveries
	wrong    []string   // answers that break a promise by themselves
}

// progress is how many feeds had the newest tweet of the celebrity.
type progress struct {
	at    time.Duration
	feeds int64
}

func (r *recorder) progressed(feeds int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delivery = append(r.delivery, progress{r.now(), feeds})
}

func newRecorder(dir string) (*recorder, error) {
	file, err := os.Create(filepath.Join(dir, "history.jsonl"))
	return &recorder{began: time.Now(), file: file}, err
}

func (r *recorder) now() time.Duration { return time.Since(r.began) }

func (r *recorder) add(op history.Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op)
	r.failed = errors.Join(r.failed, history.Write(r.file, op))
}

// all returns what was recorded so far.
func (r *recorder) all() []history.Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ops[:len(r.ops):len(r.ops)]
}

func (r *recorder) close() error { return errors.Join(r.failed, r.file.Close()) }

// record makes a call and adds it, with its outcome, to the history. The call may complete op. It is not cut off when the run ends.
func (r *recorder) record(ctx context.Context, op history.Op, call func(context.Context, *history.Op) error) history.Outcome {
	op.Call = r.now()
	err := call(context.WithoutCancel(ctx), &op)
	op.Return = r.now()
	op.Outcome, op.Code = history.Acknowledged, http.StatusOK
	if err != nil {
		op.Outcome, op.Code, op.Message = history.Unknown, 0, err.Error()
		if refused, ok := errors.AsType[*traffic.Refused](err); ok {
			op.Code = refused.Code
			if refused.Code < 500 && refused.Code != http.StatusTooManyRequests && refused.Code != http.StatusRequestTimeout {
				op.Outcome = history.Refused
			}
			// A post without a key must not be repeated blindly.
			if refused.Code == http.StatusServiceUnavailable && refused.RetryAfter == "" && (op.Kind != history.Post || op.Key != "") {
				r.blame(op, "503 without Retry-After")
			}
			if refused.Code >= 500 && refused.Code != http.StatusServiceUnavailable {
				r.blame(op, "only 503 may be answered to a fault")
			}
		}
	}
	r.add(op)
	return op.Outcome
}

func (r *recorder) blame(op history.Op, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, fmt.Sprintf("%s: %s by %s at %v: %s", what, op.Kind, op.User, op.Call.Round(time.Millisecond), op.Message))
}

// balancer sends each request to an API at random. If that one takes no connection, it sends it to the other, as a load balancer does.
type balancer struct {
	addrs     []string
	transport http.RoundTripper
}

func newClient(addrs []string) *traffic.Client {
	b := &balancer{addrs: addrs, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		MaxIdleConnsPerHost: 64,
	}}
	return &traffic.Client{URL: "http://api", HTTP: &http.Client{Transport: b, Timeout: answerTimeout}}
}

func (b *balancer) RoundTrip(request *http.Request) (response *http.Response, err error) {
	for _, i := range rand.Perm(len(b.addrs)) {
		attempt := request.Clone(request.Context())
		attempt.URL.Host = b.addrs[i]
		if request.GetBody != nil {
			if attempt.Body, err = request.GetBody(); err != nil {
				return nil, err
			}
		}
		response, err = b.transport.RoundTrip(attempt)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return response, err
		}
	}
	return nil, err
}
