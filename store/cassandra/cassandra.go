// Package cassandra is the store engine for production: Apache Cassandra 5.0 by gocql.
package cassandra

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/migrations"
)

// Config says where Cassandra is.
type Config struct {
	Hosts    []string // host or host:port; one that answers is enough, the driver finds the others
	Keyspace string
	// Replication is that of a keyspace that [Migrate] makes, in CQL: {'class': …}.
	Replication string
	Datacenter  string // the datacenter to prefer; empty: none
	Username    string
	Password    string
	TLS         TLSConfig

	// adjust changes the driver's configuration, in tests.
	adjust func(*gocql.ClusterConfig)
}

// batchesAtATime bounds the batches of deliveries in flight. More gave no more rows a second when it was measured
// (docs/performance.md), and only longer queues.
const batchesAtATime = 16

// requestTimeout bounds one request: a request of the API has 5 s in all.
const requestTimeout = 2 * time.Second

// schemaTimeout bounds one change of the schema, which may still be made after it.
const schemaTimeout = 30 * time.Second

// Store implements [twtr.Store] on one keyspace.
type Store struct {
	session *gocql.Session
	// route is the session's own policy, which knows the nodes of a row.
	route   gocql.HostSelectionPolicy
	batches chan struct{}
}

var _ twtr.Store = (*Store)(nil)

// Open connects to a keyspace that [Migrate] made.
func Open(ctx context.Context, c Config) (*Store, error) {
	cluster, err := c.cluster(c.Keyspace)
	if err != nil {
		return nil, err
	}
	session, err := c.open(ctx, cluster)
	if err != nil {
		return nil, err
	}
	s := &Store{session: session, route: cluster.PoolConfig.HostSelectionPolicy, batches: make(chan struct{}, batchesAtATime)}
	if err := s.check(ctx, c.Keyspace); err != nil {
		s.Close()
		return nil, fmt.Errorf("cassandra keyspace %s: %w", c.Keyspace, err)
	}
	return s, nil
}

func (s *Store) check(ctx context.Context, keyspace string) error {
	if err := checkCompatible(ctx, s.session, keyspace); err != nil {
		return err
	}
	version, dirty, err := s.version(ctx)
	if err != nil {
		return err
	}
	return migrations.Check("cassandra", version, dirty)
}

const selectColumns = `SELECT column_name FROM system_schema.columns WHERE keyspace_name = ? AND table_name = 'tweets'`

// checkCompatible returns a [migrations.IncompatibleError] if the keyspace has the schema of an earlier twtr.
func checkCompatible(ctx context.Context, session *gocql.Session, keyspace string) error {
	var columns []string
	rows := session.Query(selectColumns, keyspace).WithContext(ctx).Iter().Scanner()
	for rows.Next() {
		var column string
		if err := rows.Scan(&column); err != nil {
			return mapError(ctx, err)
		}
		columns = append(columns, column)
	}
	if err := rows.Err(); err != nil {
		return mapError(ctx, err)
	}
	if !migrations.OfThisSchema(columns) {
		return migrations.IncompatibleError("use another keyspace (cassandra.keyspace), or drop this one with all its data")
	}
	return nil
}

// connect opens a session to change the schema; on no keyspace if that is empty.
func (c Config) connect(ctx context.Context, keyspace string) (*gocql.Session, error) {
	cluster, err := c.cluster(keyspace)
	if err != nil {
		return nil, err
	}
	cluster.Timeout = schemaTimeout
	return c.open(ctx, cluster)
}

func (c Config) cluster(keyspace string) (*gocql.ClusterConfig, error) {
	cluster := gocql.NewCluster(c.Hosts...)
	cluster.Keyspace = keyspace
	cluster.Consistency = gocql.LocalQuorum
	cluster.SerialConsistency = gocql.LocalSerial
	cluster.ConnectTimeout = 3 * time.Second
	cluster.Timeout = requestTimeout
	// By default the driver waits 200 µs for more to send with a request, which costs every one of them over a
	// millisecond here.
	cluster.WriteCoalesceWaitTime = 0
	// By default the driver tries to reconnect to a host that was down every minute.
	cluster.ReconnectInterval = time.Second
	cluster.ReconnectionPolicy = &gocql.ConstantReconnectionPolicy{MaxRetries: 3, Interval: 500 * time.Millisecond}
	// The driver retries every query, idempotent or not, on the next host; a lightweight transaction says that it must not
	// (casOrRow). IsIdempotent only allows speculative executions, which we don't use.
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
	if c.TLS.Enabled {
		config, err := c.TLS.config()
		if err != nil {
			return nil, fmt.Errorf("TLS to cassandra: %w", err)
		}
		cluster.SslOpts = &gocql.SslOptions{Config: config}
	}
	if c.adjust != nil {
		c.adjust(cluster)
	}
	return cluster, nil
}

const selectKeyspace = `SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?`

func (c Config) open(ctx context.Context, cluster *gocql.ClusterConfig) (*gocql.Session, error) {
	session, err := cluster.CreateSession()
	if err == nil {
		return session, nil
	}
	err = fmt.Errorf("cassandra does not answer at %s (cassandra.hosts) %s: %w", strings.Join(c.Hosts, ", "), c.TLS.describe(), err)
	if cluster.Keyspace == "" {
		return nil, err
	}
	// The driver returns the same error when the keyspace is missing as when no host answers.
	withoutKeyspace, clusterErr := c.cluster("")
	if clusterErr != nil {
		return nil, clusterErr
	}
	session, openErr := c.open(ctx, withoutKeyspace)
	if openErr != nil {
		return nil, openErr
	}
	defer session.Close()
	var name string
	if queryErr := session.Query(selectKeyspace, cluster.Keyspace).WithContext(ctx).Scan(&name); errors.Is(queryErr, gocql.ErrNotFound) {
		return nil, migrations.SchemaError("cassandra has no keyspace " + cluster.Keyspace)
	}
	return nil, err
}

// silent drops the driver's log: a line for every connection that fails, each of which we get as an error, too.
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
	return version, dirty, mapError(ctx, err)
}

const selectNow = `SELECT now() FROM system.local`

// Ping implements [twtr.Store].
func (s *Store) Ping(ctx context.Context) error {
	return s.exec(ctx, selectNow)
}

// Close implements [twtr.Store].
func (s *Store) Close() { s.session.Close() }

// exec runs an idempotent statement: the driver may retry it.
func (s *Store) exec(ctx context.Context, statement string, args ...any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return mapError(ctx, s.session.Query(statement, args...).WithContext(ctx).Idempotent(true).Exec())
}

// row is an idempotent statement for one row.
func row(statement string, args ...any) gocql.BatchEntry {
	return gocql.BatchEntry{Stmt: statement, Args: args, Idempotent: true}
}

// execBatch writes rows in one request, which costs us and Cassandra less than a request each. If it fails any of them
// may have been written, as if each had its own request.
func (s *Store) execBatch(ctx context.Context, rows ...gocql.BatchEntry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	batch := s.session.NewBatch(gocql.UnloggedBatch).WithContext(ctx)
	batch.Entries = rows
	return mapError(ctx, s.session.ExecuteBatch(batch))
}

// cas runs a lightweight transaction, and reports whether its condition held.
func (s *Store) cas(ctx context.Context, statement string, args ...any) (applied bool, err error) {
	return s.casOrRow(ctx, map[string]any{}, statement, args...)
}

// casOrRow is [Store.cas], and fills row with what is stored if the condition did not hold. It sends the transaction once:
// after an error its outcome is unknown, and a second attempt would be judged by what the first one wrote.
func (s *Store) casOrRow(ctx context.Context, row map[string]any, statement string, args ...any) (applied bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	applied, err = s.session.Query(statement, args...).WithContext(ctx).RetryPolicy(nil).MapScanCAS(row)
	return applied, mapError(ctx, err)
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
	return err == nil, mapError(ctx, err)
}

// serial is the consistency of a read that must see a lightweight transaction whose outcome is unknown.
const serial = gocql.Consistency(gocql.LocalSerial)

// list reads all rows of a query.
func list[T any](ctx context.Context, s *Store, scan func(gocql.Scanner) (T, error), limit int, statement string, args ...any) ([]T, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// The driver's page is as long as ours: one request.
	rows := s.session.Query(statement, append(args, limit)...).WithContext(ctx).Idempotent(true).PageSize(limit).Iter().Scanner()
	var all []T
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, mapError(ctx, err)
		}
		all = append(all, item)
	}
	return all, mapError(ctx, rows.Err())
}

// mapError returns the error that the contract promises for one of the driver's.
func mapError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case isUnavailable(err):
		return &twtr.Error{Code: twtr.Unavailable, Message: "the store does not answer", Err: err}
	}
	return fmt.Errorf("cassandra: %w", err)
}

// isUnavailable reports whether an error is an outage. What the server says tells; all else that the driver returns, often without a
// type of its own, is about connections, except that it cannot encode or decode something.
func isUnavailable(err error) bool {
	if failure, ok := errors.AsType[gocql.RequestError](err); ok {
		switch failure.Code() {
		case gocql.ErrCodeServer, gocql.ErrCodeUnavailable, gocql.ErrCodeOverloaded, gocql.ErrCodeBootstrapping, gocql.ErrCodeTruncate,
			gocql.ErrCodeWriteTimeout, gocql.ErrCodeReadTimeout, gocql.ErrCodeReadFailure, gocql.ErrCodeWriteFailure,
			gocql.ErrCodeCASWriteUnknown, gocql.ErrCodeCDCWriteFailure, gocql.ErrCodeUnauthorized:
			return true
		}
		return false
	}
	_, encoding := errors.AsType[gocql.MarshalError](err)
	_, decoding := errors.AsType[gocql.UnmarshalError](err)
	return !encoding && !decoding && !errors.Is(err, gocql.ErrFrameTooBig)
}
