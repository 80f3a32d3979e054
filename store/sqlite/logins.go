package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/twtr-dev/twtr"
)

// The clock decides what has expired. A count that has expired is as good as none.
const (
	selectLoginFailures = `SELECT count, last FROM login_failures WHERE username = ? AND source = ? AND last > ?`
	putLoginFailures    = `INSERT INTO login_failures (username, source, count, last) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET count = excluded.count, last = excluded.last`
	deleteLoginFailures = `DELETE FROM login_failures WHERE username = ? AND source = ?`

	putKnownSource = `INSERT INTO known_sources (username, source, expires_at) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)`
	selectKnownSource = `SELECT EXISTS (SELECT * FROM known_sources WHERE username = ? AND source = ? AND expires_at > ?)`
)

// LoginFailures implements [twtr.LoginStore].
func (s *Store) LoginFailures(ctx context.Context, username, source string) (twtr.LoginFailures, error) {
	f, err := loginFailures(ctx, s.read, username, source)
	return f, mapError(ctx, err)
}

type rowReader interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func loginFailures(ctx context.Context, from rowReader, username, source string) (twtr.LoginFailures, error) {
	f := twtr.LoginFailures{Username: username, Source: source}
	var last int64
	oldest := time.Now().Add(-twtr.LoginFailuresKept).UnixMilli()
	err := from.QueryRowContext(ctx, selectLoginFailures, username, source, oldest).Scan(&f.Count, &last)
	if errors.Is(err, sql.ErrNoRows) {
		return f, nil
	}
	if err != nil {
		return twtr.LoginFailures{}, err
	}
	f.Last = time.UnixMilli(last).UTC()
	return f, nil
}

// ReplaceLoginFailures implements [twtr.LoginStore].
func (s *Store) ReplaceLoginFailures(ctx context.Context, old, replacement twtr.LoginFailures) error {
	var replaced bool
	err := s.transact(ctx, func(tx *sql.Tx) error {
		stored, err := loginFailures(ctx, tx, old.Username, old.Source)
		replaced = stored.Count == old.Count && stored.Last.Equal(old.Last)
		switch {
		case err != nil || !replaced:
		case replacement.Count == 0:
			_, err = tx.ExecContext(ctx, deleteLoginFailures, old.Username, old.Source)
		default:
			_, err = tx.ExecContext(ctx, putLoginFailures, old.Username, old.Source, replacement.Count, replacement.Last.UnixMilli())
		}
		return err
	})
	if err == nil && !replaced {
		return twtr.Errorf(twtr.Conflict, "the failed log-ins of %s were counted meanwhile", old.Username)
	}
	return err
}

// PutKnownSource implements [twtr.LoginStore].
func (s *Store) PutKnownSource(ctx context.Context, username, source string) error {
	_, err := s.exec(ctx, putKnownSource, username, source, time.Now().Add(twtr.KnownSourceKept).UnixMilli())
	return err
}

// KnownSource implements [twtr.LoginStore].
func (s *Store) KnownSource(ctx context.Context, username, source string) (known bool, err error) {
	err = s.read.QueryRowContext(ctx, selectKnownSource, username, source, time.Now().UnixMilli()).Scan(&known)
	return known, mapError(ctx, err)
}
