package twtr_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func TestASignUpMustKeepEveryRuleAndTheErrorNamesTheBrokenOne(t *testing.T) {
	good := twtr.SignUp{Username: "a-Z_9", Password: "пароль12", PasswordConfirmation: "пароль12",
		Email: "ann@example.com", DisplayName: strings.Repeat("é", 16)}
	require.NoError(t, good.Validate())
	for want, change := range map[string]func(*twtr.SignUp){
		"username must not be empty":                               func(s *twtr.SignUp) { s.Username = "" },
		"username must have 1 to 16 characters, not 17":            func(s *twtr.SignUp) { s.Username = strings.Repeat("a", 17) },
		"username must be of letters a-z and A-Z, digits, _ and -": func(s *twtr.SignUp) { s.Username = "é" },
		"password must not be empty":                               func(s *twtr.SignUp) { s.Password = "" },
		"password must have 8 to 32 characters, not 7":             func(s *twtr.SignUp) { s.Password = "1234567" },
		"password must have 8 to 32 characters, not 33":            func(s *twtr.SignUp) { s.Password = strings.Repeat("p", 33) },
		"passwordConfirmation must be the same as password":        func(s *twtr.SignUp) { s.PasswordConfirmation += "x" },
		"email must not be empty":                                  func(s *twtr.SignUp) { s.Email = "" },
		"email must have 3 to 254 characters, not 255":             func(s *twtr.SignUp) { s.Email = strings.Repeat("e", 243) + "@example.com" },
		"email must be an e-mail address like name@example.com":    func(s *twtr.SignUp) { s.Email = "Ann <ann@example.com>" },
		"displayName must not be empty":                            func(s *twtr.SignUp) { s.DisplayName = "" },
		"displayName must have 1 to 16 characters, not 17":         func(s *twtr.SignUp) { s.DisplayName += "é" },
		"displayName must not be white space alone":                func(s *twtr.SignUp) { s.DisplayName = " \u00a0" },
	} {
		bad := good
		change(&bad)
		err := bad.Validate()
		require.Equal(t, twtr.Invalid, twtr.ErrorCode(err))
		require.EqualError(t, err, want)
	}
}

func TestAPostHas1To280Characters(t *testing.T) {
	for _, content := range []string{"x", " x ", strings.Repeat("𝔘", 280), "nul \x00"} {
		require.NoError(t, twtr.Post{Content: content}.Validate())
	}
	for _, content := range []string{"", " \n\t\u2003", strings.Repeat("é", 281)} {
		require.Equal(t, twtr.Invalid, twtr.ErrorCode(twtr.Post{Content: content}.Validate()), "%q", content)
	}
}

func TestATweetsDocumentIsTheSameBytesInsideAnotherOne(t *testing.T) {
	id := uuid.MustParse("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
	tweet, err := twtr.NewTweet(id, "ann", twtr.Post{Content: "<é> & \"\u2028\x00👩‍👩‍👧"})
	require.NoError(t, err)
	//nolint:testifylint // the bytes matter
	require.Equal(t, `{"id":"017f22e2-79b0-7cc3-98c4-dc0c0c07398f","username":"ann","content":"\u003cé\u003e \u0026 \"\u2028\u0000👩‍👩‍👧","createdAt":"2022-02-22T19:22:22.000Z"}`, string(tweet.Body))
	text, err := json.Marshal(map[string]any{"tweet": tweet})
	require.NoError(t, err)
	var outer struct{ Tweet twtr.Tweet }
	require.NoError(t, json.Unmarshal(text, &outer))
	require.Equal(t, tweet, outer.Tweet)
}

func TestIDsSortByTheTimeTheyWereMade(t *testing.T) {
	var last uuid.UUID
	for range 5000 {
		id, err := twtr.NewTweetID(time.Now())
		require.NoError(t, err)
		require.Greater(t, id.String(), last.String())
		last = id
	}
	ahead, err := twtr.NewTweetID(time.Now().Add(10 * time.Second))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(10*time.Second), twtr.TimeOf(ahead), time.Second)
	require.Equal(t, "2022-02-22T19:22:22Z", twtr.TimeOf(uuid.MustParse("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")).Format("2006-01-02T15:04:05Z"),
		"the example of RFC 9562, A.6")
}

func TestABucketNeverChanges(t *testing.T) {
	// Stored rows depend on it.
	require.Equal(t, []int{8, 4, 8, 0}, []int{
		twtr.FollowerBucket("ann"), twtr.FollowerBucket("bob"), twtr.FollowerBucket("Ann"), twtr.FollowerBucket("reader-1")})
	counts := make([]int, twtr.FollowerBuckets)
	for range 16_000 {
		counts[twtr.FollowerBucket(uuid.NewString())]++
	}
	for _, n := range counts {
		require.InDelta(t, 1000, n, 200)
	}
}

func TestAFollowIsOfAnotherUser(t *testing.T) {
	require.NoError(t, twtr.Follow{Follower: "ann", Followee: "bob"}.Validate())
	require.EqualError(t, twtr.Follow{Follower: "ann", Followee: "ann"}.Validate(), "followingUsername must not be your own name")
	require.EqualError(t, twtr.Follow{Follower: "ann"}.Validate(), "followingUsername must not be empty")
}

func TestSecretsAreNotLogged(t *testing.T) {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("x", "user", twtr.User{Username: "ann", Email: "SECRET", PasswordHash: "SECRET"},
		"signUp", twtr.SignUp{Username: "ann", Password: "SECRET", PasswordConfirmation: "SECRET", Email: "SECRET"},
		"session", twtr.Session{Username: "SECRET", TokenHash: []byte("SECRET")})
	require.NotContains(t, out.String(), "SECRET")
	require.Contains(t, out.String(), "user=ann signUp=ann")
}

func TestOnlyErrorsThatARetryCannotFixArePermanent(t *testing.T) {
	require.True(t, twtr.Conflict.Permanent())
	require.False(t, twtr.Unavailable.Permanent())
	require.False(t, twtr.Internal.Permanent())
	require.False(t, twtr.Code("PanicError").Permanent(), "one of Temporal's own error types")
}
