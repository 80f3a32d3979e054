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

// A deleted session leaves its row, without the hash: a late retry of its creation finds it. The clock decides what has expired.
const (
	insertSession = `INSERT INTO refresh_tokens (family, username, token_hash, expires_at, deleted) VALUES (?, ?, ?, ?, FALSE)
		ON CONFLICT DO NOTHING`
	selectSession = `SELECT username, token_hash, expires_at FROM refresh_tokens
		WHERE family = ? AND expires_at > ? AND NOT deleted`
	rotateSession = `UPDATE refresh_tokens SET token_hash = ?, expires_at = ?
		WHERE family = ? AND token_hash = ? AND expires_at > ? AND NOT deleted`
	deleteSession = `UPDATE refresh_tokens SET token_hash = x'', deleted = TRUE WHERE family = ?`
)

// CreateSession implements [twtr.SessionStore].
func (s *Store) CreateSession(ctx context.Context, session twtr.Session) error {
	_, err := s.exec(ctx, insertSession, session.Family[:], session.Username, session.TokenHash, session.ExpiresAt.UnixMilli())
	return err
}

// Session implements [twtr.SessionStore].
func (s *Store) Session(ctx context.Context, family uuid.UUID) (twtr.Session, error) {
	session := twtr.Session{Family: family}
	var expiresAt int64
	err := s.read.QueryRowContext(ctx, selectSession, family[:], time.Now().UnixMilli()).
		Scan(&session.Username, &session.TokenHash, &expiresAt)
	if errors.Is(err, sql.ErrNoRows) {
		return twtr.Session{}, twtr.Errorf(twtr.NotFound, "there is no such session")
	}
	if err != nil {
		return twtr.Session{}, mapError(ctx, err)
	}
	session.ExpiresAt = time.UnixMilli(expiresAt).UTC()
	return session, nil
}

// RotateSession implements [twtr.SessionStore].
func (s *Store) RotateSession(ctx context.Context, spent []byte, next twtr.Session) error {
	rows, err := s.exec(ctx, rotateSession, next.TokenHash, next.ExpiresAt.UnixMilli(), next.Family[:], spent, time.Now().UnixMilli())
	if err != nil || rows == 1 {
		return err
	}
	stored, err := s.Session(ctx, next.Family)
	if err != nil {
		return err
	}
	if !bytes.Equal(stored.TokenHash, next.TokenHash) {
		return twtr.Errorf(twtr.Conflict, "the refresh token is spent")
	}
	return nil
}

// DeleteSession implements [twtr.SessionStore].
func (s *Store) DeleteSession(ctx context.Context, family uuid.UUID) error {
	_, err := s.exec(ctx, deleteSession, family[:])
	return err
}
