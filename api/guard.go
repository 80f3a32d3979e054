package api

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/twtr-dev/twtr"
)

const (
	// freeGuesses is how many wrong passwords in a row are not followed by a delay.
	freeGuesses = 5
	// maxGuessDelay is the longest delay between two attempts: it allows some 65 guesses in the first hour, and 60 in each later one.
	maxGuessDelay = time.Minute
	// maxPause is the longest delay that an attempt waits for instead of being refused, at most maxPauses times: attempts in flight
	// count as failures, also those of an owner whose clients log in at once.
	maxPause  = 4 * time.Second
	maxPauses = 4
	// reservationAttempts bounds how often a reservation is tried while others reserve, too.
	reservationAttempts = 10
	// releaseTimeout bounds giving back a reservation, also one of a request that has ended.
	releaseTimeout = time.Second
)

// guard slows down guessing the password of one account, from however many addresses and through however many API processes: the
// store counts the failures. It locks no owner out. Failures are counted by source, and a source that an owner logged in from
// before, a network or a session, has a count of its own; all unknown sources share one.
//
// An attempt is counted before its password is hashed, so that concurrent ones can't pass together. The delays are measured by the
// clocks of the processes: one that is ahead by [clockLeeway] lets an attempt pass so much too early, or lets the next one at
// another process wait so much longer, but the number of attempts an hour is the same.
type guard struct {
	store   twtr.LoginStore
	tokens  *tokens
	now     func() time.Time
	log     *slog.Logger
	metrics metric.Int64Counter
	pause   func(context.Context, time.Duration) error
}

func newGuard(store twtr.LoginStore, tokens *tokens, now func() time.Time, log *slog.Logger,
	provider metric.MeterProvider) (*guard, error) {
	logins, err := provider.Meter("github.com/twtr-dev/twtr/api").Int64Counter("twtr.logins",
		metric.WithDescription("Checks of passwords, by their outcome: ok, wrong-password, no-such-user, refused."))
	return &guard{store, tokens, now, log, logins, pause}, err
}

// outcome of a check of a password; a label of the metric.
type outcome string

const (
	loginOK       outcome = "ok"
	wrongPassword outcome = "wrong-password"
	noSuchUser    outcome = "no-such-user"
	loginRefused  outcome = "refused"
)

// record counts an outcome and logs a failure. The name of an account that does not exist is not logged: it may be a password.
func (g *guard) record(c *gin.Context, username string, o outcome) {
	ctx := c.Request.Context()
	g.metrics.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", string(o))))
	if o == loginOK {
		return
	}
	attrs := []any{requestIDKey, c.GetString(requestIDKey), "client", c.ClientIP(), "reason", string(o)}
	if o != noSuchUser {
		attrs = append(attrs, "username", username)
	}
	g.log.InfoContext(ctx, "login failed", attrs...)
}

// The sources that unknown clients share. Sign-ups of a taken name have one of their own: they may all be of people who wanted that
// name, and must not slow down the log-ins of the one who has it.
const (
	unknownSource = ""
	signUpSource  = "sign-up"
)

// check has verify compare a password of the account, unless too many were wrong before: then it returns a [twtr.TooManyRequests]
// error, and says when to try again. Unknown clients count for the source unknown.
func (g *guard) check(c *gin.Context, user twtr.User, unknown string, verify func(context.Context) (bool, error)) (bool, error) {
	ctx, username := c.Request.Context(), user.Username
	source, known, err := g.source(c, user, unknown)
	if err != nil {
		return false, err
	}
	wait, err := g.reserve(ctx, username, source)
	for range maxPauses {
		if err != nil || wait == 0 || wait > maxPause || source == unknownSource {
			break
		}
		if err = g.pause(ctx, wait); err == nil {
			wait, err = g.reserve(ctx, username, source)
		}
	}
	if err != nil {
		return false, err
	}
	if wait > 0 {
		g.record(c, username, loginRefused)
		return false, tooManyFailures(wait)
	}
	ok, err := verify(ctx)
	if err != nil {
		// The client does not learn whether the password is right. The request's context may have ended.
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		if err := g.release(release, username, source, false); err != nil {
			g.log.WarnContext(ctx, "an attempt to log in stays counted", requestIDKey, c.GetString(requestIDKey), "error", err)
		}
		return false, err
	}
	if !ok {
		g.record(c, username, wrongPassword)
		return false, nil
	}
	g.record(c, username, loginOK)
	if err := g.release(ctx, username, source, known); err != nil {
		return false, err
	}
	return true, g.know(c, username)
}

// know remembers the client's network as one that the account's owner logged in from.
func (g *guard) know(c *gin.Context, username string) error {
	return g.store.PutKnownSource(c.Request.Context(), username, networkSource(c))
}

func networkSource(c *gin.Context) string { return "network:" + network(c.ClientIP()) }

// source is what an attempt is counted for: the session of an access token of this account, which may have expired; else the
// client's network, if the owner logged in from it before; else unknown. A session that is older than the account is of
// an earlier user of its name, who may have kept the tokens of many.
func (g *guard) source(c *gin.Context, user twtr.User, unknown string) (source string, known bool, err error) {
	if token, ok := bearerToken(c); ok {
		who, ok := g.tokens.once(token)
		if ok && who.username == user.Username && !twtr.TimeOf(who.session).Before(user.CreatedAt.Add(-clockLeeway)) {
			return "session:" + who.session.String(), true, nil
		}
	}
	known, err = g.store.KnownSource(c.Request.Context(), user.Username, networkSource(c))
	if err != nil || !known {
		return unknown, false, err
	}
	return networkSource(c), true, nil
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reserve counts an attempt as failed, unless it must wait: then it returns how long.
func (g *guard) reserve(ctx context.Context, username, source string) (wait time.Duration, err error) {
	for range reservationAttempts {
		stored, err := g.store.LoginFailures(ctx, username, source)
		if err != nil {
			return 0, err
		}
		now := g.now().UTC().Truncate(time.Millisecond)
		if wait := stored.Last.Add(guessDelay(stored.Count)).Sub(now); stored.Count >= freeGuesses && wait > 0 {
			return wait, nil
		}
		reserved := stored
		reserved.Count, reserved.Last = stored.Count+1, now
		err = g.store.ReplaceLoginFailures(ctx, stored, reserved)
		if twtr.ErrorCode(err) != twtr.Conflict {
			return 0, err
		}
	}
	return guessDelay(freeGuesses), nil
}

// guessDelay is the delay between two attempts after that many failures: 1 s, 2 s, 4 s and so on.
func guessDelay(failures int) time.Duration {
	doublings := min(max(0, failures-freeGuesses), 10)
	return min(time.Second<<doublings, maxGuessDelay)
}

// release takes back a reservation, or all failures of the source. The failures of others stay: one success must not make way for
// more guesses.
func (g *guard) release(ctx context.Context, username, source string, all bool) error {
	for range reservationAttempts {
		stored, err := g.store.LoginFailures(ctx, username, source)
		if err != nil || stored.Count == 0 {
			return err
		}
		released := stored
		if released.Count--; all {
			released.Count = 0
		}
		err = g.store.ReplaceLoginFailures(ctx, stored, released)
		if twtr.ErrorCode(err) != twtr.Conflict {
			return err
		}
	}
	return nil // it stays counted, which delays later attempts a little
}

func tooManyFailures(wait time.Duration) error {
	return &twtr.Error{
		Code: twtr.TooManyRequests,
		Message: fmt.Sprintf("too many wrong passwords for this account: try again in %d s. Log-ins from networks and devices that "+
			"you have used before are counted on their own", wholeSeconds(wait)),
		Err: retryAfter(wait),
	}
}
