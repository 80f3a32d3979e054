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

// The lease says which process migrates. Its table has an id that follows from the keyspace's name: of several processes
// that make the table at the same time, on several nodes, each would otherwise make one of another id, which Cassandra
// can't bring together. In one cluster no two tables may have the same.
const (
	createKeyspace = `CREATE KEYSPACE IF NOT EXISTS %s WITH replication = %s`
	createLease    = `CREATE TABLE IF NOT EXISTS migration_lease (name text PRIMARY KEY, owner uuid)
		WITH id = %s`
	takeLease    = `INSERT INTO migration_lease (name, owner) VALUES ('migrate', ?) IF NOT EXISTS USING TTL ?`
	renewLease   = `UPDATE migration_lease USING TTL ? SET owner = ? WHERE name = 'migrate' IF owner = ?`
	releaseLease = `DELETE FROM migration_lease WHERE name = 'migrate' IF owner = ?`
)

// leaseLife is for how long a process that died holds others up.
const leaseLife = 15 * time.Second

// Migrate makes the keyspace, if there is none, and brings its schema up to date. Several at once do it one after the
// other; one that died half-way is taken over from after [leaseLife].
func Migrate(ctx context.Context, c Config) error {
	return c.migrate(ctx, leaseLife)
}

func (c Config) migrate(ctx context.Context, life time.Duration) error {
	bare, err := c.connect("")
	if err != nil {
		return err
	}
	err = bare.Query(fmt.Sprintf(createKeyspace, c.Keyspace, c.Replication)).WithContext(ctx).Exec()
	bare.Close()
	if err != nil {
		return fmt.Errorf("make keyspace %s: %w", c.Keyspace, err)
	}
	session, err := c.connect(c.Keyspace)
	if err != nil {
		return err
	}
	defer session.Close()
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
	// golang-migrate takes no context, so what it does goes on when the lease is lost; then at most the statement
	// under way overlaps with another process's, and both may be run again.
	done := make(chan error, 1)
	go func() { done <- migrations.Up("cassandra", target) }()
	select {
	case err := <-done:
		return err
	case <-held.Done():
		return context.Cause(held)
	}
}

// lease is a row that one process at a time owns and that vanishes when it isn't renewed.
type lease struct {
	session *gocql.Session
	owner   gocql.UUID
	life    time.Duration
}

var errLeaseLost = errors.New("the lease of the migration was lost to another process: run `twtr migrate` again")

// take waits until the lease is ours. The returned context ends when it isn't any more.
func (l *lease) take(ctx context.Context) (held context.Context, release func(), err error) {
	for {
		ok, err := l.cas(ctx, takeLease, l.owner, int(l.life.Seconds()))
		if err != nil && !outvied(err) {
			return nil, nil, fmt.Errorf("take the migration lease: %w", err)
		}
		if ok {
			break
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("another process is migrating: %w", ctx.Err())
		}
	}
	held, lose := context.WithCancelCause(ctx)
	go l.renew(held, lose)
	return held, func() {
		lose(nil)
		// Not released it runs out by itself.
		_, _ = l.cas(context.WithoutCancel(ctx), releaseLease, l.owner)
	}, nil
}

// outvied says whether a lightweight transaction failed by others on the same row, or by a Cassandra that has too much to
// do: whether it was made is unknown, and the next one finds out.
func outvied(err error) bool {
	failure, ok := errors.AsType[gocql.RequestError](err)
	return ok && (failure.Code() == gocql.ErrCodeWriteTimeout || failure.Code() == gocql.ErrCodeCASWriteUnknown)
}

func (l *lease) renew(held context.Context, lose context.CancelCauseFunc) {
	last := time.Now()
	for {
		select {
		case <-time.After(l.life / 5):
		case <-held.Done():
			return
		}
		begin := time.Now()
		ok, err := l.cas(held, renewLease, int(l.life.Seconds()), l.owner, l.owner)
		switch {
		case err == nil && ok:
			last = begin
		case err == nil, time.Since(last) > l.life:
			lose(errLeaseLost)
			return
		}
	}
}

func (l *lease) cas(ctx context.Context, statement string, args ...any) (bool, error) {
	// Not as long as a change of the schema may take: a renewal whose answer is lost must not outlast the lease.
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	previous := map[string]any{}
	ok, err := l.session.Query(statement, args...).WithContext(ctx).MapScanCAS(previous)
	// One whose answer was lost may have taken effect.
	return ok || previous["owner"] == l.owner, err
}
