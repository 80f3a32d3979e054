package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// The clock decides what has expired.
const (
	// A late retry does not bring back a session that ended.
	insertSession = `INSERT INTO sessions (family, username, client, token_hash, created_at, refreshed_at, expires_at)
		SELECT ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT * FROM ended_sessions WHERE family = ?)
		ON CONFLICT DO NOTHING`
	selectSession = `SELECT family, username, client, token_hash, created_at, refreshed_at, expires_at FROM sessions
		WHERE family = ? AND expires_at > ?`
	selectSessionsByUser = `SELECT family, username, client, token_hash, created_at, refreshed_at, expires_at FROM sessions
		WHERE username = ? AND family < ? AND expires_at > ? ORDER BY family DESC LIMIT ?`
	rotateSession = `UPDATE sessions SET token_hash = ?, refreshed_at = ?, expires_at = ?
		WHERE family = ? AND token_hash = ? AND token_hash != ? AND expires_at > ?`
	deleteSession = `DELETE FROM sessions WHERE family = ?`

	insertEndedSession = `INSERT INTO ended_sessions (family, ended_at) VALUES (?, ?)
		ON CONFLICT DO UPDATE SET ended_at = max(ended_at, excluded.ended_at)`
	selectEndedSessions = `SELECT family FROM ended_sessions WHERE ended_at >= ?`
)

// CreateSession implements [twtr.SessionStore].
func (s *Store) CreateSession(ctx context.Context, session twtr.Session) error {
	_, err := s.exec(ctx, insertSession, session.Family[:], session.Username, session.Client, session.TokenHash,
		session.CreatedAt.UnixMilli(), session.RefreshedAt.UnixMilli(), session.ExpiresAt.UnixMilli(), session.Family[:])
	return err
}

// Session implements [twtr.SessionStore].
func (s *Store) Session(ctx context.Context, family uuid.UUID) (twtr.Session, error) {
	session, err := scanSession(s.read.QueryRowContext(ctx, selectSession, family[:], time.Now().UnixMilli()))
	if errors.Is(err, sql.ErrNoRows) {
		return twtr.Session{}, twtr.Errorf(twtr.NotFound, "there is no such session")
	}
	return session, mapError(ctx, err)
}

func scanSession(row interface{ Scan(...any) error }) (twtr.Session, error) {
	var session twtr.Session
	var createdAt, refreshedAt, expiresAt int64
	err := row.Scan(&session.Family, &session.Username, &session.Client, &session.TokenHash, &createdAt, &refreshedAt, &expiresAt)
	if err != nil {
		return twtr.Session{}, err
	}
	session.CreatedAt = time.UnixMilli(createdAt).UTC()
	session.RefreshedAt = time.UnixMilli(refreshedAt).UTC()
	session.ExpiresAt = time.UnixMilli(expiresAt).UTC()
	return session, nil
}

// SessionsByUser implements [twtr.SessionStore].
func (s *Store) SessionsByUser(ctx context.Context, username string, before uuid.UUID, limit int) ([]twtr.Session, error) {
	return list(ctx, s, func(rows *sql.Rows) (twtr.Session, error) { return scanSession(rows) },
		selectSessionsByUser, username, upperBound(before), time.Now().UnixMilli(), limit)
}

// RotateSession implements [twtr.SessionStore].
func (s *Store) RotateSession(ctx context.Context, spent []byte, next twtr.Session) error {
	var stored twtr.Session
	found := false
	now := time.Now().UnixMilli()
	err := s.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, rotateSession, next.TokenHash, next.RefreshedAt.UnixMilli(), next.ExpiresAt.UnixMilli(),
			next.Family[:], spent, next.TokenHash, now); err != nil {
			return err
		}
		var err error
		stored, err = scanSession(tx.QueryRowContext(ctx, selectSession, next.Family[:], now))
		if found = err == nil; errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case !found:
		return twtr.Errorf(twtr.NotFound, "there is no such session")
	case !bytes.Equal(stored.TokenHash, next.TokenHash):
		return twtr.Errorf(twtr.Conflict, "the refresh token is spent")
	}
	return nil
}

// EndSession implements [twtr.SessionStore].
func (s *Store) EndSession(ctx context.Context, family uuid.UUID, at time.Time) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, insertEndedSession, family[:], at.UnixMicro()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, deleteSession, family[:])
		return err
	})
}

// EndedSessions implements [twtr.SessionStore].
func (s *Store) EndedSessions(ctx context.Context, since time.Time) ([]uuid.UUID, error) {
	return list(ctx, s, func(rows *sql.Rows) (family uuid.UUID, err error) {
		err = rows.Scan(&family)
		return family, err
	}, selectEndedSessions, since.UnixMicro())
}
