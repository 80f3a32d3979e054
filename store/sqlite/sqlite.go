// Package sqlite is the embedded store engine: one SQLite file, pure Go. It promises nothing that Cassandra can't.
//
// The file is in WAL mode with synchronous=normal: writes survive the end of the process, however it ends; a power cut may
// lose the last moments.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/golang-migrate/migrate/v4/database/sqlite"
	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/migrations"
)

const (
	readers = 4
	// busyTimeout bounds how long a call waits while another process writes.
	busyTimeout = 2 * time.Second
	// pause is how long at a time a write waits inside SQLite, where it ignores the context.
	pause = 50 * time.Millisecond
	// walPages is how many pages of 4 KiB the WAL has when a checkpoint, which takes an fsync, moves them into the file: ten
	// times the default gave a delivery an eighth more rows a second.
	walPages = "wal_autocheckpoint(10000)"
)

// Store implements [twtr.Store] on one file. Several processes may use it at a time.
type Store struct {
	// SQLite has one writer at a time: within the process they queue here, where waiting heeds the context.
	write *sql.DB
	read  *sql.DB
}

var _ twtr.Store = (*Store)(nil)

// Open opens a file that [Migrate] made.
func Open(ctx context.Context, path string) (*Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, migrations.SchemaError("there is no store at " + path)
	} else if err != nil {
		return nil, err
	}
	write, err := open(path, 1, pause)
	if err != nil {
		return nil, err
	}
	read, err := open(path, readers, busyTimeout)
	if err != nil {
		write.Close()
		return nil, err
	}
	s := &Store{write, read}
	if err := s.check(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func open(path string, connections int, wait time.Duration) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	query := url.Values{
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", wait.Milliseconds()), "journal_mode(wal)", "synchronous(normal)", walPages},
		// A transaction that began by reading can't become a writer after another one wrote.
		"_txlock": {"immediate"},
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: absolute, RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

const (
	selectVersion = `SELECT version, dirty FROM schema_migrations`
	selectColumns = `SELECT name FROM pragma_table_info('tweets')`
)

func (s *Store) check(ctx context.Context) error {
	if err := s.checkCompatible(ctx); err != nil {
		return err
	}
	var version int
	var dirty bool
	err := s.read.QueryRowContext(ctx, selectVersion).Scan(&version, &dirty)
	if failure, ok := errors.AsType[*driver.Error](err); ok && failure.Code() == sqlite3.SQLITE_ERROR {
		err = nil // no such table: version 0
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return mapError(ctx, err)
	}
	return migrations.Check("sqlite", version, dirty)
}

// checkCompatible returns a [migrations.IncompatibleError] if the file has the schema of an earlier twtr.
func (s *Store) checkCompatible(ctx context.Context) error {
	columns, err := list(ctx, s, scanName, selectColumns)
	if err != nil {
		return err
	}
	if !migrations.OfThisSchema(columns) {
		return migrations.IncompatibleError("move the file away (with its -wal and -shm files), or set another one (sqlite.path)")
	}
	return nil
}

// What expires in Cassandra is purged here when the store is migrated, which make run does at every start. Tombstones are kept
// for as long as Cassandra keeps them by default (gc_grace_seconds): no write is retried that late.
const (
	purgeSessions      = `DELETE FROM sessions WHERE expires_at * 1000 < ?`
	purgeEndedSessions = `DELETE FROM ended_sessions WHERE ended_at < ?`
	purgeLoginFailures = `DELETE FROM login_failures WHERE last * 1000 < ?`
	purgeKnownSources  = `DELETE FROM known_sources WHERE expires_at * 1000 < ?`
	purgeKeys          = `DELETE FROM idempotency_keys WHERE expires_at * 1000 < ?`
	purgeTweets        = `DELETE FROM deleted_tweets WHERE deleted_at < ?`
	purgeFollowers     = `DELETE FROM followers WHERE removed AND written_at < ?`
	purgeFollowChanges = `DELETE FROM follow_changes WHERE (follower, followee) IN
		(SELECT username, followee FROM followings WHERE removed AND written_at < ?)`
	purgeFollowings = `DELETE FROM followings WHERE removed AND written_at < ?`
	purgeFeedItems  = `DELETE FROM feed_items WHERE removed AND written_at < ?`
	tombstoneLife   = 10 * 24 * time.Hour
)

// Migrate makes the file, if there is none, and brings its schema up to date. Concurrent calls, also in several processes,
// take turns.
func Migrate(ctx context.Context, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// golang-migrate's lock is good within one process; a lock on a file next to the store is good between processes. That
	// file stays: if it were deleted, two processes could lock two files of that name.
	unlock, err := lock(ctx, path+".migrate")
	if err != nil {
		return fmt.Errorf("lock the store for migration: %w", err)
	}
	defer unlock()
	// SQLite would create a file that every user can read. A file that exists must not be opened here: closing it would
	// release all locks that this process has on it.
	if file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		file.Close()
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	db, err := open(path, 1, busyTimeout)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := (&Store{write: db, read: db}).checkCompatible(ctx); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	target, err := sqlite.WithInstance(db, &sqlite.Config{})
	if err != nil {
		return err
	}
	if err := migrations.Up("sqlite", target); err != nil {
		return err
	}
	s, err := Open(ctx, path)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.purge(ctx)
}

// purge reads the clock, as all that expires must.
func (s *Store) purge(ctx context.Context) error {
	before := time.Now().Add(-tombstoneLife).UnixMicro()
	for _, purge := range []string{purgeSessions, purgeEndedSessions, purgeLoginFailures, purgeKnownSources, purgeKeys, purgeTweets,
		purgeFollowers, purgeFollowChanges, purgeFollowings, purgeFeedItems} {
		if _, err := s.exec(ctx, purge, before); err != nil {
			return err
		}
	}
	return nil
}

const beginExclusive = `BEGIN EXCLUSIVE`

// lock waits until no other process writes to the file, and then blocks the others until unlock is called or this process
// ends, however it ends.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	db, err := open(path, 1, pause)
	if err != nil {
		return nil, err
	}
	for {
		_, err := db.ExecContext(ctx, beginExclusive)
		if err == nil {
			return func() { db.Close() }, nil
		}
		if !isBusy(err) {
			db.Close()
			return nil, mapError(ctx, err)
		}
	}
}

// Close implements [twtr.Store].
func (s *Store) Close() {
	s.read.Close()
	s.write.Close()
}

// Ping implements [twtr.Store].
func (s *Store) Ping(ctx context.Context) error {
	return mapError(ctx, s.read.PingContext(ctx))
}

// exec runs one write.
func (s *Store) exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	result, err := retryWhileBusy(func() (sql.Result, error) { return s.write.ExecContext(ctx, query, args...) })
	if err != nil {
		return 0, mapError(ctx, err)
	}
	rows, err = result.RowsAffected()
	return rows, mapError(ctx, err)
}

// transact runs several writes, all or none.
func (s *Store) transact(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := retryWhileBusy(func() (*sql.Tx, error) { return s.write.BeginTx(ctx, nil) })
	if err != nil {
		return mapError(ctx, err)
	}
	if err := do(tx); err != nil {
		// The first error says more than that of a rollback that fails, too.
		_ = tx.Rollback()
		return mapError(ctx, err)
	}
	return mapError(ctx, tx.Commit())
}

// retryWhileBusy calls do again while another process writes, at most for busyTimeout, and not after the end of do's context,
// when do fails with another error.
func retryWhileBusy[T any](do func() (T, error)) (T, error) {
	for end := time.Now().Add(busyTimeout); ; {
		result, err := do()
		if !isBusy(err) || time.Now().After(end) {
			return result, err
		}
	}
}

// list reads all rows of a query.
func list[T any](ctx context.Context, s *Store, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, mapError(ctx, err)
	}
	defer rows.Close()
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

// mapError returns the error that the contract promises for one of the engine's.
func mapError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // the engine's error is "interrupted", or another one
		return ctx.Err()
	case isBusy(err):
		return &twtr.Error{Code: twtr.Unavailable, Message: "the store is busy", Err: err}
	case hasCode(err, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
		return &twtr.Error{Code: twtr.Unavailable, Message: "the store cannot use its disk", Err: err}
	}
	return fmt.Errorf("sqlite: %w", err)
}

func isBusy(err error) bool {
	return hasCode(err, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT)
}

// hasCode reports whether err is one of SQLite's, with one of those primary codes.
func hasCode(err error, codes ...int) bool {
	failure, ok := errors.AsType[*driver.Error](err)
	return ok && slices.Contains(codes, failure.Code()&0xff)
}
