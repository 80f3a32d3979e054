package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/store/sqlite"
	"github.com/twtr-dev/twtr/store/storetest"
)

// With one of these in its environment the test binary does one thing with the file it names.
const (
	migrateEnv = "TWTR_TEST_MIGRATE" // migrates it
	lockEnv    = "TWTR_TEST_LOCK"    // locks it, says so, and then waits to be killed
	writeEnv   = "TWTR_TEST_WRITE"   // writes to it, and says so after each tweet, until it is killed
)

func TestMain(m *testing.M) {
	ctx := context.Background()
	if path := os.Getenv(migrateEnv); path != "" {
		must(sqlite.Migrate(ctx, path))
		os.Exit(0)
	}
	if path := os.Getenv(lockEnv); path != "" {
		_, err := sqlite.Lock(ctx, path)
		must(err)
		fmt.Println("locked")
		select {}
	}
	if path := os.Getenv(writeEnv); path != "" {
		s, err := sqlite.Open(ctx, path)
		must(err)
		for {
			tweet, err := newTweet()
			must(err)
			must(s.PutTweet(ctx, tweet))
			fmt.Println(tweet.ID)
		}
	}
	os.Exit(m.Run())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func newTweet() (twtr.Tweet, error) {
	return twtr.NewTweet(uuid.Must(uuid.NewV7()), "ann", twtr.Post{Content: "hello"})
}

// process starts the test binary as a process of its own, which is killed at the end of the test at the latest.
func process(t *testing.T, env, path string) (kill func(), output *bufio.Scanner) {
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), env+"="+path)
	c.Stderr = os.Stderr
	pipe, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	kill = sync.OnceFunc(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // it was killed
	})
	t.Cleanup(kill)
	return kill, bufio.NewScanner(pipe)
}

// raw reads one value, or writes, without the store.
func raw(t *testing.T, path, query string) (value int) {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path}).String())
	require.NoError(t, err)
	defer db.Close()
	if strings.HasPrefix(query, "SELECT") {
		require.NoError(t, db.QueryRow(query).Scan(&value))
		return value
	}
	_, err = db.Exec(query)
	require.NoError(t, err)
	return 0
}

func open(t *testing.T, path string) *sqlite.Store {
	s, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func migrated(t *testing.T) (path string) {
	path = filepath.Join(t.TempDir(), "all of it: 100% #1?", "twtr.db")
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
	require.ErrorContains(t, err, "the schema is at version 0, this program needs ")
}

func TestAFileOfAnEarlierTwtrIsRefusedAndLeftAsItIs(t *testing.T) {
	for version, statements := range map[int]string{
		1: `CREATE TABLE tweets (id BLOB PRIMARY KEY, username TEXT NOT NULL, content TEXT NOT NULL) STRICT, WITHOUT ROWID`,
		2: `CREATE TABLE tweets (id BLOB PRIMARY KEY, username TEXT NOT NULL, content TEXT NOT NULL) STRICT, WITHOUT ROWID;
			CREATE TABLE idempotency_keys (username TEXT, key TEXT, content_hash BLOB)`,
	} {
		path := filepath.Join(t.TempDir(), "twtr.db")
		raw(t, path, fmt.Sprintf(`%s; CREATE TABLE schema_migrations (version uint64, dirty bool);
			INSERT INTO schema_migrations VALUES (%d, FALSE); INSERT INTO tweets VALUES (x'01', 'ann', 'hello')`, statements, version))
		const tables = `SELECT COUNT(*) FROM sqlite_master`
		before := raw(t, path, tables)
		const want = ": its schema is of an earlier, incompatible twtr: move the file away (with its -wal and -shm files), or set another one (sqlite.path)"
		for range 2 {
			_, err := sqlite.Open(t.Context(), path)
			require.EqualError(t, err, path+want)
			require.EqualError(t, sqlite.Migrate(t.Context(), path), path+want)
		}
		require.Equal(t, before, raw(t, path, tables))
		require.Equal(t, 1, raw(t, path, `SELECT COUNT(*) FROM tweets`))
	}
}

func TestMigrateStartsOverWhereAProcessDied(t *testing.T) {
	path := migrated(t)
	raw(t, path, `UPDATE schema_migrations SET dirty = TRUE`)
	raw(t, path, `DROP TABLE feed_trims`) // of the newest version
	_, err := sqlite.Open(t.Context(), path)
	require.ErrorContains(t, err, "run `twtr migrate`")
	require.NoError(t, sqlite.Migrate(t.Context(), path))
	_, err = open(t, path).FeedFloor(t.Context(), "bob", 1000)
	require.NoError(t, err)
}

func TestAnEdgeOfAnEarlierVersionIsSinceTheTimeItWasPut(t *testing.T) {
	path := migrated(t)
	at := time.Now().UTC().Truncate(time.Millisecond)
	raw(t, path, fmt.Sprintf(`INSERT INTO followings VALUES ('bob', 'ann', %d, FALSE)`, at.UnixMicro()))
	s := open(t, path)
	f, err := s.Follow(t.Context(), "bob", "ann")
	require.NoError(t, err)
	require.Equal(t, twtr.Follow{Follower: "bob", Followee: "ann", At: at, Since: twtr.FirstTweetID(at)}, f)
	f, err = s.FollowChanged(t.Context(), "bob", "ann")
	require.NoError(t, err)
	require.Equal(t, twtr.Follow{At: at}, f)
}

func TestALockForMigrationEndsWithItsProcess(t *testing.T) {
	path := migrated(t)
	kill, output := process(t, lockEnv, path+".migrate")
	require.True(t, output.Scan())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, sqlite.Migrate(ctx, path), context.DeadlineExceeded)
	kill()
	require.NoError(t, sqlite.Migrate(t.Context(), path))
}

func TestWhatAKilledProcessWroteIsThere(t *testing.T) {
	path := migrated(t)
	kill, output := process(t, writeEnv, path)
	s := open(t, path)
	var written []uuid.UUID
	for range 100 {
		require.True(t, output.Scan())
		written = append(written, uuid.MustParse(output.Text()))
		require.NoError(t, sqlite.Migrate(t.Context(), path), "while the others use the file")
	}
	kill()
	for _, id := range written {
		_, err := s.Tweet(t.Context(), id)
		require.NoError(t, err)
	}
	tweet, err := newTweet()
	require.NoError(t, err)
	require.NoError(t, s.PutTweet(t.Context(), tweet))
}

func TestAContextThatEndsInTheMiddleOfADeliveryLeavesAllOfItOrNothing(t *testing.T) {
	s := open(t, migrated(t))
	tweet, err := newTweet()
	require.NoError(t, err)
	readers := make([]string, 100_000)
	for i := range readers {
		readers[i] = fmt.Sprintf("reader-%06d", i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.PutFeedItem(ctx, tweet, readers), context.DeadlineExceeded)
	have, err := s.ReadersHavingFeedItem(t.Context(), tweet.ID, readers)
	require.NoError(t, err)
	// All of it, if the machine is so busy that the deadline is noticed only when the write is done.
	require.Contains(t, []int{0, len(readers)}, len(have))
	require.NoError(t, s.PutFeedItem(t.Context(), tweet, readers[:1000]))
}

func TestARemovalKeepsNoTextAndIsForgottenAfterTenDays(t *testing.T) {
	path := migrated(t)
	s := open(t, path)
	ctx, old := t.Context(), time.Now().Add(-11*24*time.Hour)
	tweet, err := newTweet()
	require.NoError(t, err)
	require.NoError(t, s.PutFeedItem(ctx, tweet, []string{"bob"}))
	require.NoError(t, s.DeleteFeedItems(ctx, "bob", []uuid.UUID{tweet.ID}, time.Now()))
	require.NoError(t, s.DeleteFeedItems(ctx, "old", []uuid.UUID{tweet.ID}, old))
	require.NoError(t, s.DeleteFollow(ctx, twtr.Follow{Follower: "bob", Followee: "ann", At: time.Now()}))
	require.NoError(t, s.DeleteFollow(ctx, twtr.Follow{Follower: "old", Followee: "ann", At: old}))
	require.NoError(t, s.PutFollow(ctx, twtr.Follow{Follower: "eve", Followee: "ann", At: old}))
	for _, at := range []time.Time{old, time.Now()} {
		session := twtr.Session{Family: uuid.New(), Username: "ann", TokenHash: []byte("hash"), ExpiresAt: at}
		require.NoError(t, s.CreateSession(ctx, session))
		require.NoError(t, s.EndSession(ctx, uuid.New(), at))
		failures := twtr.LoginFailures{Username: "ann", Source: at.String(), Count: 1, Last: at}
		require.NoError(t, s.ReplaceLoginFailures(ctx, twtr.LoginFailures{Username: "ann", Source: at.String()}, failures))
		require.NoError(t, s.PutKnownSource(ctx, "ann", at.String()))
	}
	raw(t, path, fmt.Sprintf(`UPDATE known_sources SET expires_at = %d WHERE source = '%s'`, old.UnixMilli(), old))
	for key, expires := range map[string]time.Time{"old": old, "new": time.Now()} {
		_, err := s.ClaimIdempotencyKey(ctx, twtr.IdempotencyClaim{Username: "ann", Key: key, TweetID: tweet.ID, RequestHash: []byte{1}, ExpiresAt: expires})
		require.NoError(t, err)
	}
	require.NoError(t, s.PutTweet(ctx, tweet))
	require.NoError(t, s.DeleteTweet(ctx, tweet))
	require.NoError(t, s.PutFeedItem(ctx, tweet, []string{"eve"}))
	require.NoError(t, s.RetractFeedItem(ctx, tweet.ID, []string{"eve", "zoe"}, old)) // a mark is no tombstone

	require.Equal(t, 0, raw(t, path, `SELECT COUNT(*) FROM feed_items WHERE body != '' OR author != ''`))
	require.Equal(t, 0, raw(t, path, `SELECT COUNT(*) FROM tweets_by_user WHERE body != ''`))
	for table, rows := range map[string]int{"feed_items": 4, "followers": 3, "followings": 3, "sessions": 2,
		"ended_sessions": 2, "login_failures": 2, "known_sources": 2, "idempotency_keys": 2, "deleted_tweets": 1, "tweets": 0, "tweets_by_user": 1} {
		require.Equal(t, rows, raw(t, path, `SELECT COUNT(*) FROM `+table), table)
	}
	require.NoError(t, sqlite.Migrate(ctx, path))
	for table, rows := range map[string]int{"feed_items": 3, "followers": 2, "followings": 2, "sessions": 1,
		"ended_sessions": 1, "login_failures": 1, "known_sources": 1, "idempotency_keys": 1, "deleted_tweets": 1} {
		require.Equal(t, rows, raw(t, path, `SELECT COUNT(*) FROM `+table), table)
	}
}

func TestOnlyItsOwnerReadsTheFile(t *testing.T) {
	file, err := os.Stat(migrated(t))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), file.Mode())
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
				tweet, err := newTweet()
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
		tweets, err := s.TweetsByUser(t.Context(), "ann", twtr.Window{}, 3*each)
		require.NoError(t, err)
		require.Len(t, tweets, 2*each)
	}
}

func TestAStoreThatAnotherProcessLocksIsUnavailableAndThenBack(t *testing.T) {
	path := migrated(t)
	s := open(t, path)
	unlock, err := sqlite.Lock(t.Context(), path)
	require.NoError(t, err)
	tweet, err := newTweet()
	require.NoError(t, err)
	require.Equal(t, twtr.Unavailable, twtr.ErrorCode(s.PutTweet(t.Context(), tweet)))
	_, err = s.Tweet(t.Context(), tweet.ID)
	require.Equal(t, twtr.NotFound, twtr.ErrorCode(err), "reads work")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.PutTweet(ctx, tweet), context.DeadlineExceeded)
	unlock()
	require.NoError(t, s.PutTweet(t.Context(), tweet))
}

func TestDataSurvivesClosing(t *testing.T) {
	path := migrated(t)
	tweet, err := newTweet()
	require.NoError(t, err)
	s := open(t, path)
	require.NoError(t, s.PutTweet(t.Context(), tweet))
	s.Close()
	require.NoError(t, sqlite.Migrate(t.Context(), path))
	got, err := open(t, path).Tweet(t.Context(), tweet.ID)
	require.NoError(t, err)
	require.Equal(t, tweet, got)
}

func TestAFullDiskIsAnOutage(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "full.db"))
	require.NoError(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1) // the limit is the connection's
	_, err = db.Exec(`CREATE TABLE t (content BLOB); PRAGMA max_page_count = 3`)
	require.NoError(t, err)
	_, err = db.Exec(`INSERT INTO t VALUES (zeroblob(100000))`)
	require.ErrorContains(t, err, "full")
	require.Equal(t, twtr.Unavailable, twtr.ErrorCode(sqlite.MapError(t.Context(), err)))
	_, err = db.Exec(`INSERT INTO t VALUES (1, 2)`)
	require.Equal(t, twtr.Internal, twtr.ErrorCode(sqlite.MapError(t.Context(), err)))
}
