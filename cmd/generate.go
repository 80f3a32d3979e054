package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/twtr-dev/twtr"
)

// generation says what to generate. The same values give the same data each time: a second run changes nothing.
type generation struct {
	store twtr.Store
	seed  uint64

	users, follows, tweets int
	skew                   float64

	followers int
	of        string
}

// generatedSince is when the generated users signed up and followed, and the time of the first generated tweet.
var generatedSince = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func generateCommand(s *Settings) *cobra.Command {
	var g generation
	command := &cobra.Command{
		Use:   "generate",
		Short: "Write many users, follows and tweets directly to the store, to try it at scale",
		Long: `Write many users, follows and tweets directly to the store, without workflows. The same flags write the same data, so run the
same command again after an interruption: it resumes where it stopped.

  twtr generate --users 10000 --follows 50 --tweets 100000   a graph in which few users have most followers (a power law)
  twtr generate --followers 1000000 --of ann                 a million followers of one user

Users are named g<seed>-0, g<seed>-1, …, and cannot log in. Followers from --followers have no account unless --users
creates it. Tweets are not delivered: twtr rebuild-feed USER fills a feed.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			g.of = twtr.FoldUsername(g.of)
			if err := g.validate(); err != nil {
				return usageError{err}
			}
			config, err := s.Parse()
			if err != nil {
				return err
			}
			if g.store, err = config.Store.open(c.Context()); err != nil {
				return err
			}
			defer g.store.Close()
			return g.run(c)
		},
	}
	flags := command.Flags()
	flags.Uint64Var(&g.seed, "seed", 1, "random seed for names and follows")
	flags.IntVar(&g.users, "users", 0, "number of users")
	flags.IntVar(&g.follows, "follows", 0, "follows per user (approximate)")
	flags.Float64Var(&g.skew, "skew", 1.1, "exponent of the power law of followers per user; above 1")
	flags.IntVar(&g.tweets, "tweets", 0, "number of tweets, by all users in turn")
	flags.IntVar(&g.followers, "followers", 0, "number of followers of one user")
	flags.StringVar(&g.of, "of", "", "existing user to give followers to")
	return reads(command, storeSettings...)
}

func (g *generation) validate() error {
	switch {
	case g.users == 0 && g.followers == 0:
		return errors.New("set --users, or --followers and --of USER")
	case g.users < 0 || g.followers < 0 || g.tweets < 0:
		return errors.New("numbers must not be negative")
	case (g.followers > 0) != (g.of != ""):
		return errors.New("--followers and --of must be set together")
	case g.users == 0 && (g.follows > 0 || g.tweets > 0):
		return errors.New("--follows and --tweets need --users")
	case g.follows < 0 || g.follows > twtr.MaxFollowings:
		return fmt.Errorf("--follows must be from 0 to %d", twtr.MaxFollowings)
	case g.skew <= 1:
		return errors.New("--skew must be above 1")
	}
	return twtr.ValidateUsername("the name of the last user", g.name(max(g.users, g.followers)-1))
}

func (g *generation) run(c *cobra.Command) error {
	ctx := c.Context()
	if g.of != "" {
		if _, err := g.store.User(ctx, g.of); err != nil {
			return err
		}
	}
	stages := []stage{
		{name: "users", n: g.users, put: g.putUser, has: g.hasUser},
		{name: "follows", n: g.users * min(1, g.follows), put: g.putFollows, has: g.hasFollows, size: func(i int) int { return len(g.followees(i)) }},
		{name: "tweets", n: g.tweets, put: g.putTweet, has: g.hasTweet},
		{name: "followers of " + g.of, n: g.followers, put: g.putFollower, has: g.hasFollower},
		{name: "follower counts", n: g.users * min(1, g.follows), put: func(ctx context.Context, i int) error { return g.count(ctx, g.name(i)) }},
		{name: "follower count of " + g.of, n: min(1, g.followers), put: func(ctx context.Context, _ int) error { return g.count(ctx, g.of) }},
	}
	for _, stage := range stages {
		if stage.n == 0 {
			continue
		}
		if err := stage.run(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", stage.name, err)
		}
	}
	return nil
}

// stage writes n entries, in the order of their numbers except for those in flight at the same time.
type stage struct {
	name string
	n    int
	put  func(ctx context.Context, i int) error
	has  func(ctx context.Context, i int) (bool, error) // nil: what the store has is unknown
	size func(i int) int                                // of an entry, in rows; nil: each is one row
}

// generators is how many entries are written concurrently, near the store's own limit.
const generators = 128

// rows counts the rows of the entries from from up to to.
func (s stage) rows(from, to int) int {
	if s.size == nil {
		return to - from
	}
	n := 0
	for i := from; i < to; i++ {
		n += s.size(i)
	}
	return n
}

func (s stage) run(ctx context.Context, c *cobra.Command) error {
	begin, err := s.begin(ctx)
	if err != nil {
		return err
	}
	found, total := s.rows(0, begin), s.rows(0, s.n)
	bar := progressbar.NewOptions(total,
		progressbar.OptionSetVisibility(isTerminal(c.ErrOrStderr())),
		progressbar.OptionSetWriter(c.ErrOrStderr()), progressbar.OptionSetDescription(s.name), progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionThrottle(200*time.Millisecond),
		progressbar.OptionOnCompletion(func() { fmt.Fprintln(c.ErrOrStderr()) }))
	if err := bar.Set(found); err != nil {
		return err
	}
	started := time.Now()
	var next atomic.Int64
	next.Store(int64(begin))
	g, ctx := errgroup.WithContext(ctx)
	for range generators {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < s.n; i = int(next.Add(1)) - 1 {
				if err := s.put(ctx, i); err != nil {
					return err
				}
				if err := bar.Add(s.rows(i, i+1)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: %d, of which %d existed; %.0f per second\n", s.name, total, found, float64(total-found)/time.Since(started).Seconds())
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// begin returns where to resume: entries in flight when the last run stopped precede those it never started.
func (s stage) begin(ctx context.Context) (int, error) {
	if s.has == nil {
		return 0, nil
	}
	var failed error
	first := sort.Search(s.n, func(i int) bool {
		has, err := s.has(ctx, i)
		if err != nil {
			failed = err
		}
		return !has
	})
	if first == s.n {
		return s.n, failed
	}
	return max(0, first-generators), failed
}

func (g *generation) name(i int) string { return fmt.Sprintf("g%d-%d", g.seed, i) }

func exists(err error) (bool, error) {
	if twtr.ErrorCode(err) == twtr.NotFound {
		return false, nil
	}
	return err == nil, err
}

func (g *generation) putUser(ctx context.Context, i int) error {
	name := g.name(i)
	return g.store.CreateUser(ctx, twtr.User{
		Username:    name,
		Email:       name + "@example.com",
		DisplayName: name,
		// It is the hash of no password.
		PasswordHash: "generated " + strconv.FormatUint(g.seed, 10),
		CreatedAt:    generatedSince,
	})
}

func (g *generation) hasUser(ctx context.Context, i int) (bool, error) {
	_, err := g.store.User(ctx, g.name(i))
	return exists(err)
}

// random returns a source for each entry, so that an entry is the same whatever was generated before it.
func (g *generation) random(i int) *rand.Rand {
	return rand.New(rand.NewPCG(g.seed, uint64(i))) //nolint:gosec // G404: made-up data, the same for the same seed
}

// followees returns whom a user follows: mostly users with small numbers, by Zipf's law.
func (g *generation) followees(i int) (names []string) {
	zipf := rand.NewZipf(g.random(i), g.skew, 1, uint64(g.users-1))
	chosen := map[uint64]bool{uint64(i): true}
	for range g.follows {
		if n := zipf.Uint64(); !chosen[n] {
			chosen[n] = true
			names = append(names, g.name(int(n)))
		}
	}
	return names
}

func (g *generation) putFollows(ctx context.Context, i int) error {
	for _, followee := range g.followees(i) {
		if err := g.store.PutFollow(ctx, twtr.Follow{Follower: g.name(i), Followee: followee, At: generatedSince}); err != nil {
			return err
		}
	}
	return nil
}

// hasFollows reports whether a user's follows are stored. A user without generated follows counts as complete.
func (g *generation) hasFollows(ctx context.Context, i int) (bool, error) {
	names := g.followees(i)
	if len(names) == 0 {
		return true, nil
	}
	_, err := g.store.Follow(ctx, g.name(i), names[len(names)-1])
	return exists(err)
}

func (g *generation) putFollower(ctx context.Context, i int) error {
	return g.store.PutFollow(ctx, twtr.Follow{Follower: g.name(i), Followee: g.of, At: generatedSince})
}

func (g *generation) hasFollower(ctx context.Context, i int) (bool, error) {
	_, err := g.store.Follow(ctx, g.name(i), g.of)
	return exists(err)
}

// tweetID is a UUIDv7 (RFC 9562, 5.7); each tweet is a second newer than the one before it.
func (g *generation) tweetID(i int) uuid.UUID {
	var id uuid.UUID
	at := generatedSince.Add(time.Duration(i) * time.Second).UnixMilli()
	for b := range 6 {
		id[b] = byte(at >> (40 - 8*b))
	}
	r := g.random(i)
	for b := 6; b < len(id); b++ {
		id[b] = byte(r.Uint32())
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

func (g *generation) putTweet(ctx context.Context, i int) error {
	tweet, err := twtr.NewTweet(g.tweetID(i), g.name(i%g.users), twtr.Post{Content: fmt.Sprintf("tweet %d, generated", i)})
	if err != nil {
		return err
	}
	return g.store.PutTweet(ctx, tweet)
}

func (g *generation) hasTweet(ctx context.Context, i int) (bool, error) {
	_, err := g.store.Tweet(ctx, g.tweetID(i))
	return exists(err)
}

// count counts the followers of a user in each bucket. A count that another process stores meanwhile is counted again.
func (g *generation) count(ctx context.Context, username string) error {
	for bucket := range twtr.FollowerBuckets {
		for {
			err := g.countBucket(ctx, username, bucket)
			if twtr.ErrorCode(err) == twtr.Conflict {
				continue
			}
			if err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// countBucket replaces the count that was stored before it counted.
func (g *generation) countBucket(ctx context.Context, username string, bucket int) error {
	stored, err := g.store.FollowerCounts(ctx, username)
	if err != nil {
		return err
	}
	count := twtr.FollowerCount{Username: username, Bucket: bucket}
	if i := slices.IndexFunc(stored, func(c twtr.FollowerCount) bool { return c.Bucket == bucket }); i >= 0 {
		count = stored[i]
	}
	n, err := g.store.CountFollowers(ctx, username, bucket)
	if err != nil || n == count.Count {
		return err
	}
	count.Count = n
	count.Version++
	return g.store.PutFollowerCount(ctx, count)
}
