package cassandra

import (
	"context"
	"time"

	"github.com/gocql/gocql"

	"github.com/twtr-dev/twtr"
)

// Lightweight transactions only: their timestamps come from the replicas, and can't be compared with those of plain writes.
const (
	insertUser = `INSERT INTO users (username, email, display_name, password_hash, created_at, retired) VALUES (?, ?, ?, ?, ?, false)
		IF NOT EXISTS`
	takeReleasedName = `UPDATE users SET email = ?, display_name = ?, password_hash = ?, created_at = ?, retired = false, released_at = null
		WHERE username = ? IF retired = true AND released_at <= ?`
	selectUser  = `SELECT email, display_name, password_hash, created_at, retired FROM users WHERE username = ?`
	setPassword = `UPDATE users SET password_hash = ? WHERE username = ? IF password_hash = ? AND retired = false`
	retireUser  = `UPDATE users SET email = null, display_name = null, password_hash = null, retired = true WHERE username = ?
		IF retired = false`
	releaseName       = `UPDATE users SET released_at = ? WHERE username = ? IF retired = true AND released_at = null`
	releaseNameSooner = `UPDATE users SET released_at = ? WHERE username = ? IF retired = true AND released_at > ?`
)

// CreateUser implements [twtr.UserStore].
func (s *Store) CreateUser(ctx context.Context, u twtr.User) error {
	applied, err := s.cas(ctx, insertUser, u.Username, u.Email, u.DisplayName, u.PasswordHash, u.CreatedAt)
	if err != nil || applied {
		return err
	}
	// It may have met its own row, written by an attempt whose answer was lost.
	stored, retired, err := s.user(ctx, u.Username, serial)
	if err == nil && retired {
		applied, err = s.cas(ctx, takeReleasedName, u.Email, u.DisplayName, u.PasswordHash, u.CreatedAt, u.Username, u.CreatedAt.UnixMicro())
		if err != nil || applied {
			return err
		}
		stored, retired, err = s.user(ctx, u.Username, serial)
	}
	if err != nil {
		return err
	}
	if retired || stored.PasswordHash != u.PasswordHash {
		return twtr.Errorf(twtr.Conflict, "username %s is taken", u.Username)
	}
	return nil
}

// User implements [twtr.UserStore].
func (s *Store) User(ctx context.Context, username string) (twtr.User, error) {
	return s.activeUser(ctx, username, gocql.LocalQuorum)
}

// activeUser returns the user, or [twtr.NotFound] if there is none, or a retired one.
func (s *Store) activeUser(ctx context.Context, username string, consistency gocql.Consistency) (twtr.User, error) {
	u, retired, err := s.user(ctx, username, consistency)
	if err == nil && retired {
		return twtr.User{}, noUser(username)
	}
	return u, err
}

func noUser(username string) error {
	return twtr.Errorf(twtr.NotFound, "there is no user %s", username)
}

// user returns the user, also a retired one.
func (s *Store) user(ctx context.Context, username string, consistency gocql.Consistency) (u twtr.User, retired bool, err error) {
	u.Username = username
	var createdAt time.Time
	found, err := s.one(ctx, consistency, selectUser, []any{username}, &u.Email, &u.DisplayName, &u.PasswordHash, &createdAt, &retired)
	if err != nil {
		return twtr.User{}, false, err
	}
	if !found {
		return twtr.User{}, false, noUser(username)
	}
	u.CreatedAt = createdAt.UTC()
	return u, retired, nil
}

// SetPassword implements [twtr.UserStore].
func (s *Store) SetPassword(ctx context.Context, username, oldHash, newHash string) error {
	applied, err := s.cas(ctx, setPassword, newHash, username, oldHash)
	if err != nil || applied {
		return err
	}
	// It may have met its own hash, written by an attempt whose answer was lost.
	stored, err := s.activeUser(ctx, username, serial)
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
	_, err := s.cas(ctx, retireUser, username)
	return err
}

// ReleaseUsername implements [twtr.UserStore].
func (s *Store) ReleaseUsername(ctx context.Context, username string, from time.Time) error {
	applied, err := s.cas(ctx, releaseName, from.UnixMicro(), username)
	if err != nil || applied {
		return err
	}
	_, err = s.cas(ctx, releaseNameSooner, from.UnixMicro(), username, from.UnixMicro())
	return err
}
