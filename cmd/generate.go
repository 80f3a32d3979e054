package cmd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/twtr-dev/twtr"
)

// generation says what to generate. The same one gives the same data each time: a second run changes nothing.
type generation struct {
	store twtr.Store
	seed  uint64

	users, follows, tweets int
	skew                   float64

	followers int
	of        string
}

// generatedSince is when generated users signed up, and followed, and the first of them tweeted.
var generatedSince = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func generateCommand(s *Settings) *cobra.Command {
	var g generation
	command := &cobra.Command{
		Use:   "generate",
		Short: "Write many users, follows and tweets straight to the store, to try it at size",
		Long: `Write many users, follows and tweets straight to the store, without workflows. The same flags write the same data, so a run that
was stopped is simply started again: it goes on about where it was.

  twtr generate --users 10000 --follows 50 --tweets 100000   a graph in which few are followed by many (a power law)
  twtr generate --followers 1000000 --of ann                 so many followers of one user

Users are named g<seed>-0, g<seed>-1, …, and nobody can log in as one. Followers made by --followers have no account unless --users
makes one. Tweets are not delivered: twtr rebuild-feed USER fills a feed.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.validate(); err != nil {
				return usageError{err}
			}
			e, err := s.engine()
			if err != nil {
				return err
			}
			if g.store, err = e.open(c.Context(), s); err != nil {
				return err
			}
			defer g.store.Close()
			return g.run(c)
		},
	}
	flags := command.Flags()
	flags.Uint64Var(&g.seed, "seed", 1, "another seed is other users and another graph")
	flags.IntVar(&g.users, "users", 0, "how many users")
	flags.IntVar(&g.follows, "follows", 0, "how many of them each follows, or a few less")
	flags.Float64Var(&g.skew, "skew", 1.1, "exponent, above 1, of the power law by which they choose whom")
	flags.IntVar(&g.tweets, "tweets", 0, "how many tweets, of all users in turn")
	flags.IntVar(&g.followers, "followers", 0, "how many followers of one user")
	flags.StringVar(&g.of, "of", "", "that user, who exists")
	return command
}

func (g *generation) validate() error {
	switch {
	case g.users == 0 && g.followers == 0:
		return errors.New("say how many --users, or --followers --of USER")
	case g.users < 0 || g.followers < 0 || g.tweets < 0:
		return errors.New("a number must not be negative")
	case (g.followers > 0) != (g.of != ""):
		return errors.New("--followers goes with --of USER")
	case g.users == 0 && (g.follows > 0 || g.tweets > 0):
		return errors.New("--follows and --tweets go with --users")
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
	for _, stage := range []stage{
		{"users", g.users, g.putUser, g.hasUser},
		{"follows", g.users * min(1, g.follows), g.putFollows, g.hasFollows},
		{"tweets", g.tweets, g.putTweet, g.hasTweet},
		{"followers of " + g.of, g.followers, g.putFollower, g.hasFollower},
		{"counts", g.users * min(1, g.follows), func(ctx context.Context, i int) error { return g.count(ctx, g.name(i)) }, nil},
		{"counts of " + g.of, min(1, g.followers), func(ctx context.Context, _ int) error { return g.count(ctx, g.of) }, nil},
	} {
		if stage.n == 0 {
			continue
		}
		if err := stage.run(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", stage.name, err)
		}
	}
	return nil
}

// stage puts n things, in the order of their numbers but for those that are in hand at the same time.
type stage struct {
	name string
	n    int
	put  func(ctx context.Context, i int) error
	has  func(ctx context.Context, i int) (bool, error) // nil: it is not known what is there
}

// generators is how many things are in hand at a time: the store's own limit is near.
const generators = 128

func (s stage) run(ctx context.Context, c *cobra.Command) error {
	begin, err := s.begin(ctx)
	if err != nil {
		return err
	}
	bar := progressbar.NewOptions(s.n,
		progressbar.OptionSetWriter(c.ErrOrStderr()), progressbar.OptionSetDescription(s.name), progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionThrottle(200*time.Millisecond),
		progressbar.OptionOnCompletion(func() { fmt.Fprintln(c.ErrOrStderr()) }))
	// The rate is that of this run.
	if err := bar.Set(begin); err != nil {
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
				if err := bar.Add(1); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	took := time.Since(started)
	fmt.Fprintf(c.OutOrStdout(), "%s: %d, of which %d were there; %.0f a second\n", s.name, s.n, begin, float64(s.n-begin)/took.Seconds())
	return nil
}

// begin is the first thing that may be missing: what was in hand when an earlier run was stopped lies before what it had
// not begun.
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
		// Which no password matches.
		PasswordHash: "generated " + strconv.FormatUint(g.seed, 10),
		CreatedAt:    generatedSince,
	})
}

func (g *generation) hasUser(ctx context.Context, i int) (bool, error) {
	_, err := g.store.User(ctx, g.name(i))
	return exists(err)
}

// random is a source of its own for each thing, so that each is the same whatever was made before it.
func (g *generation) random(i int) *rand.Rand { return rand.New(rand.NewPCG(g.seed, uint64(i))) }

// followees are whom a user follows: by Zipf's law those with small numbers.
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

// hasFollows reports of somebody who happens to follow nobody that all is there.
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

// tweet is one of a user, a second after the one before it; its id is a UUIDv7 like any (RFC 9562, 5.7).
func (g *generation) tweet(i int) twtr.Tweet {
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
	return twtr.Tweet{ID: id, Username: g.name(i % g.users), Content: fmt.Sprintf("tweet %d, generated", i)}
}

func (g *generation) putTweet(ctx context.Context, i int) error {
	return g.store.PutTweet(ctx, g.tweet(i))
}

func (g *generation) hasTweet(ctx context.Context, i int) (bool, error) {
	_, err := g.store.Tweet(ctx, g.tweet(i).ID)
	return exists(err)
}

// count counts the followers of a user, as follows do.
func (g *generation) count(ctx context.Context, username string) error {
	for bucket := range twtr.FollowerBuckets {
		c := twtr.FollowerCount{Username: username, Bucket: bucket, At: time.Now().UTC().Truncate(time.Microsecond)}
		var err error
		if c.Count, err = g.store.CountFollowers(ctx, username, bucket); err != nil {
			return err
		}
		if c.Count == 0 {
			continue
		}
		if err := g.store.PutFollowerCount(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
