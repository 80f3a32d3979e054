package cassandra

import (
	"context"
	"time"

	"github.com/gocql/gocql"

	"github.com/twtr-dev/twtr"
)

const (
	selectLoginFailures = `SELECT count, last FROM login_failures WHERE username = ? AND source = ?`
	insertLoginFailures = `INSERT INTO login_failures (username, source, count, last) VALUES (?, ?, ?, ?) IF NOT EXISTS USING TTL ?`
	updateLoginFailures = `UPDATE login_failures USING TTL ? SET count = ?, last = ? WHERE username = ? AND source = ? IF count = ? AND last = ?`
	deleteLoginFailures = `DELETE FROM login_failures WHERE username = ? AND source = ? IF count = ? AND last = ?`

	insertKnownSource = `INSERT INTO known_sources (username, source, expires_at) VALUES (?, ?, ?) USING TTL ?`
	selectKnownSource = `SELECT source FROM known_sources WHERE username = ? AND source = ?`
)

// LoginFailures implements [twtr.LoginStore]. Not a serial read, which would contend with the account's transactions: where it
// misses one whose outcome is unknown, the replacement is a conflict.
func (s *Store) LoginFailures(ctx context.Context, username, source string) (twtr.LoginFailures, error) {
	return s.loginFailures(ctx, username, source, gocql.LocalQuorum)
}

func (s *Store) loginFailures(ctx context.Context, username, source string, consistency gocql.Consistency) (twtr.LoginFailures, error) {
	f := twtr.LoginFailures{Username: username, Source: source}
	_, err := s.one(ctx, consistency, selectLoginFailures, []any{username, source}, &f.Count, &f.Last)
	return f, err
}

// ReplaceLoginFailures implements [twtr.LoginStore]. An attempt whose answer was lost is not recognized: another caller's, of
// the same time, would look the same.
func (s *Store) ReplaceLoginFailures(ctx context.Context, old, replacement twtr.LoginFailures) error {
	replaced, err := s.replaceLoginFailures(ctx, old, replacement)
	if err == nil && !replaced {
		return twtr.Errorf(twtr.Conflict, "the failed log-ins of %s were counted meanwhile", old.Username)
	}
	return err
}

func (s *Store) replaceLoginFailures(ctx context.Context, old, replacement twtr.LoginFailures) (replaced bool, err error) {
	expiry := ttl(replacement.Last.Add(twtr.LoginFailuresKept))
	switch {
	case old.Count == 0 && replacement.Count == 0:
		stored, err := s.loginFailures(ctx, old.Username, old.Source, serial)
		return stored.Count == 0, err
	case old.Count == 0:
		return s.cas(ctx, insertLoginFailures, old.Username, old.Source, replacement.Count, replacement.Last, expiry)
	case replacement.Count == 0:
		return s.cas(ctx, deleteLoginFailures, old.Username, old.Source, old.Count, old.Last)
	}
	return s.cas(ctx, updateLoginFailures, expiry, replacement.Count, replacement.Last, old.Username, old.Source, old.Count, old.Last)
}

// PutKnownSource implements [twtr.LoginStore].
func (s *Store) PutKnownSource(ctx context.Context, username, source string) error {
	return s.exec(ctx, insertKnownSource, username, source, time.Now().Add(twtr.KnownSourceKept), int(twtr.KnownSourceKept/time.Second))
}

// KnownSource implements [twtr.LoginStore].
func (s *Store) KnownSource(ctx context.Context, username, source string) (bool, error) {
	return s.one(ctx, gocql.LocalQuorum, selectKnownSource, []any{username, source}, &source)
}
