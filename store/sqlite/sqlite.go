// Package sqlite is the embedded store engine: one SQLite file, pure Go. It promises nothing that Cassandra can't.
//
// The file is in WAL mode with synchronous=normal: what was written survives the end of the process, however it ends; a
// power cut may take the last moments.
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
	"time"

	"github.com/golang-migrate/migrate/v4/database/sqlite"
	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/migrations"
)

const (
	readers = 4
	// patience is how long to wait for another process that writes.
	patience = 2 * time.Second
	// pause is for how long at a time a write waits inside of SQLite, where it doesn't heed the context.
	pause = 50 * time.Millisecond
	// walPages is after how many pages of 4 KiB the WAL goes into the file, which takes an fsync: ten times the default gave a
	// delivery an eighth more rows a second.
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
	read, err := open(path, readers, patience)
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

func open(path string, connections int, busyTimeout time.Duration) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	query := url.Values{
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "journal_mode(wal)", "synchronous(normal)", walPages},
		// A transaction that began by reading can't become a writer when another was quicker.
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

const selectVersion = `SELECT version, dirty FROM schema_migrations`

func (s *Store) check(ctx context.Context) error {
	var version int
	var dirty bool
	err := s.read.QueryRowContext(ctx, selectVersion).Scan(&version, &dirty)
	if failure, ok := errors.AsType[*driver.Error](err); ok && failure.Code() == sqlite3.SQLITE_ERROR {
		err = nil // no such table: version 0
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fault(ctx, err)
	}
	return migrations.Check("sqlite", version, dirty)
}

// What Cassandra drops by itself is dropped when the store is migrated, which make run does at every start. Tombstones
// are kept for as long as Cassandra keeps them by default (gc_grace_seconds): nothing that old comes late.
const (
	purgeSessions   = `DELETE FROM refresh_tokens WHERE expires_at * 1000 < ?`
	purgeKeys       = `DELETE FROM idempotency_keys WHERE expires_at * 1000 < ?`
	purgeTweets     = `DELETE FROM deleted_tweets WHERE deleted_at < ?`
	purgeFollowers  = `DELETE FROM followers WHERE deleted AND written_at < ?`
	purgeFollowings = `DELETE FROM followings WHERE deleted AND written_at < ?`
	purgeFeedItems  = `DELETE FROM feed_items WHERE deleted AND written_at < ?`
	tombstoneLife   = 10 * 24 * time.Hour
)

// Migrate makes the file, if there is none, and brings its schema up to date. Several at once, also in several
// processes, do it one after the other.
func Migrate(ctx context.Context, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// golang-migrate's lock holds within one process; a lock on a file beside the store holds between processes. That
	// file stays: another process may have opened it already, and would then lock what a third one doesn't see.
	unlock, err := lock(ctx, path+".migrate")
	if err != nil {
		return fmt.Errorf("lock the store for migration: %w", err)
	}
	defer unlock()
	// SQLite would let everybody read what it creates. A file that exists must not be opened here: to close it would
	// end all locks that this process has on it.
	if file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		file.Close()
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	db, err := open(path, 1, patience)
	if err != nil {
		return err
	}
	defer db.Close()
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

func (s *Store) purge(ctx context.Context) error {
	before := time.Now().Add(-tombstoneLife).UnixMicro()
	for _, purge := range []string{purgeSessions, purgeKeys, purgeTweets, purgeFollowers, purgeFollowings, purgeFeedItems} {
		if _, err := s.exec(ctx, purge, before); err != nil {
			return err
		}
	}
	return nil
}

const beginExclusive = `BEGIN EXCLUSIVE`

// lock waits until no other process writes to the file, and keeps others from it until unlock is called or this process
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
		if !busy(err) {
			db.Close()
			return nil, fault(ctx, err)
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
	return fault(ctx, s.read.PingContext(ctx))
}

// exec does one write.
func (s *Store) exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	result, err := patiently(func() (sql.Result, error) { return s.write.ExecContext(ctx, query, args...) })
	if err != nil {
		return 0, fault(ctx, err)
	}
	rows, err = result.RowsAffected()
	return rows, fault(ctx, err)
}

// transact does several writes, all or none.
func (s *Store) transact(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := patiently(func() (*sql.Tx, error) { return s.write.BeginTx(ctx, nil) })
	if err != nil {
		return fault(ctx, err)
	}
	if err := do(tx); err != nil {
		// What it failed with says more than a rollback that fails too.
		_ = tx.Rollback()
		return fault(ctx, err)
	}
	return fault(ctx, tx.Commit())
}

// patiently calls do again while another process writes, until our patience ends; or do's context, for do fails then.
func patiently[T any](do func() (T, error)) (T, error) {
	for end := time.Now().Add(patience); ; {
		result, err := do()
		if !busy(err) || time.Now().After(end) {
			return result, err
		}
	}
}

// list reads all rows of a query.
func list[T any](ctx context.Context, s *Store, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fault(ctx, err)
	}
	defer rows.Close()
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

// fault is the error that the contract promises for one of the engine's.
func fault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // the engine says "interrupted", or nothing of it at all
		return ctx.Err()
	case busy(err):
		return &twtr.Error{Code: twtr.Unavailable, Message: "the store is busy", Err: err}
	}
	return fmt.Errorf("sqlite: %w", err)
}

func busy(err error) bool {
	failure, ok := errors.AsType[*driver.Error](err)
	if !ok {
		return false
	}
	switch failure.Code() & 0xff { // the rest tells more than we need
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT:
		return true
	}
	return false
}
