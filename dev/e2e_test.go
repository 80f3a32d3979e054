package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/cmd"
)

func TestATweetByOneIsReadInTheFeedOfTheOther(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		var user map[string]string
		s.ok("POST", "/users", "", signUpBody("ann"), &user)
		ann := user["accessToken"]
		require.Len(t, user["refreshToken"], 64)
		delete(user, "accessToken")
		delete(user, "refreshToken")
		require.Equal(t, map[string]string{"username": "ann", "email": "ann@example.com", "displayName": "ANN"}, user)
		s.signUp("bob")

		var pair map[string]string
		s.ok("POST", "/users/authorize", "", map[string]string{"username": "bob", "password": "correct horse"}, &pair)
		require.ElementsMatch(t, []string{"accessToken", "refreshToken"}, slices.Collect(maps.Keys(pair)))
		bob := pair["accessToken"]

		before := s.tweet(ann, "before bob followed")
		var edge map[string]string
		s.ok("POST", "/follow", bob, map[string]string{"followingUsername": "ann"}, &edge)
		require.Equal(t, map[string]string{"username": "bob", "followingUsername": "ann"}, edge)
		s.follow(bob, "ann") // again
		first := s.tweet(ann, "  hello,\n<world> & \"all\" 👩‍👩‍👧‍👦 ")
		require.Equal(t, tweet{ID: first.ID, Username: "ann", Content: "  hello,\n<world> & \"all\" 👩‍👩‍👧‍👦 ",
			CreatedAt: twtr.TimeOf(first.ID).Format("2006-01-02T15:04:05.000Z")}, first)
		second := s.tweet(ann, "again")

		want := []tweet{second, first, before}
		s.eventually("bob's feed has ann's tweets", func() bool { return slices.Equal(want, s.feed(bob)) })
		require.Empty(t, s.feed(ann))
		var tweets []tweet
		s.ok("GET", "/tweets/ann", "", nil, &tweets)
		require.Equal(t, want, tweets)
		require.Equal(t, `[]`, string(s.ok("GET", "/tweets/bob", "", nil, nil).Data))

		page := s.ok("GET", "/tweets/ann?limit=2", "", nil, &tweets)
		require.Equal(t, want[:2], tweets)
		require.Equal(t, "</tweets/ann?cursor="+page.NextCursor+`&limit=2>; rel="next"`, page.header.Get("Link"))
		page = s.ok("GET", "/tweets/ann?limit=2&cursor="+page.NextCursor, "", nil, &tweets)
		require.Equal(t, want[2:], tweets)
		require.Empty(t, page.NextCursor)

		// What was secret is in no history and no log.
		require.Contains(t, s.logs.String(), `"route":"/users"`)
		histories := s.histories()
		for _, workflow := range []string{"CreateUser", "PostTweet", "Follow"} {
			require.Contains(t, histories, workflow)
		}
		stored, err := s.store.User(t.Context(), "ann")
		require.NoError(t, err)
		for _, secret := range []string{"correct horse", "@example.com", stored.PasswordHash, "$argon2id", ann, pair["refreshToken"]} {
			require.NotContains(t, s.logs.String(), secret)
			require.NotContains(t, histories, secret)
		}
	})
}

// histories is every event of every workflow, as text.
func (s *stack) histories() string {
	c, err := client.Dial(client.Options{HostPort: s.temporal})
	require.NoError(s.t, err)
	defer c.Close()
	var text strings.Builder
	seen := 0
	s.eventually("the workflows are listed", func() bool {
		text.Reset()
		list, err := c.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{})
		require.NoError(s.t, err)
		seen = len(list.GetExecutions())
		for _, w := range list.GetExecutions() {
			events := c.GetWorkflowHistory(s.t.Context(), w.GetExecution().GetWorkflowId(), w.GetExecution().GetRunId(), false,
				enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
			for events.HasNext() {
				event, err := events.Next()
				require.NoError(s.t, err)
				// As text each payload's bytes are shown as they are.
				text.WriteString(event.String())
			}
		}
		return seen >= 6
	})
	return text.String()
}

func TestABadRequestIsAnsweredWithWhatIsWrongAndWritesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	s.work()
	ann := s.signUp("ann")
	signUp := func(field, value string) map[string]string {
		body := signUpBody("new")
		body[field] = value
		return body
	}
	// What stands in the base of SQLite is compared before and after.
	rows := s.rows()
	for _, c := range []struct {
		method, path, token string
		body                any
		status              int
		message             string
	}{
		{"POST", "/users", "", `{"username":`, 400, "the body is not JSON: it ends too early"},
		{"POST", "/users", "", ``, 400, "the body is empty: this call takes a JSON object"},
		{"POST", "/users", "", `[]`, 400, "the body must be a JSON object, not an array"},
		{"POST", "/users", "", `{"username":1}`, 400, "username must not be a number"},
		{"POST", "/users", "", `{} {}`, 400, "the body is not JSON: invalid character '{' after top-level value, at byte 3"},
		{"POST", "/tweets", ann, "{\"content\":\"\xff\"}", 400, "the body is not UTF-8: this call takes a JSON object in UTF-8, not compressed"},
		{"POST", "/tweets", ann, `{"content":"\ud800"}`, 400, "the body is not JSON: invalid surrogate pair `\\ud800\"}` in string, at byte 12"},
		{"POST", "/users", "", `{"username":"` + strings.Repeat("a", 64<<10) + `"}`, 413, "the body must have at most 65536 bytes"},
		{"POST", "/users", "", `{}`, 422, "username must not be empty; password must not be empty; email must not be empty; displayName must not be empty"},
		{"POST", "/users", "", signUp("username", "not a name"), 422, "username may contain only the letters a-z, digits, _ and -"},
		{"POST", "/users", "", signUp("username", strings.Repeat("a", 17)), 422, "username must have 1 to 16 characters, not 17"},
		{"POST", "/users", "", signUp("password", "short"), 422, "password must have 8 to 128 characters, not 5; passwordConfirmation must be the same as password"},
		{"POST", "/users", "", signUp("passwordConfirmation", "another one"), 422, "passwordConfirmation must be the same as password"},
		{"POST", "/users", "", signUp("email", "nobody"), 422, "email must be an e-mail address like name@example.com"},
		{"POST", "/users", "", signUp("displayName", ""), 422, "displayName must not be empty"},
		{"POST", "/users", "", signUp("username", "Ann"), 409, "username ann is taken"},
		{"POST", "/users", "", signUp("username", "Admin"), 422, "username must be another name: admin is reserved"},
		{"POST", "/users/authorize", "", map[string]string{"username": "nobody", "password": "correct horse"}, 404, "there is no user nobody"},
		{"POST", "/users/authorize", "", map[string]string{"username": "ann", "password": "wrong"}, 422, "password is wrong"},
		{"POST", "/users/authorize", "", map[string]string{"username": "ann"}, 422, "password must not be empty"},
		{"POST", "/users/refresh", "", map[string]string{"refreshToken": "x"}, 401, "the refresh token is not one of ours"},
		{"POST", "/tweets", "", map[string]string{"content": "hello"}, 401, "this call needs an access token: Authorization: Bearer …"},
		{"POST", "/tweets", ann + "x", map[string]string{"content": "hello"}, 401, "the access token is not valid, or has expired: log in or refresh"},
		{"POST", "/tweets", ann, map[string]string{"content": ""}, 422, "content must not be empty"},
		{"POST", "/tweets", ann, map[string]string{"content": " \n\u2003"}, 422, "content must have a visible character"},
		{"POST", "/tweets", ann, map[string]string{"content": strings.Repeat("é", 281)}, 422, "content must have 1 to 280 characters, not 281"},
		{"GET", "/tweets/nobody", "", nil, 404, "there is no user nobody"},
		{"GET", "/tweets/" + strings.Repeat("a", 5000), "", nil, 404, "there is no user of that name"},
		{"GET", "/tweets/a%2Fb", "", nil, 404, "there is no user of that name"},
		{"GET", "/tweets/ann?limit=0", "", nil, 422, "limit must be a number from 1 to 100"},
		{"GET", "/tweets/ann?limit=101", "", nil, 422, "limit must be a number from 1 to 100"},
		{"GET", "/tweets/ann?cursor=made-up", "", nil, 422, "cursor must be the nextCursor of an earlier page of this list"},
		{"POST", "/follow", ann, map[string]string{"followingUsername": ""}, 422, "followingUsername must not be empty"},
		{"POST", "/follow", ann, map[string]string{"followingUsername": "ann"}, 422, "followingUsername must not be your own name"},
		{"POST", "/follow", ann, map[string]string{"followingUsername": "nobody"}, 404, "there is no user nobody"},
		{"GET", "/feeds/me", "", nil, 401, "this call needs an access token: Authorization: Bearer …"},
		{"GET", "/nowhere", "", nil, 404, "there is nothing at this path"},
		{"GET", "/tweets/ann/", "", nil, 404, "there is nothing at this path"},
		{"PUT", "/tweets", "", nil, 405, "this path does not take PUT"},
	} {
		a := s.call(c.method, c.path, c.token, c.body)
		a.header = nil
		require.Equal(t, answer{Status: c.status, Data: []byte("null"), Error: c.message}, a, "%s %.60s %.60v", c.method, c.path, c.body)
	}
	require.Equal(t, rows, s.rows())
}

// rows counts what is in each table.
func (s *stack) rows() map[string]int {
	db, err := sql.Open("sqlite", s.file)
	require.NoError(s.t, err)
	defer db.Close()
	counts := map[string]int{}
	for _, table := range []string{"users", "sessions", "tweets", "tweets_by_user", "followers", "followings", "feed_items"} {
		var n int
		require.NoError(s.t, db.QueryRow("SELECT count(*) FROM "+table).Scan(&n))
		counts[table] = n
	}
	return counts
}

func TestARefreshTokenIsSpentOnceAndItsResponseRepeatedForAWhile(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		type tokens struct{ AccessToken, RefreshToken string }
		var first, second, again, third tokens
		s.ok("POST", "/users", "", signUpBody("ann"), &first)
		refresh := func(token string) answer {
			return s.call("POST", "/users/refresh", "", map[string]string{"refreshToken": token})
		}
		read := func(a answer) (pair tokens) {
			require.Equal(t, 200, a.Status, a.Error)
			require.NoError(t, json.Unmarshal(a.Data, &pair))
			return pair
		}
		second = read(refresh(first.RefreshToken))
		again = read(refresh(first.RefreshToken))
		require.Equal(t, second.RefreshToken, again.RefreshToken)
		s.tweet(again.AccessToken, "with the new token")
		third = read(refresh(again.RefreshToken))
		require.Equal(t, 401, refresh(first.RefreshToken).Status, "it is older by two")
		require.Equal(t, 401, refresh(third.RefreshToken).Status, "the session has ended")
		require.Equal(t, 401, s.call("GET", "/feeds/me", third.AccessToken, nil).Status)

		var pair tokens
		s.ok("POST", "/users/authorize", "", map[string]string{"username": "ann", "password": "correct horse"}, &pair)
		s.ok("POST", "/users/logout", "", map[string]string{"refreshToken": pair.RefreshToken}, nil)
		require.Equal(t, 401, refresh(pair.RefreshToken).Status)
		require.Equal(t, 401, s.call("GET", "/feeds/me", pair.AccessToken, nil).Status)

		s.ok("POST", "/users/authorize", "", map[string]string{"username": "ann", "password": "correct horse"}, &pair)
		answers := make([]answer, 10)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i] = refresh(pair.RefreshToken) })
		}
		all.Wait()
		pair = read(answers[0])
		for _, a := range answers {
			require.Equal(t, pair.RefreshToken, read(a).RefreshToken, "all ten have the token that works")
		}
		read(refresh(pair.RefreshToken))
	})
}

func TestTwoPeopleCantShareAName(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		const people = 8
		answers := make([]answer, people)
		person := func(i int) map[string]string {
			body := signUpBody("ann")
			body["email"] = fmt.Sprintf("ann%d@example.com", i)
			return body
		}
		var all sync.WaitGroup
		for i := range people {
			all.Go(func() { answers[i] = s.insist("POST", "/users", "", person(i)) })
		}
		all.Wait()
		count := map[int]int{}
		for i, a := range answers {
			count[a.Status]++
			again := s.call("POST", "/users", "", person(i))
			require.Equal(t, a.Status, again.Status, "the one who has the name is known, and the others are not: %s", again.Error)
		}
		require.Equal(t, map[int]int{200: 1, 409: people - 1}, count)
		require.Equal(t, "ann", s.profile("ann").Username)
	})
}

// post has that many clients post tweets at once, and returns them newest first.
func (s *stack) post(token string, clients, tweets int) []tweet {
	s.t.Helper()
	var mu sync.Mutex
	var all []tweet
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(tweets); i = next.Add(1) {
				var posted tweet
				a := s.insist("POST", "/tweets", token, map[string]string{"content": fmt.Sprintf("tweet %d", i)})
				if a.Status != 200 {
					s.t.Error(a.Status, a.Error)
					continue
				}
				if err := json.Unmarshal(a.Data, &posted); err != nil {
					s.t.Error(err)
				}
				mu.Lock()
				all = append(all, posted)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	sortNewestFirst(all)
	return all
}

func sortNewestFirst(tweets []tweet) {
	slices.SortFunc(tweets, func(a, b tweet) int { return strings.Compare(b.ID.String(), a.ID.String()) })
}

func TestTweetsBy16ClientsAtOnceAllArriveOnceAndInOrder(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work()
		ann, bob := s.signUp("ann"), s.signUp("bob")
		s.follow(bob, "ann")
		posted := s.post(ann, 16, 64)
		require.Len(t, posted, 64)
		s.eventually("all arrive", func() bool { return len(s.feed(bob)) >= 64 })
		require.Equal(t, posted, s.feed(bob))
	})
}

func TestWhatIsPostedWhileTheFeedsWorkerIsDownArrivesWhenItIsBack(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		s.work("users", "tweets", "followers")
		stop := s.work("feeds")
		ann, bob := s.signUp("ann"), s.signUp("bob")
		s.follow(bob, "ann")
		stop()
		posted := s.post(ann, 4, 20)
		require.Len(t, posted, 20)
		require.Empty(t, s.feed(bob))
		s.work("feeds")
		s.eventually("all arrive", func() bool { return len(s.feed(bob)) >= 20 })
		require.Equal(t, posted, s.feed(bob))
	})
}

func TestWithoutAnyWorkerATweetIsPostedAndListedAndDeliveredWhenOneComes(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		stop := s.work()
		ann, bob := s.signUp("ann"), s.signUp("bob")
		s.follow(bob, "ann")
		stop()
		posted := s.tweet(ann, "nobody is working")
		var list []tweet
		s.ok("GET", "/tweets/ann", "", nil, &list)
		require.Equal(t, []tweet{posted}, list)
		require.Empty(t, s.feed(bob))
		require.Equal(t, "running", s.delivery(ann, posted.ID).State)
		s.work()
		s.eventually("it is delivered", func() bool { return slices.Equal([]tweet{posted}, s.feed(bob)) })
	})
}

func TestATweetThatMayHaveBeenAcceptedIs503WithAHint(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	s.work()
	ann := s.signUp("ann")
	s.server.Stop()
	a := s.call("POST", "/tweets", ann, map[string]string{"content": "lost?"})
	require.Equal(t, 503, a.Status)
	require.Contains(t, a.Error, "the tweet may have been accepted")
	require.Empty(t, a.header.Get("Retry-After"), "a client must not repeat it unseen")
	a = s.callWith("POST", "/tweets", ann, map[string]string{"content": "lost?"}, map[string]string{"Idempotency-Key": "k"})
	require.Equal(t, 503, a.Status)
	require.Equal(t, "1", a.header.Get("Retry-After"))
	require.Contains(t, a.Error, "the same Idempotency-Key")
	var list []tweet
	s.ok("GET", "/tweets/ann", "", nil, &list) // reads need no Temporal
	require.Empty(t, list)
}

func TestManyWhoFollowAtOnceAreAllAnswered(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	s.work()
	s.signUp("ann")
	bob := s.signUp("bob")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if a := s.insist("POST", "/follow", bob, map[string]string{"followingUsername": "ann"}); a.Status != 200 {
				t.Error(a.Status, a.Error)
			}
		})
	}
	wg.Wait()
	names, err := s.store.Followings(t.Context(), "bob", "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"ann"}, names)
}

// A delivery of this size needs the second step, an activity a bucket.
const manyFollowers = 24_000

func TestADeliveryContinuesAfterTheStoreWasDownInItsMiddle(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *stack) {
		api, outage := s.outage() // before the delivery starts, so that nothing but the outage is between its begin and its middle
		api.work("users", "tweets", "followers")
		ann := s.signUp("ann")
		readers := s.seedFollowers("ann", manyFollowers)
		stopFirst := api.work("feeds")
		posted := s.tweet(ann, "to all of you")
		s.eventually("the delivery has begun", func() bool { return s.delivered(posted.ID, readers[:200]) > 0 })
		end := outage()
		back := time.After(5 * time.Second)
		if s.engine == "cassandra" { // SQLite can be read while another process writes
			a := api.call("GET", "/tweets/ann", "", nil)
			require.Equal(t, 503, a.Status)
			require.Equal(t, "1", a.header.Get("Retry-After"))
		}
		<-back
		end()
		// Another worker takes over from one that is stopped in the middle.
		stopFirst()
		api.work("feeds")
		s.eventually("the delivery completes", func() bool { return s.completed("post-tweet/" + posted.ID.String()) })
		require.Equal(t, len(readers), s.delivered(posted.ID, readers))
	})
}

// seedFollowers writes followers straight to the store.
func (s *stack) seedFollowers(followee string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("reader-%d", i)
	}
	at := time.Now().UTC()
	if s.engine == "sqlite" { // one transaction: one by one takes minutes
		db, err := sql.Open("sqlite", s.file)
		require.NoError(s.t, err)
		defer db.Close()
		tx, err := db.Begin()
		require.NoError(s.t, err)
		for _, name := range names {
			_, err := tx.Exec("INSERT INTO followers (username, bucket, follower, written_at, removed) VALUES (?, ?, ?, ?, false)", followee, twtr.FollowerBucket(name), name, at.UnixMicro())
			require.NoError(s.t, err)
			_, err = tx.Exec("INSERT INTO followings (username, followee, written_at, removed) VALUES (?, ?, ?, false)", name, followee, at.UnixMicro())
			require.NoError(s.t, err)
		}
		require.NoError(s.t, tx.Commit())
		return names
	}
	s.each(names, func(name string) error {
		return s.store.PutFollow(s.t.Context(), twtr.Follow{Follower: name, Followee: followee, At: at})
	})
	return names
}

// each calls do for all names, 32 at a time, and again where the store is too busy to answer.
func (s *stack) each(names []string, do func(string) error) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 32 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(names)); i = next.Add(1) - 1 {
				err := do(names[i])
				for end := time.Now().Add(time.Minute); twtr.ErrorCode(err) == twtr.Unavailable && time.Now().Before(end); {
					time.Sleep(100 * time.Millisecond)
					err = do(names[i])
				}
				if err != nil {
					s.t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// delivered is how many of the readers have the tweet, once.
func (s *stack) delivered(id uuid.UUID, readers []string) int {
	var n atomic.Int64
	s.each(readers, func(reader string) error {
		items, err := s.store.Feed(context.Background(), reader, twtr.Window{}, 10)
		if len(items) == 1 && items[0].ID == id {
			n.Add(1)
		}
		return err
	})
	return int(n.Load())
}

// outage prepares for the store to be down for an API and workers, which are those of the stack that it returns, from the call of
// begin until that of end.
func (s *stack) outage() (affected *stack, begin func() (end func())) {
	if s.engine == "sqlite" { // a process that has begun to write keeps the others from it
		db, err := sql.Open("sqlite", "file:"+s.file+"?_txlock=immediate&_pragma=busy_timeout(5000)")
		require.NoError(s.t, err)
		s.t.Cleanup(func() { db.Close() })
		return s, func() func() {
			tx, err := db.Begin()
			require.NoError(s.t, err)
			return func() { require.NoError(s.t, tx.Rollback()) }
		}
	}
	_, proxy := s.proxies() // other tests use the same Cassandra
	affected = s.with(func(c *cmd.Config) { c.Store.Cassandra.Hosts = []string{proxy.Addr()} })
	return affected, func() func() {
		require.NoError(s.t, proxy.Hang())
		return func() { require.NoError(s.t, proxy.Heal(context.WithoutCancel(s.t.Context()))) }
	}
}

// completed reports whether no run of the workflow is open, and the newest one has completed.
func (s *stack) completed(id string) bool {
	s.t.Helper()
	d, err := s.client.DescribeWorkflowExecution(s.t.Context(), id, "")
	if err != nil { // also where Temporal is too busy to answer in time
		s.t.Log(err)
		return false
	}
	status := d.GetWorkflowExecutionInfo().GetStatus()
	if status == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return false
	}
	require.Equal(s.t, enums.WORKFLOW_EXECUTION_STATUS_COMPLETED, status)
	return true
}
