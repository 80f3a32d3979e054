package cassandra

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gocql/gocql"
	"github.com/golang-migrate/migrate/v4/database/cassandra"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr/migrations"
)

// The lease says which process migrates. Its table has an id that follows from the keyspace's name: processes that make the
// table at the same time on several nodes would otherwise each give it another id, which Cassandra can't reconcile. Ids of
// tables are unique in a cluster.
const (
	createKeyspace = `CREATE KEYSPACE IF NOT EXISTS %s WITH replication = %s`
	createLease    = `CREATE TABLE IF NOT EXISTS migration_lease (name text PRIMARY KEY, owner uuid)
		WITH id = %s`
	takeLease    = `INSERT INTO migration_lease (name, owner) VALUES ('migrate', ?) IF NOT EXISTS USING TTL ?`
	renewLease   = `UPDATE migration_lease USING TTL ? SET owner = ? WHERE name = 'migrate' IF owner = ?`
	releaseLease = `DELETE FROM migration_lease WHERE name = 'migrate' IF owner = ?`
)

// leaseLife bounds how long a process that died blocks others.
const leaseLife = 15 * time.Second

// Migrate makes the keyspace, if there is none, and brings its schema up to date. Concurrent calls take turns; when a process
// dies half-way another one takes over after [leaseLife].
func Migrate(ctx context.Context, c Config) error {
	return c.migrate(ctx, leaseLife)
}

func (c Config) migrate(ctx context.Context, life time.Duration) error {
	withoutKeyspace, err := c.connect(ctx, "")
	if err != nil {
		return err
	}
	err = withoutKeyspace.Query(fmt.Sprintf(createKeyspace, c.Keyspace, c.Replication)).WithContext(ctx).Exec()
	withoutKeyspace.Close()
	if err != nil {
		return fmt.Errorf("make keyspace %s: %w", c.Keyspace, err)
	}
	session, err := c.connect(ctx, c.Keyspace)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := checkCompatible(ctx, session, c.Keyspace); err != nil {
		return fmt.Errorf("cassandra keyspace %s: %w", c.Keyspace, err)
	}
	if err := session.Query(fmt.Sprintf(createLease, uuid.NewSHA1(uuid.NameSpaceURL, []byte("twtr:"+c.Keyspace)))).WithContext(ctx).Exec(); err != nil {
		return fmt.Errorf("make the table of the migration lease: %w", err)
	}
	// The driver waits for all nodes to know a table that it made, but not for one that another process made just now.
	if err := session.AwaitSchemaAgreement(ctx); err != nil {
		return fmt.Errorf("wait for all nodes to know the same schema: %w", err)
	}
	l := &lease{session: session, owner: gocql.UUID(uuid.New()), life: life}
	held, release, err := l.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	target, err := cassandra.WithInstance(session, &cassandra.Config{KeyspaceName: c.Keyspace, MultiStatementEnabled: true})
	if err != nil {
		return err
	}
	// golang-migrate takes no context, so it continues when the lease is lost. Its statements may then overlap with
	// another process's; each can be run again.
	done := make(chan error, 1)
	go func() { done <- migrations.Up("cassandra", target) }()
	select {
	case err := <-done:
		return err
	case <-held.Done():
		return context.Cause(held)
	}
}

// lease is a row that one process at a time owns and that expires unless it is renewed.
type lease struct {
	session *gocql.Session
	owner   gocql.UUID
	life    time.Duration
}

var errLeaseLost = errors.New("the lease of the migration was lost to another process: run `twtr migrate` again")

// ttl is one second more than the lease's life, because Cassandra counts from the beginning of the second.
func (l *lease) ttl() int { return int(l.life.Seconds()) + 1 }

// trusted is how long after the beginning of the last renewal the lease is certainly ours: its life less a margin for
// clocks that run at different speeds.
func (l *lease) trusted() time.Duration { return l.life - l.life/10 }

// take waits until the lease is ours. The returned context ends, with [errLeaseLost], when that is no longer certain.
func (l *lease) take(ctx context.Context) (held context.Context, release func(), err error) {
	for unknown := false; ; { // unknown: an earlier attempt, whose answer was lost, may have taken it
		begin := time.Now()
		ok, err := l.cas(ctx, takeLease, l.owner, l.ttl())
		if ok && unknown { // since when is unknown, too
			begin = time.Now()
			ok, err = l.cas(ctx, renewLease, l.ttl(), l.owner, l.owner)
		}
		if ok {
			held, lose := context.WithCancelCause(ctx)
			go l.renew(held, lose, begin)
			return held, func() {
				lose(nil)
				// If this fails, the lease expires.
				_, _ = l.cas(context.WithoutCancel(ctx), releaseLease, l.owner)
			}, nil
		}
		if err != nil && ctx.Err() == nil && !isContended(err) {
			return nil, nil, fmt.Errorf("take the migration lease: %w", err)
		}
		unknown = unknown || err != nil
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("another process is migrating: %w", ctx.Err())
		}
	}
}

// isContended reports whether a lightweight transaction failed because of others on the same row, or because Cassandra is
// overloaded, or because its answer took too long. Its outcome is unknown, and the next one reveals it.
func isContended(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, gocql.ErrTimeoutNoResponse) {
		return true
	}
	failure, ok := errors.AsType[gocql.RequestError](err)
	return ok && (failure.Code() == gocql.ErrCodeWriteTimeout || failure.Code() == gocql.ErrCodeCASWriteUnknown)
}

// renew renews the lease, which was taken at last, until held ends, and loses it when no renewal succeeded in time. Here the
// clock only measures durations.
func (l *lease) renew(held context.Context, lose context.CancelCauseFunc, last time.Time) {
	expiry := time.AfterFunc(time.Until(last.Add(l.trusted())), func() { lose(errLeaseLost) })
	defer expiry.Stop()
	for {
		select {
		case <-time.After(l.life / 5):
		case <-held.Done():
			return
		}
		begin := time.Now()
		ok, err := l.cas(held, renewLease, l.ttl(), l.owner, l.owner)
		switch {
		case ok:
			expiry.Reset(time.Until(begin.Add(l.trusted())))
		case err == nil:
			lose(errLeaseLost)
			return
		}
	}
}

// cas runs a lightweight transaction on the lease, once, and reports whether the lease was changed or is ours anyway.
func (l *lease) cas(ctx context.Context, statement string, args ...any) (bool, error) {
	// The session's timeout, for changes of the schema, is longer than the lease's life.
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	previous := map[string]any{}
	ok, err := l.session.Query(statement, args...).WithContext(ctx).RetryPolicy(nil).MapScanCAS(previous)
	// A transaction whose answer was lost may have taken effect.
	return err == nil && (ok || previous["owner"] == l.owner), err
}
