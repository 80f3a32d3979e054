package cassandra

import (
	"bytes"
	"context"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// Lightweight transactions only: their timestamps come from the replicas, and can't be compared with those of plain writes.
const (
	insertSession = `INSERT INTO refresh_tokens (family, username, token_hash, expires_at) VALUES (?, ?, ?, ?) IF NOT EXISTS USING TTL ?`
	selectSession = `SELECT username, token_hash, expires_at FROM refresh_tokens WHERE family = ?`
	rotateSession = `UPDATE refresh_tokens USING TTL ? SET username = ?, token_hash = ?, expires_at = ? WHERE family = ? IF token_hash = ?`
	endSession    = `UPDATE refresh_tokens USING TTL ? SET token_hash = ?, expires_at = ? WHERE family = ? IF EXISTS`
)

// ttl is how many seconds a row is kept: up to two more than needed, because Cassandra counts from the beginning of the
// second. It reads the clock, as all that expires must; whether a session has expired is decided by its expires_at.
func ttl(expiresAt time.Time) int {
	return max(1, int(time.Until(expiresAt).Seconds())+2)
}

// CreateSession implements [twtr.SessionStore].
func (s *Store) CreateSession(ctx context.Context, session twtr.Session) error {
	_, err := s.cas(ctx, insertSession, gocql.UUID(session.Family), session.Username, session.TokenHash, session.ExpiresAt, ttl(session.ExpiresAt))
	return err
}

// Session implements [twtr.SessionStore].
func (s *Store) Session(ctx context.Context, family uuid.UUID) (twtr.Session, error) {
	session := twtr.Session{Family: family}
	var expiresAt time.Time
	found, err := s.one(ctx, serial, selectSession, []any{gocql.UUID(family)}, &session.Username, &session.TokenHash, &expiresAt)
	if err != nil {
		return twtr.Session{}, err
	}
	if !found || !expiresAt.After(time.Now()) {
		return twtr.Session{}, twtr.Errorf(twtr.NotFound, "there is no such session")
	}
	session.ExpiresAt = expiresAt.UTC()
	return session, nil
}

// RotateSession implements [twtr.SessionStore].
func (s *Store) RotateSession(ctx context.Context, spent []byte, next twtr.Session) error {
	// The row of an expired session stays for some seconds.
	stored, err := s.Session(ctx, next.Family)
	if err != nil {
		return err
	}
	applied, err := s.cas(ctx, rotateSession, ttl(next.ExpiresAt), stored.Username, next.TokenHash, next.ExpiresAt, gocql.UUID(next.Family), spent)
	if err != nil || applied {
		return err
	}
	// It may have met its own row, written by an attempt whose answer was lost.
	if stored, err = s.Session(ctx, next.Family); err != nil {
		return err
	}
	if !bytes.Equal(stored.TokenHash, next.TokenHash) {
		return twtr.Errorf(twtr.Conflict, "the refresh token is spent")
	}
	return nil
}

// DeleteSession implements [twtr.SessionStore]. The row stays, without a token, until it would have expired, so that a
// late retry of its creation finds it.
func (s *Store) DeleteSession(ctx context.Context, family uuid.UUID) error {
	stored, err := s.Session(ctx, family)
	if twtr.ErrorCode(err) == twtr.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.cas(ctx, endSession, ttl(stored.ExpiresAt), []byte{}, time.UnixMilli(0), gocql.UUID(family))
	return err
}
