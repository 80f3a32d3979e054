package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"pgregory.net/rapid"

	"github.com/twtr-dev/twtr"
)

const people = 6

// step is what one of the people does: tweets, deletes one of their own tweets, follows or unfollows another user.
type step struct {
	Do    string
	Which int // whom, or which of the tweets
}

// A sequence is a list of steps for each of the people, who all go at the same time, each through their own in order. So
// who follows whom in the end, and what tweets there are, does not hang on who was quicker, and every feed is known.
func TestEveryFeedIsWhatAModelSaysAfterAnySequence(t *testing.T) {
	t.Parallel()
	require.NoError(t, flag.Set("rapid.nofailfile", "true"))
	require.NoError(t, flag.Set("rapid.checks", cmp.Or(os.Getenv("TWTR_TEST_CHECKS"), "4")))
	// As many sequences at a time as keep the machine busy while workflows wait for their second sweep.
	for engine, concurrent := range map[string]int{"sqlite": 5, "cassandra": 5} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, engine)
			s.work()
			c, err := client.Dial(client.Options{HostPort: s.temporal})
			require.NoError(t, err)
			t.Cleanup(c.Close)
			rapid.Check(t, func(rt *rapid.T) {
				failures := make([]error, concurrent)
				var all sync.WaitGroup
				for n := range concurrent {
					steps := make([][]step, people)
					for i := range steps {
						steps[i] = rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
							do := rapid.SampledFrom([]string{"tweet", "tweet", "follow", "follow", "unfollow", "delete"}).Draw(rt, "do")
							return step{do, rapid.IntRange(0, people-1).Draw(rt, "which")}
						}), 0, 8).Draw(rt, fmt.Sprintf("sequence %d, steps of %d", n, i))
					}
					all.Go(func() { failures[n] = play(s, c, steps) })
				}
				all.Wait()
				if err := errors.Join(failures...); err != nil {
					rt.Fatal(err)
				}
			})
		})
	}
}

// play has six new people go through their steps, and compares every feed with the model's.
func play(s *stack, c client.Client, steps [][]step) error {
	ctx, prefix := context.Background(), strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	names, tokens := make([]string, people), make([]string, people)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", prefix, i)
		user := twtr.User{Username: names[i], Email: "nobody@example.org", DisplayName: "x", PasswordHash: names[i], CreatedAt: time.Now()}
		token, err := accessToken(names[i])
		if err := errors.Join(err, s.store.CreateUser(ctx, user)); err != nil {
			return err
		}
		tokens[i] = token
	}
	tweets, follows := make([][]tweet, people), make([]map[int]bool, people)
	var mu sync.Mutex
	var all sync.WaitGroup
	var failed error
	workflows := map[string]bool{}
	call := func(workflow, method, path, token string, body any) answer {
		a := s.insist(method, path, token, body)
		mu.Lock()
		defer mu.Unlock()
		if a.Status != 200 {
			failed = errors.Join(failed, fmt.Errorf("%s %s: %d %s", method, path, a.Status, a.Error))
		}
		if workflow != "" {
			workflows[workflow] = true
		}
		return a
	}
	for i := range people {
		follows[i] = map[int]bool{}
		all.Go(func() {
			for n, step := range steps[i] {
				switch edge := "follow/" + names[i] + "/" + names[step.Which]; {
				case step.Do == "tweet":
					one, err := unmarshal[tweet](call("", "POST", "/tweets", tokens[i], map[string]string{"content": fmt.Sprint(n)}))
					if err != nil {
						return
					}
					mu.Lock()
					workflows["post-tweet/"+one.ID.String()] = true
					mu.Unlock()
					tweets[i] = append(tweets[i], one)
				case step.Do == "delete" && len(tweets[i]) > 0:
					k := step.Which % len(tweets[i])
					id := tweets[i][k].ID.String()
					call("delete-tweet/"+id, "DELETE", "/tweets/"+id, tokens[i], nil)
					tweets[i] = slices.Delete(tweets[i], k, k+1)
				case step.Do == "follow" && step.Which != i:
					call(edge, "POST", "/follow", tokens[i], map[string]string{"followingUsername": names[step.Which]})
					follows[i][step.Which] = true
				case step.Do == "unfollow" && step.Which != i:
					call(edge, "DELETE", "/follow/"+names[step.Which], tokens[i], nil)
					delete(follows[i], step.Which)
				}
			}
		})
	}
	all.Wait()
	if failed != nil {
		return failed
	}
	for id := range workflows {
		if err := ended(ctx, c, id); err != nil {
			return err
		}
	}
	for i := range people {
		var want []tweet
		for other := range follows[i] {
			want = append(want, tweets[other]...)
		}
		sortNewestFirst(want)
		got, err := unmarshal[[]tweet](s.insist("GET", "/feeds/me?limit=100", tokens[i], nil))
		if err != nil || !slices.Equal(want, got) {
			return fmt.Errorf("feed of %d after %+v: want %v, got %v: %w", i, steps, want, got, err)
		}
	}
	return nil
}

// ended waits until no run of the workflow is open.
func ended(ctx context.Context, c client.Client, id string) error {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		d, err := c.DescribeWorkflowExecution(ctx, id, "")
		if _, ok := errors.AsType[*serviceerror.NotFound](err); ok && strings.HasPrefix(id, "post-tweet/") {
			return nil // the deletion of the tweet deleted it
		} else if err != nil && !ok {
			return err
		}
		switch d.GetWorkflowExecutionInfo().GetStatus() {
		case enums.WORKFLOW_EXECUTION_STATUS_RUNNING:
		case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
			return nil
		default:
			return fmt.Errorf("workflow %s: %s", id, d.GetWorkflowExecutionInfo().GetStatus())
		}
	}
	return fmt.Errorf("workflow %s is still running", id)
}

// accessToken is an access token as the API makes one: to sign up six people for each sequence would mostly hash passwords.
func accessToken(username string) (string, error) { return accessTokenAt(username, time.Now()) }

type tokenClaims struct {
	jwt.RegisteredClaims
	Session string `json:"sid"`
}

func accessTokenAt(username string, now time.Time) (string, error) {
	unsigned := jwt.NewWithClaims(jwt.SigningMethodHS256, tokenClaims{Session: uuid.NewString(), RegisteredClaims: jwt.RegisteredClaims{
		Issuer: "twtr", Audience: jwt.ClaimStrings{"twtr-api"}, Subject: username, ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
	}})
	unsigned.Header["kid"] = "test"
	return unsigned.SignedString([]byte(strings.Repeat("a", 32)))
}

func unmarshal[T any](a answer) (data T, err error) {
	if a.Status != 200 {
		return data, fmt.Errorf("%d %s", a.Status, a.Error)
	}
	return data, json.Unmarshal(a.Data, &data)
}
