package api

import (
	"cmp"
	"container/heap"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/trustelem/zxcvbn/frequency"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/crypto/argon2"

	"github.com/twtr-dev/twtr"
)

// commonPasswords are those that guessers try first, in lower case: the 30,000 most common ones of zxcvbn, as far as they are long
// enough to be a password here.
var commonPasswords = func() map[string]bool {
	common := map[string]bool{}
	for _, password := range frequency.FrequencyLists["passwords"] {
		if twtr.ValidatePassword("password", password) == nil {
			common[password] = true
		}
	}
	return common
}()

// validateNewPassword returns a [twtr.Invalid] error if a password is easy to guess: it is a common one, or one of the user's names.
func validateNewPassword(field, password string, names ...string) error {
	if commonPasswords[strings.ToLower(password)] {
		return twtr.InvalidField(field, "must not be one of the most common passwords")
	}
	if password != "" && slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, password) }) {
		return twtr.InvalidField(field, "must not be your username, e-mail address or display name")
	}
	return nil
}

// argon2id by OWASP's password storage cheat sheet: 19 MiB, 2 passes, 1 lane.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	argonLanes  = 1
)

// hasher hashes passwords, as many at a time as there are processors but one, which stays free for all else. More at a time would
// only take memory, 19 MiB each. The others wait, each as long as its context, in a fair queue: the network that had the fewest
// passwords hashed lately comes first, and of those the one that came first. So a client that logs in once does not wait for
// all guesses of clients that guess.
type hasher struct {
	// derive is argon2id.
	derive func(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte
	now    func() time.Time

	mu      sync.Mutex
	free    int // slots
	waiting hashQueue
	arrived int
	// queued counts the waiting ones of each network, and hashed those that had a slot, in this period and the one before.
	queued         map[string]int
	hashed, before map[string]int
	period         time.Time // when this one began
}

// hashPeriod is how long at least a network's hashed passwords count. Then they are forgotten, so memory is bounded by what can be
// hashed in two periods.
const hashPeriod = time.Minute

// hashTurn is a password that waits for a slot.
type hashTurn struct {
	network string
	rank    int // how many of its network come before it, since the period before
	arrival int
	ready   chan struct{} // closed when it has its slot
	index   int           // in the queue; -1 when it is no longer in it
}

// hashNetwork is whom a password that is hashed counts for: the address or, for IPv6, its /48, which is what a site gets.
func hashNetwork(c *gin.Context) string { return cmp.Or(site(c.ClientIP()), network(c.ClientIP())) }

func newHasher(now func() time.Time) *hasher {
	return &hasher{
		derive: argon2.IDKey, now: now, free: max(1, runtime.GOMAXPROCS(0)-1),
		queued: map[string]int{}, hashed: map[string]int{}, before: map[string]int{}, period: now(),
	}
}

// observe reports how many passwords wait for a slot.
func (h *hasher) observe(provider metric.MeterProvider) error {
	_, err := provider.Meter("github.com/twtr-dev/twtr/api").Int64ObservableGauge("twtr.passwords.waiting",
		metric.WithDescription("Passwords that wait to be hashed."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			o.Observe(int64(len(h.waiting)))
			return nil
		}))
	return err
}

// hash returns the password's hash in the PHC string format, or [twtr.Unavailable] if no slot is free before the context ends. The
// network is the client's.
func (h *hasher) hash(ctx context.Context, network, password string) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt) // never fails (crypto/rand)
	sum, err := h.sum(ctx, network, password, salt, argonMemory, argonTime, argonLanes)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes,
		b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// matches reports whether hash was made of the password. The hash names its own parameters.
func (h *hasher) matches(ctx context.Context, network, password, hash string) (bool, error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, fmt.Errorf("a stored password hash is not of argon2id")
	}
	var memory, passes uint32
	var lanes uint8
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil {
		return false, fmt.Errorf("a stored password hash has no parameters: %w", err)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, fmt.Errorf("a stored password hash has no salt: %w", err)
	}
	sum, err := h.sum(ctx, network, password, salt, memory, passes, lanes)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(base64.RawStdEncoding.EncodeToString(sum)), []byte(parts[5])) == 1, nil
}

func (h *hasher) sum(ctx context.Context, network, password string, salt []byte, memory, passes uint32, lanes uint8) ([]byte, error) {
	if err := h.acquire(ctx, network); err != nil {
		return nil, err
	}
	defer h.release()
	return h.derive([]byte(password), salt, passes, memory, lanes, 32), nil
}

// acquire returns when there is a slot for the network, or the context has ended.
func (h *hasher) acquire(ctx context.Context, network string) error {
	t := h.enqueue(network)
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
	}
	h.cancel(t)
	return &twtr.Error{Code: twtr.Unavailable, Message: "too many are signing up or logging in",
		Err: &dependencyError{dependency: "password hashing", err: errors.Join(errors.New("no slot was free in time"), ctx.Err())}}
}

func (h *hasher) enqueue(network string) *hashTurn {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch age := h.now().Sub(h.period); {
	case age > 2*hashPeriod:
		h.before, h.hashed, h.period = map[string]int{}, map[string]int{}, h.now()
	case age > hashPeriod:
		h.before, h.hashed, h.period = h.hashed, map[string]int{}, h.now()
	}
	h.arrived++
	t := &hashTurn{
		network: network, arrival: h.arrived, ready: make(chan struct{}),
		rank: h.hashed[network] + h.before[network] + h.queued[network],
	}
	h.queued[network]++
	heap.Push(&h.waiting, t)
	h.serve()
	return t
}

// cancel takes a turn out of the queue, or gives back the slot that it has just got.
func (h *hasher) cancel(t *hashTurn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.index < 0 {
		h.free++
		h.serve()
		return
	}
	heap.Remove(&h.waiting, t.index)
	h.leave(t)
}

func (h *hasher) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free++
	h.serve()
}

// serve gives the free slots to those whose turn it is.
func (h *hasher) serve() {
	for h.free > 0 && len(h.waiting) > 0 {
		t := heap.Pop(&h.waiting).(*hashTurn)
		h.leave(t)
		h.hashed[t.network]++
		h.free--
		close(t.ready)
	}
}

func (h *hasher) leave(t *hashTurn) {
	if h.queued[t.network]--; h.queued[t.network] == 0 {
		delete(h.queued, t.network)
	}
}

// hashQueue is a [heap.Interface].
type hashQueue []*hashTurn

func (q hashQueue) Len() int { return len(q) }

func (q hashQueue) Less(i, j int) bool {
	if q[i].rank != q[j].rank {
		return q[i].rank < q[j].rank
	}
	return q[i].arrival < q[j].arrival
}

func (q hashQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *hashQueue) Push(t any) {
	t.(*hashTurn).index = len(*q)
	*q = append(*q, t.(*hashTurn))
}

func (q *hashQueue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last], t.index = nil, -1
	*q = (*q)[:last]
	return t
}
