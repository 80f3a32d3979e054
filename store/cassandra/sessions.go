package cassandra

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"

	"github.com/twtr-dev/twtr"
)

// Lightweight transactions only: their timestamps come from the replicas, and can't be compared with those of plain writes.
const (
	insertSession = `INSERT INTO sessions (family, username, client, token_hash, created_at, refreshed_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS USING TTL ?`
	selectSession = `SELECT family, username, client, token_hash, created_at, refreshed_at, expires_at FROM sessions
		WHERE family = ?`
	selectSessions = `SELECT family, username, client, token_hash, created_at, refreshed_at, expires_at FROM sessions
		WHERE family IN ? LIMIT ?`
	// All columns, for each has a TTL of its own.
	rotateSession = `UPDATE sessions USING TTL ? SET username = ?, client = ?, created_at = ?, token_hash = ?, refreshed_at = ?, expires_at = ?
		WHERE family = ? IF token_hash = ?`
	// It also ends a session that is not there: null is not true.
	endSession = `UPDATE sessions USING TTL ? SET ended = true, username = null, client = null, token_hash = null, created_at = null,
		refreshed_at = null, expires_at = null WHERE family = ? IF ended != true`
)

// The write timestamp of a row of sessions_by_user is the time in its family, that of its mark a later one.
const (
	insertSessionByUser = `INSERT INTO sessions_by_user (username, family, ended) VALUES (?, ?, false) USING TIMESTAMP ? AND TTL ?`
	// A mark instead of a tombstone: Cassandra refuses to read a partition that has too many.
	markSessionByUser    = `INSERT INTO sessions_by_user (username, family, ended) VALUES (?, ?, true) USING TIMESTAMP ? AND TTL ?`
	selectSessionsByUser = `SELECT family FROM sessions_by_user WHERE username = ? AND family < ? AND ended = false LIMIT ? ALLOW FILTERING`

	insertEndedSession  = `INSERT INTO ended_sessions (minute, ended_at, family) VALUES (?, ?, ?) USING TTL ?`
	selectEndedSessions = `SELECT family FROM ended_sessions WHERE minute IN ? AND ended_at >= ?`
)

// ttl is how many seconds a row is kept: up to two more than needed, because Cassandra counts from the beginning of the
// second. It reads the clock, as all that expires must; whether a session has expired is decided by its expires_at.
func ttl(expiresAt time.Time) int {
	return max(1, int(time.Until(expiresAt).Seconds())+2)
}

// sessionTTL is that of a row that outlives its session, however often that is refreshed.
const sessionTTL = int(twtr.MaxSessionLife/time.Second) + 60

// CreateSession implements [twtr.SessionStore]. The list has the session first, so that it has every one that there is.
func (s *Store) CreateSession(ctx context.Context, session twtr.Session) error {
	family := gocql.UUID(session.Family)
	err := s.exec(ctx, insertSessionByUser, session.Username, family, twtr.TimeOf(session.Family).UnixMicro(), sessionTTL)
	if err != nil {
		return err
	}
	_, err = s.cas(ctx, insertSession, family, session.Username, session.Client, session.TokenHash,
		session.CreatedAt, session.RefreshedAt, session.ExpiresAt, ttl(session.ExpiresAt))
	return err
}

// columns are where selectSession is scanned into.
func columns(session *twtr.Session) []any {
	return []any{(*gocql.UUID)(&session.Family), &session.Username, &session.Client, &session.TokenHash,
		&session.CreatedAt, &session.RefreshedAt, &session.ExpiresAt}
}

// holds reports whether a stored session has neither ended, which removes its expiry, nor expired.
func holds(session twtr.Session) bool { return session.ExpiresAt.After(time.Now()) }

// Session implements [twtr.SessionStore].
func (s *Store) Session(ctx context.Context, family uuid.UUID) (twtr.Session, error) {
	var session twtr.Session
	_, err := s.one(ctx, serial, selectSession, []any{gocql.UUID(family)}, columns(&session)...)
	if err != nil {
		return twtr.Session{}, err
	}
	if !holds(session) {
		return twtr.Session{}, twtr.Errorf(twtr.NotFound, "there is no such session")
	}
	return session, nil
}

// sessionsPage is how many sessions of a user are read at a time. More than a client asks for: some may have expired.
const sessionsPage = 100

// SessionsByUser implements [twtr.SessionStore].
func (s *Store) SessionsByUser(ctx context.Context, username string, before uuid.UUID, limit int) ([]twtr.Session, error) {
	var all []twtr.Session
	for {
		families, err := list(ctx, s, scanFamily, sessionsPage, selectSessionsByUser, username, upperBound(before))
		if err != nil || len(families) == 0 {
			return all, err
		}
		page, err := s.sessions(ctx, families)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(all) >= limit || len(families) < sessionsPage {
			return all[:min(len(all), limit)], nil
		}
		before = uuid.UUID(families[len(families)-1])
	}
}

func scanFamily(row gocql.Scanner) (family gocql.UUID, err error) {
	err = row.Scan(&family)
	return family, err
}

// sessions returns those of the families that are there and have neither ended nor expired, newest first.
func (s *Store) sessions(ctx context.Context, families []gocql.UUID) ([]twtr.Session, error) {
	stored, err := list(ctx, s, func(row gocql.Scanner) (session twtr.Session, err error) {
		err = row.Scan(columns(&session)...)
		return session, err
	}, len(families), selectSessions, families)
	if err != nil {
		return nil, err
	}
	stored = slices.DeleteFunc(stored, func(session twtr.Session) bool { return !holds(session) })
	slices.SortFunc(stored, func(a, b twtr.Session) int { return bytes.Compare(b.Family[:], a.Family[:]) })
	return stored, nil
}

// RotateSession implements [twtr.SessionStore].
func (s *Store) RotateSession(ctx context.Context, spent []byte, next twtr.Session) error {
	// The row of an expired session stays for some seconds.
	stored, err := s.Session(ctx, next.Family)
	if err != nil {
		return err
	}
	if !bytes.Equal(stored.TokenHash, next.TokenHash) {
		applied, err := s.cas(ctx, rotateSession, ttl(next.ExpiresAt), stored.Username, stored.Client, stored.CreatedAt,
			next.TokenHash, next.RefreshedAt, next.ExpiresAt, gocql.UUID(next.Family), spent)
		if err != nil || applied {
			return err
		}
		// It may have met its own row, written by an attempt whose answer was lost.
		if stored, err = s.Session(ctx, next.Family); err != nil {
			return err
		}
	}
	if !bytes.Equal(stored.TokenHash, next.TokenHash) {
		return twtr.Errorf(twtr.Conflict, "the refresh token is spent")
	}
	return nil
}

// endsMargin is how much longer than promised the ends of sessions are kept, for clocks that differ. The clocks of two processes
// may differ by 30 s.
const endsMargin = time.Minute

// endsAhead is how far ahead of the clock ends of sessions are looked for.
const endsAhead = 2 * time.Minute

// EndSession implements [twtr.SessionStore]. The end is remembered first: if the rest fails, access tokens end, and the caller
// repeats it. The mark is last, for it only spares the list a row.
func (s *Store) EndSession(ctx context.Context, family uuid.UUID, at time.Time) error {
	id := gocql.UUID(family)
	err := s.exec(ctx, insertEndedSession, minute(at), at.UnixMicro(), id, ttl(at.Add(twtr.EndedSessionsKept+endsMargin)))
	if err != nil {
		return err
	}
	var stored twtr.Session
	if _, err := s.one(ctx, gocql.LocalQuorum, selectSession, []any{id}, columns(&stored)...); err != nil {
		return err
	}
	// The row stays, so that a late retry of the session's creation finds it.
	if _, err := s.cas(ctx, endSession, sessionTTL, id); err != nil {
		return err
	}
	if stored.Username == "" {
		return nil
	}
	return s.exec(ctx, markSessionByUser, stored.Username, id, twtr.TimeOf(family).UnixMicro()+1, sessionTTL)
}

// minute is the partition of the sessions that end at that time.
func minute(at time.Time) int64 { return at.Unix() / 60 }

// EndedSessions implements [twtr.SessionStore].
func (s *Store) EndedSessions(ctx context.Context, since time.Time) ([]uuid.UUID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := time.Now()
	if oldest := now.Add(-twtr.EndedSessionsKept - endsMargin); since.Before(oldest) {
		since = oldest // what ended before has expired
	}
	var minutes []int64
	for m := minute(since); m <= minute(now.Add(endsAhead)); m++ {
		minutes = append(minutes, m)
	}
	if len(minutes) == 0 { // since is later than any end that is looked for
		return nil, nil
	}
	rows := s.session.Query(selectEndedSessions, minutes, since.UnixMicro()).WithContext(ctx).Idempotent(true).Iter().Scanner()
	var families []uuid.UUID
	for rows.Next() {
		family, err := scanFamily(rows)
		if err != nil {
			return nil, mapError(ctx, err)
		}
		families = append(families, uuid.UUID(family))
	}
	if err := rows.Err(); err != nil {
		return nil, mapError(ctx, err)
	}
	// A session that ended twice is there twice.
	slices.SortFunc(families, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(families), nil
}
