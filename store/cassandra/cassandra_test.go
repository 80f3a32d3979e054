package cassandra

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/store/storetest"
)

// testConfig is a keyspace of the test's own, not made yet, on the Cassandra that TWTR_TEST_CASSANDRA names.
func testConfig(t *testing.T) Config {
	hosts := os.Getenv("TWTR_TEST_CASSANDRA")
	if hosts == "" {
		if os.Getenv("REQUIRE_CASSANDRA") != "" {
			t.Fatal("REQUIRE_CASSANDRA is set, and TWTR_TEST_CASSANDRA names no Cassandra")
		}
		t.Skip("no Cassandra: set TWTR_TEST_CASSANDRA to its hosts, or run make test")
	}
	c := Config{
		Hosts:       strings.Split(hosts, ","),
		Keyspace:    "twtr_test_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:16],
		Replication: "{'class': 'SimpleStrategy', 'replication_factor': 1}",
	}
	t.Cleanup(func() {
		session, err := c.connect("")
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

func TestMigrateGoesOnWhereAProcessDied(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	session, err := c.connect(c.Keyspace)
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
	items, err := open(t, c).Feed(t.Context(), "ann", uuid.Nil, 10)
	require.NoError(t, err)
	require.Empty(t, items)
}

func TestTheLeaseOfADeadProcessRunsOutAndThatOfALivingOneDoesNot(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	session, err := c.connect(c.Keyspace)
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
	ok, err := dead.cas(t.Context(), takeLease, dead.owner, int(dead.life.Seconds()))
	require.NoError(t, err)
	require.True(t, ok)
	_, release, err = newLease().take(t.Context())
	require.NoError(t, err)
	release()
}

func TestWhoLosesTheLeaseIsTold(t *testing.T) {
	c := testConfig(t)
	require.NoError(t, Migrate(t.Context(), c))
	session, err := c.connect(c.Keyspace)
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

func TestOpenRefusesAKeyspaceThatWasNotMigrated(t *testing.T) {
	c := testConfig(t)
	_, err := Open(t.Context(), c)
	require.ErrorContains(t, err, "no keyspace "+c.Keyspace+": run `twtr migrate`")
	session, err := c.connect("")
	require.NoError(t, err)
	defer session.Close()
	require.NoError(t, session.Query(fmt.Sprintf(createKeyspace, c.Keyspace, c.Replication)).Exec())
	_, err = Open(t.Context(), c)
	require.ErrorContains(t, err, "the schema is at version 0, this program needs ")
}

func TestOpenSaysWhereNobodyAnswers(t *testing.T) {
	_, err := Open(t.Context(), Config{Hosts: []string{"127.0.0.1:1"}, Keyspace: "twtr"})
	require.ErrorContains(t, err, "cassandra does not answer at 127.0.0.1:1 (cassandra.hosts)")
	require.NotContains(t, err.Error(), "\n")
}
