package sqlite_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/store/sqlite"
	"github.com/twtr-dev/twtr/store/storetest"
)

// migrateEnv makes the test binary a process that only migrates the file it names.
const migrateEnv = "TWTR_TEST_MIGRATE"

func TestMain(m *testing.M) {
	if path := os.Getenv(migrateEnv); path != "" {
		if err := sqlite.Migrate(context.Background(), path); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func open(t *testing.T, path string) *sqlite.Store {
	s, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func migrated(t *testing.T) (path string) {
	path = filepath.Join(t.TempDir(), "data", "twtr.db")
	require.NoError(t, sqlite.Migrate(t.Context(), path))
	return path
}

func TestStore(t *testing.T) {
	s := open(t, migrated(t))
	// In a group, so that the store is closed after the parallel cases.
	t.Run("contract", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) twtr.Store { return s })
	})
}

func TestOpenRefusesAFileThatWasNotMigrated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "twtr.db")
	_, err := sqlite.Open(t.Context(), path)
	require.ErrorContains(t, err, "run `twtr migrate`")
	require.NoFileExists(t, path)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err = sqlite.Open(t.Context(), path)
	require.ErrorContains(t, err, "the schema is at version 0, this program needs 1: run `twtr migrate`")
}

func TestThreeProcessesMigrateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "twtr.db")
	for range 2 { // a new file, and one that is up to date
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				c := exec.CommandContext(t.Context(), os.Args[0])
				c.Env = append(os.Environ(), migrateEnv+"="+path)
				out, err := c.CombinedOutput()
				if err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
		wg.Wait()
		require.NoError(t, open(t, path).Ping(t.Context()))
	}
}

func TestTwoStoresOnOneFileWriteAtOnceAndSeeEachOther(t *testing.T) {
	path := migrated(t)
	stores := []*sqlite.Store{open(t, path), open(t, path)}
	const each = 200
	var wg sync.WaitGroup
	for _, s := range stores {
		wg.Go(func() {
			for range each {
				tweet, err := twtr.NewTweet("ann", "hello")
				if err == nil {
					err = s.PutTweet(t.Context(), tweet)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		tweets, err := s.TweetsByUser(t.Context(), "ann", uuid.Nil, 3*each)
		require.NoError(t, err)
		require.Len(t, tweets, 2*each)
	}
}

func TestAStoreThatAnotherProcessLocksIsUnavailableAndThenBack(t *testing.T) {
	path := migrated(t)
	s := open(t, path)
	unlock, err := sqlite.Lock(t.Context(), path)
	require.NoError(t, err)
	tweet, err := twtr.NewTweet("ann", "hello")
	require.NoError(t, err)
	require.Equal(t, twtr.Unavailable, twtr.ErrorCode(s.PutTweet(t.Context(), tweet)))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.PutTweet(ctx, tweet), context.DeadlineExceeded)
	unlock()
	require.NoError(t, s.PutTweet(t.Context(), tweet))
}

func TestDataSurvivesClosing(t *testing.T) {
	path := migrated(t)
	tweet, err := twtr.NewTweet("ann", "hello")
	require.NoError(t, err)
	s := open(t, path)
	require.NoError(t, s.PutTweet(t.Context(), tweet))
	s.Close()
	require.NoError(t, sqlite.Migrate(t.Context(), path))
	got, err := open(t, path).Tweet(t.Context(), tweet.ID)
	require.NoError(t, err)
	require.Equal(t, tweet, got)
}
