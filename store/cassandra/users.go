package cassandra

import (
	"context"
	"time"

	"github.com/gocql/gocql"

	"github.com/twtr-dev/twtr"
)

const (
	insertUser = `INSERT INTO users (username, email, display_name, password_hash, created_at) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS`
	selectUser = `SELECT email, display_name, password_hash, created_at FROM users WHERE username = ?`
)

// CreateUser implements [twtr.UserStore].
func (s *Store) CreateUser(ctx context.Context, u twtr.User) error {
	applied, err := s.cas(ctx, insertUser, u.Username, u.Email, u.DisplayName, u.PasswordHash, u.CreatedAt)
	if err != nil || applied {
		return err
	}
	// It may have met its own row, written by an attempt whose answer was lost.
	stored, err := s.user(ctx, u.Username, serial)
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
	return s.user(ctx, username, gocql.LocalQuorum)
}

func (s *Store) user(ctx context.Context, username string, consistency gocql.Consistency) (twtr.User, error) {
	u := twtr.User{Username: username}
	var createdAt time.Time
	found, err := s.one(ctx, consistency, selectUser, []any{username}, &u.Email, &u.DisplayName, &u.PasswordHash, &createdAt)
	if err != nil {
		return twtr.User{}, err
	}
	if !found {
		return twtr.User{}, twtr.Errorf(twtr.NotFound, "there is no user %s", username)
	}
	u.CreatedAt = createdAt.UTC()
	return u, nil
}
