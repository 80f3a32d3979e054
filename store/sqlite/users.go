package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/twtr-dev/twtr"
)

const (
	insertUser = `INSERT INTO users (username, email, display_name, password_hash, created_at, retired) VALUES (?, ?, ?, ?, ?, FALSE)
		ON CONFLICT DO UPDATE SET email = excluded.email, display_name = excluded.display_name, password_hash = excluded.password_hash,
			created_at = excluded.created_at, retired = FALSE, released_at = NULL
		WHERE retired AND released_at <= excluded.created_at * 1000`
	selectUser  = `SELECT email, display_name, password_hash, created_at FROM users WHERE username = ? AND NOT retired`
	setPassword = `UPDATE users SET password_hash = ? WHERE username = ? AND password_hash = ? AND NOT retired`
	retireUser  = `UPDATE users SET email = '', display_name = '', password_hash = '', retired = TRUE WHERE username = ?`
	releaseName = `UPDATE users SET released_at = min(?, coalesce(released_at, ?)) WHERE username = ? AND retired`
)

// CreateUser implements [twtr.UserStore].
func (s *Store) CreateUser(ctx context.Context, u twtr.User) error {
	rows, err := s.exec(ctx, insertUser, u.Username, u.Email, u.DisplayName, u.PasswordHash, u.CreatedAt.UnixMilli())
	if err != nil || rows == 1 {
		return err
	}
	stored, err := s.User(ctx, u.Username)
	if err == nil && stored.PasswordHash == u.PasswordHash {
		return nil
	}
	if err == nil || twtr.ErrorCode(err) == twtr.NotFound { // a retired user's name is taken, too
		return twtr.Errorf(twtr.Conflict, "username %s is taken", u.Username)
	}
	return err
}

// User implements [twtr.UserStore].
func (s *Store) User(ctx context.Context, username string) (twtr.User, error) {
	u := twtr.User{Username: username}
	var createdAt int64
	err := s.read.QueryRowContext(ctx, selectUser, username).Scan(&u.Email, &u.DisplayName, &u.PasswordHash, &createdAt)
	if errors.Is(err, sql.ErrNoRows) {
		return twtr.User{}, twtr.Errorf(twtr.NotFound, "there is no user %s", username)
	}
	if err != nil {
		return twtr.User{}, mapError(ctx, err)
	}
	u.CreatedAt = time.UnixMilli(createdAt).UTC()
	return u, nil
}

// SetPassword implements [twtr.UserStore].
func (s *Store) SetPassword(ctx context.Context, username, oldHash, newHash string) error {
	rows, err := s.exec(ctx, setPassword, newHash, username, oldHash)
	if err != nil || rows == 1 {
		return err
	}
	stored, err := s.User(ctx, username)
	if err != nil {
		return err
	}
	if stored.PasswordHash != newHash {
		return twtr.Errorf(twtr.Conflict, "the password was changed meanwhile")
	}
	return nil
}

// RetireUser implements [twtr.UserStore].
func (s *Store) RetireUser(ctx context.Context, username string) error {
	_, err := s.exec(ctx, retireUser, username)
	return err
}

// ReleaseUsername implements [twtr.UserStore].
func (s *Store) ReleaseUsername(ctx context.Context, username string, from time.Time) error {
	_, err := s.exec(ctx, releaseName, from.UnixMicro(), from.UnixMicro(), username)
	return err
}
