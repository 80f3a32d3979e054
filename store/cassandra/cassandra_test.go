package cassandra

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/store/storetest"
)

// testConfig names a keyspace of the test's own, which does not exist yet, on the Cassandra that TWTR_TEST_CASSANDRA names.
func testConfig(t *testing.T) Config {
	hosts := os.Getenv("TWTR_TEST_CASSANDRA")
	if hosts == "" {
		if os.Getenv("REQUIRE_CASSANDRA") != "" {
			t.Fatal("REQUIRE_CASSANDRA is set, but TWTR_TEST_CASSANDRA names no Cassandra")
		}
		t.Skip("no Cassandra: set TWTR_TEST_CASSANDRA to its hosts, or run make test")
	}
	c := Config{
		Hosts:       strings.Split(hosts, ","),
		Keyspace:    "twtr_test_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:16],
		Replication: "{'class': 'SimpleStrategy', 'replication_factor': 1}",
	}
	t.Cleanup(func() {
		session, err := c.connect(context.Background(), "")
		require.NoError(t, err)
		defer session.Close()
		require.NoError(t, session.Query("DROP KEYSPACE IF EXISTS "+c.Keyspace).Exec())
	})
	return c
}

func open(t *testing.T, c Config) *Store {
	s, err := Open(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func TestStore(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	s := open(t, c)
	// In a group, so that the store is closed after the parallel cases.
	t.Run("contract", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) twtr.Store { return s })
	})
}

func TestThreeMigrateAtOnce(t *testing.T) {
	c := testConfig(t)
	for range 2 { // nothing there, and up to date
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := Migrate(t.Context(), c); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	require.NoError(t, open(t, c).Ping(t.Context()))
}

func TestMigrateStartsOverWhereAProcessDied(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	session, err := c.connect(t.Context(), c.Keyspace)
	require.NoError(t, err)
	defer session.Close()
	for _, statement := range []string{
		"DROP TABLE feed_items",
		"TRUNCATE schema_migrations",
		"INSERT INTO schema_migrations (version, dirty) VALUES (1, true)",
	} {
		require.NoError(t, session.Query(statement).Exec())
	}
	_, err = Open(t.Context(), c)
	require.ErrorContains(t, err, "in the middle of the migration to version 1: run `twtr migrate`")
	require.NoError(t, Migrate(t.Context(), c))
	items, err := open(t, c).Feed(t.Context(), "ann", twtr.Window{}, 10)
	require.NoError(t, err)
	require.Empty(t, items)
}

func TestAnEdgeOfAnEarlierVersionIsSinceTheTimeItWasPut(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	s := open(t, c)
	f := twtr.Follow{Follower: "bob", Followee: "ann", At: time.Now().UTC().Truncate(time.Millisecond)}
	at := f.At.UnixMicro()
	require.NoError(t, s.exec(t.Context(), "INSERT INTO followings (username, followee, followed_at) VALUES ('bob', 'ann', ?) USING TIMESTAMP ?", at, at))
	f.Since = twtr.FirstTweetID(f.At)
	got, err := s.Follow(t.Context(), "bob", "ann")
	require.NoError(t, err)
	require.Equal(t, f, got)
	got, err = s.FollowChanged(t.Context(), "bob", "ann")
	require.NoError(t, err)
	require.Equal(t, twtr.Follow{At: f.At}, got)
}

func TestTheLeaseOfADeadProcessExpiresAndThatOfALivingOneDoesNot(t *testing.T) {
	t.Parallel() // it mostly waits
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	session, err := c.connect(t.Context(), c.Keyspace)
	require.NoError(t, err)
	defer session.Close()
	newLease := func() *lease {
		return &lease{session: session, owner: gocql.UUID(uuid.New()), life: 2 * time.Second}
	}
	living := newLease()
	held, release, err := living.take(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*living.life)
	defer cancel()
	_, _, err = newLease().take(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, held.Err())
	release()

	dead := newLease()
	ok, err := dead.cas(t.Context(), takeLease, dead.owner, dead.ttl())
	require.NoError(t, err)
	require.True(t, ok)
	_, release, err = newLease().take(t.Context())
	require.NoError(t, err)
	release()
}

func TestALostLeaseEndsItsContext(t *testing.T) {
	t.Parallel() // it mostly waits
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	session, err := c.connect(t.Context(), c.Keyspace)
	require.NoError(t, err)
	defer session.Close()
	l := &lease{session: session, owner: gocql.UUID(uuid.New()), life: time.Second}
	held, release, err := l.take(t.Context())
	require.NoError(t, err)
	defer release()
	ok, err := l.cas(t.Context(), `UPDATE migration_lease SET owner = ? WHERE name = 'migrate' IF EXISTS`, gocql.UUID(uuid.New()))
	require.NoError(t, err)
	require.True(t, ok)
	<-held.Done()
	require.ErrorIs(t, context.Cause(held), errLeaseLost)
}

func TestAKeyspaceOfAnEarlierTwtrIsRefusedAndLeftAsItIs(t *testing.T) {
	c := testConfig(t)
	session, err := c.connect(t.Context(), "")
	require.NoError(t, err)
	defer session.Close()
	for _, statement := range []string{
		fmt.Sprintf(createKeyspace, c.Keyspace, c.Replication),
		"CREATE TABLE " + c.Keyspace + ".tweets (id uuid PRIMARY KEY, username text, content text)",
		"CREATE TABLE " + c.Keyspace + ".schema_migrations (version bigint PRIMARY KEY, dirty boolean)",
		"INSERT INTO " + c.Keyspace + ".schema_migrations (version, dirty) VALUES (2, false)",
	} {
		require.NoError(t, session.Query(statement).Exec())
	}
	want := "cassandra keyspace " + c.Keyspace + ": its schema is of an earlier, incompatible twtr: " +
		"use another keyspace (cassandra.keyspace), or drop this one with all its data"
	_, err = Open(t.Context(), c)
	require.EqualError(t, err, want)
	require.EqualError(t, Migrate(t.Context(), c), want)
	var tables int
	require.NoError(t, session.Query("SELECT count(*) FROM system_schema.tables WHERE keyspace_name = ?", c.Keyspace).Scan(&tables))
	require.Equal(t, 2, tables)
}

func TestRemovalsOfFollowsAreRememberedForADay(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	s := open(t, c)
	f := twtr.Follow{Follower: "bob", Followee: "ann", At: time.Now()}
	require.NoError(t, s.DeleteFollow(t.Context(), f))
	var seconds int
	require.NoError(t, s.session.Query("SELECT TTL(removed_at) FROM unfollows WHERE follower = ? AND followee = ?", f.Follower, f.Followee).Scan(&seconds))
	require.Greater(t, seconds, 24*60*60)
}

func TestOpenRefusesAKeyspaceThatWasNotMigrated(t *testing.T) {
	c := testConfig(t)
	begin := time.Now()
	_, err := Open(t.Context(), c)
	require.Less(t, time.Since(begin), 10*time.Second)
	require.ErrorContains(t, err, "no keyspace "+c.Keyspace+": run `twtr migrate`")
	session, err := c.connect(t.Context(), "")
	require.NoError(t, err)
	defer session.Close()
	require.NoError(t, session.Query(fmt.Sprintf(createKeyspace, c.Keyspace, c.Replication)).Exec())
	_, err = Open(t.Context(), c)
	require.ErrorContains(t, err, "the schema is at version 0, this program needs ")
}

func TestOpenNamesTheHostsThatDoNotAnswer(t *testing.T) {
	_, err := Open(t.Context(), Config{Hosts: []string{"127.0.0.1:1"}, Keyspace: "twtr"})
	require.ErrorContains(t, err, "cassandra does not answer at 127.0.0.1:1 (cassandra.hosts)")
	require.NotContains(t, err.Error(), "\n")
}

// faultyDialer makes connections to Cassandra, which drop all answers while they are mute.
type faultyDialer struct {
	net.Dialer
	mute atomic.Bool
}

func (d *faultyDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, addr)
	return faultyConn{conn, d}, err
}

type faultyConn struct {
	net.Conn
	dialer *faultyDialer
}

func (c faultyConn) Read(p []byte) (n int, err error) {
	for {
		n, err = c.Conn.Read(p)
		if err != nil || !c.dialer.mute.Load() {
			return n, err
		}
	}
}

// attempts counts the attempts of statements that begin with prefix.
type attempts struct {
	prefix string
	n      atomic.Int32
}

func (a *attempts) ObserveQuery(_ context.Context, q gocql.ObservedQuery) {
	if strings.HasPrefix(q.Statement, a.prefix) {
		a.n.Add(1)
	}
}

// sameHost retries on the host that failed: there is only one here.
type sameHost struct{ gocql.SimpleRetryPolicy }

func (sameHost) GetRetryType(error) gocql.RetryType { return gocql.Retry }

func TestALightweightTransactionWhoseAnswerIsLostIsNotRetried(t *testing.T) {
	t.Parallel() // it mostly waits
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	setup, at := open(t, c), time.Now()
	for _, name := range []string{"other", "released"} {
		require.NoError(t, setup.CreateUser(t.Context(), twtr.User{Username: name, PasswordHash: "old"}))
		require.NoError(t, setup.RetireUser(t.Context(), name))
		require.NoError(t, setup.ReleaseUsername(t.Context(), name, at))
	}
	create := func(s *Store, name string) error {
		return s.CreateUser(t.Context(), twtr.User{Username: name, PasswordHash: "hash", CreatedAt: at})
	}
	setPasswordOf := func(s *Store, name string) error { return s.SetPassword(t.Context(), name, "hash", "new") }
	fail := func(s *Store, name string) error {
		none, one := twtr.LoginFailures{Username: name}, twtr.LoginFailures{Username: name, Count: 1, Last: at}
		return s.ReplaceLoginFailures(t.Context(), none, one)
	}

	dialer := &faultyDialer{}
	for _, transaction := range []struct {
		statement string
		attempts  int32
		name      string
		run       func(s *Store, name string) error
	}{
		{insertUser, 1, "ann", create},
		{takeReleasedName, 1, "released", func(s *Store, name string) error {
			_, err := s.cas(t.Context(), takeReleasedName, "", "", "hash", at, name, at.UnixMicro())
			return err
		}},
		{setPassword, 1, "ann", setPasswordOf},
		{insertLoginFailures, 1, "ann", fail},
		{takeLease, 1, "", func(s *Store, _ string) error {
			_, err := (&lease{session: s.session, life: time.Second}).cas(t.Context(), takeLease, gocql.UUID(uuid.New()), 1)
			return err
		}},
		{selectUser, 2, "ann", func(s *Store, name string) error { _, err := s.User(t.Context(), name); return err }}, // so these faults are retried
	} {
		seen := &attempts{prefix: transaction.statement}
		c.adjust = func(cluster *gocql.ClusterConfig) {
			cluster.Timeout = time.Second
			cluster.Dialer, cluster.QueryObserver = dialer, seen
			cluster.RetryPolicy = &sameHost{gocql.SimpleRetryPolicy{NumRetries: 1}}
		}
		s := open(t, c)
		// The driver has the statement prepared the first time. An answer to that must not be the one that is lost.
		require.NoError(t, transaction.run(s, "other"), transaction.statement)
		seen.n.Store(0)
		dialer.mute.Store(true)
		err := transaction.run(s, transaction.name)
		dialer.mute.Store(false)
		require.Error(t, err)
		require.Equal(t, transaction.attempts, seen.n.Load(), transaction.statement)
	}

	// Each lost answer was a success.
	for name, want := range map[string]string{"ann": "new", "released": "hash"} {
		u, err := setup.User(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, want, u.PasswordHash)
	}
	require.NoError(t, setPasswordOf(setup, "ann"))
	require.NoError(t, create(setup, "released"))
	require.NoError(t, setup.SetPassword(t.Context(), "ann", "new", "hash"))
	require.NoError(t, create(setup, "ann"))
	require.Equal(t, twtr.Conflict, twtr.ErrorCode(fail(setup, "ann")), "or another caller's, of the same time")
}

func TestALeaseIsTakenThoughTheAnswerIsLostAndLostInTimeWhenNoAnswerComes(t *testing.T) {
	t.Parallel() // it mostly waits
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	dialer := &faultyDialer{}
	c.adjust = func(cluster *gocql.ClusterConfig) { cluster.Dialer = dialer }
	cluster, err := c.cluster(c.Keyspace)
	require.NoError(t, err)
	session, err := c.open(t.Context(), cluster)
	require.NoError(t, err)
	defer session.Close()
	l := &lease{session: session, owner: gocql.UUID(uuid.New()), life: 5 * time.Second}
	dialer.mute.Store(true)
	time.AfterFunc(requestTimeout/2, func() { dialer.mute.Store(false) })
	held, release, err := l.take(t.Context())
	require.NoError(t, err)
	defer release()
	taken := time.Now()
	dialer.mute.Store(true)
	defer dialer.mute.Store(false)
	<-held.Done()
	require.ErrorIs(t, context.Cause(held), errLeaseLost)
	require.Less(t, time.Since(taken), l.life, "another process may have it from then on")
}
