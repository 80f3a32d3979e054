package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/twtr-dev/twtr"
)

const (
	insertUser = `INSERT INTO users (username, email, display_name, password_hash, created_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`
	selectUser = `SELECT email, display_name, password_hash, created_at FROM users WHERE username = ?`
)

// CreateUser implements [twtr.UserStore].
func (s *Store) CreateUser(ctx context.Context, u twtr.User) error {
	rows, err := s.exec(ctx, insertUser, u.Username, u.Email, u.DisplayName, u.PasswordHash, u.CreatedAt.UnixMilli())
	if err != nil || rows == 1 {
		return err
	}
	stored, err := s.User(ctx, u.Username)
	if err != nil {
		return err
	}
	if stored.PasswordHash != u.PasswordHash {
		return twtr.Errorf(twtr.Conflict, "username %s is taken", u.Username)
	}
	return nil
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
