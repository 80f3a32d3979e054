// Package cassandra is the store engine for production: Apache Cassandra 5.0 by gocql.
package cassandra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/migrations"
)

// Config says where Cassandra is.
type Config struct {
	Hosts    []string // host or host:port; one that answers is enough, the others are found
	Keyspace string
	// Replication is that of a keyspace that [Migrate] makes, as CQL writes it: {'class': …}.
	Replication string
	Datacenter  string // asked first; empty: all are the same
	Username    string
	Password    string
}

// batchesAtATime bounds how many batches of deliveries are under way to Cassandra at a time. More gave no more rows a
// second when it was measured (docs/performance.md), and only longer queues.
const batchesAtATime = 16

// requestTimeout is for how long one request is waited for: a request of the API has 5 s in all.
const requestTimeout = 2 * time.Second

// schemaTimeout is for how long one change of the schema is waited for: one that was given up may still have been made.
const schemaTimeout = 30 * time.Second

// Store implements [twtr.Store] on one keyspace.
type Store struct {
	session *gocql.Session
	// route is the session's own policy, which knows what node a row is on.
	route   gocql.HostSelectionPolicy
	batches chan struct{}
}

var _ twtr.Store = (*Store)(nil)

// Open connects to a keyspace that [Migrate] made.
func Open(ctx context.Context, c Config) (*Store, error) {
	cluster := c.cluster(c.Keyspace)
	session, err := c.open(cluster)
	if err != nil {
		return nil, err
	}
	s := &Store{session: session, route: cluster.PoolConfig.HostSelectionPolicy, batches: make(chan struct{}, batchesAtATime)}
	version, dirty, err := s.version(ctx)
	if err == nil {
		err = migrations.Check("cassandra", version, dirty)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("cassandra keyspace %s: %w", c.Keyspace, err)
	}
	return s, nil
}

// connect opens a session, on no keyspace if that is empty, to change the schema, for which a busy Cassandra takes its time.
func (c Config) connect(keyspace string) (*gocql.Session, error) {
	cluster := c.cluster(keyspace)
	cluster.Timeout = schemaTimeout
	return c.open(cluster)
}

func (c Config) cluster(keyspace string) *gocql.ClusterConfig {
	cluster := gocql.NewCluster(c.Hosts...)
	cluster.Keyspace = keyspace
	cluster.Consistency = gocql.LocalQuorum
	cluster.SerialConsistency = gocql.LocalSerial
	cluster.ConnectTimeout = 3 * time.Second
	cluster.Timeout = requestTimeout
	// By default the driver waits 200 µs for more to send with a request, which costs every one of them over a
	// millisecond here.
	cluster.WriteCoalesceWaitTime = 0
	// By default a host that was away is looked at again after a minute.
	cluster.ReconnectInterval = time.Second
	cluster.ReconnectionPolicy = &gocql.ConstantReconnectionPolicy{MaxRetries: 3, Interval: 500 * time.Millisecond}
	// Of queries that are marked idempotent only; the next try goes to the next host.
	cluster.RetryPolicy = &gocql.SimpleRetryPolicy{NumRetries: 1}
	cluster.Logger = silent{}
	fallback := gocql.RoundRobinHostPolicy()
	if c.Datacenter != "" {
		fallback = gocql.DCAwareRoundRobinPolicy(c.Datacenter)
	}
	cluster.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(fallback)
	if c.Username != "" {
		cluster.Authenticator = gocql.PasswordAuthenticator{Username: c.Username, Password: c.Password}
	}
	return cluster
}

func (c Config) open(cluster *gocql.ClusterConfig) (*gocql.Session, error) {
	session, err := cluster.CreateSession()
	if err != nil {
		// The driver says the same when the keyspace is missing as when nobody answers.
		if cluster.Keyspace != "" {
			bare, err := c.connect("")
			if err != nil {
				return nil, err
			}
			bare.Close()
			return nil, migrations.SchemaError("cassandra has no keyspace " + cluster.Keyspace)
		}
		return nil, fmt.Errorf("cassandra does not answer at %s (cassandra.hosts): %w", strings.Join(c.Hosts, ", "), err)
	}
	return session, nil
}

// silent drops the driver's own log: it writes a line for every connection that fails, while each such failure reaches
// us as an error, too.
type silent struct{}

func (silent) Print(...any)          {}
func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

const selectVersion = `SELECT version, dirty FROM schema_migrations`

// version is the schema's, 0 where there is none.
func (s *Store) version(ctx context.Context) (version int, dirty bool, err error) {
	err = s.session.Query(selectVersion).WithContext(ctx).Scan(&version, &dirty)
	if errors.Is(err, gocql.ErrNotFound) {
		return 0, false, nil
	}
	if failure, ok := errors.AsType[gocql.RequestError](err); ok && failure.Code() == gocql.ErrCodeInvalid {
		return 0, false, nil // no such table
	}
	return version, dirty, fault(ctx, err)
}

const selectNow = `SELECT now() FROM system.local`

// Ping implements [twtr.Store].
func (s *Store) Ping(ctx context.Context) error {
	return s.exec(ctx, selectNow)
}

// Close implements [twtr.Store].
func (s *Store) Close() { s.session.Close() }

// exec runs a statement that may be run again.
func (s *Store) exec(ctx context.Context, statement string, args ...any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fault(ctx, s.session.Query(statement, args...).WithContext(ctx).Idempotent(true).Exec())
}

// row is a statement for one row, which may be run again.
func row(statement string, args ...any) gocql.BatchEntry {
	return gocql.BatchEntry{Stmt: statement, Args: args, Idempotent: true}
}

// execTogether writes rows in one request: less to do, for us and for Cassandra, than a request each. If it fails any of them
// may have been written, as if they came one by one.
func (s *Store) execTogether(ctx context.Context, rows ...gocql.BatchEntry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	batch := s.session.NewBatch(gocql.UnloggedBatch).WithContext(ctx)
	batch.Entries = rows
	return fault(ctx, s.session.ExecuteBatch(batch))
}

// cas runs a lightweight transaction, and reports whether its condition held. The driver doesn't run it again by itself.
func (s *Store) cas(ctx context.Context, statement string, args ...any) (applied bool, err error) {
	return s.casOrRow(ctx, map[string]any{}, statement, args...)
}

// casOrRow is [Store.cas], and fills row with what is stored if the condition did not hold.
func (s *Store) casOrRow(ctx context.Context, row map[string]any, statement string, args ...any) (applied bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	applied, err = s.session.Query(statement, args...).WithContext(ctx).MapScanCAS(row)
	return applied, fault(ctx, err)
}

// one reads one row, at that consistency; found is false if there is none.
func (s *Store) one(ctx context.Context, consistency gocql.Consistency, statement string, key []any, dest ...any) (found bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	err = s.session.Query(statement, key...).WithContext(ctx).Idempotent(true).Consistency(consistency).Scan(dest...)
	if errors.Is(err, gocql.ErrNotFound) {
		return false, nil
	}
	return err == nil, fault(ctx, err)
}

// serial is the consistency of a read that must see what a lightweight transaction, whose outcome is unknown, did.
const serial = gocql.Consistency(gocql.LocalSerial)

// list reads all rows of a query.
func list[T any](ctx context.Context, s *Store, scan func(gocql.Scanner) (T, error), limit int, statement string, args ...any) ([]T, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// A page of the driver's as long as ours, so that it is one request.
	rows := s.session.Query(statement, append(args, limit)...).WithContext(ctx).Idempotent(true).PageSize(limit).Iter().Scanner()
	var all []T
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, fault(ctx, err)
		}
		all = append(all, item)
	}
	return all, fault(ctx, rows.Err())
}

// fault is the error that the contract promises for one of the driver's.
func fault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case away(err):
		return &twtr.Error{Code: twtr.Unavailable, Message: "the store does not answer", Err: err}
	}
	return fmt.Errorf("cassandra: %w", err)
}

func away(err error) bool {
	if failure, ok := errors.AsType[gocql.RequestError](err); ok {
		switch failure.Code() {
		case gocql.ErrCodeServer, gocql.ErrCodeUnavailable, gocql.ErrCodeOverloaded, gocql.ErrCodeBootstrapping, gocql.ErrCodeTruncate,
			gocql.ErrCodeWriteTimeout, gocql.ErrCodeReadTimeout, gocql.ErrCodeReadFailure, gocql.ErrCodeWriteFailure,
			gocql.ErrCodeCASWriteUnknown, gocql.ErrCodeCDCWriteFailure:
			return true
		}
		return false
	}
	for _, known := range []error{
		gocql.ErrNoConnections, gocql.ErrTimeoutNoResponse, gocql.ErrConnectionClosed, gocql.ErrNoConnectionsStarted,
		gocql.ErrUnavailable, gocql.ErrSessionClosed, gocql.ErrTooManyTimeouts, gocql.ErrNoStreams,
		context.DeadlineExceeded, net.ErrClosed, io.EOF,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	_, network := errors.AsType[net.Error](err)
	return network
}
