package twtr_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func goodSignUp() twtr.SignUp {
	return twtr.SignUp{Username: "a-z_9", Password: "пароль12", PasswordConfirmation: "пароль12",
		Email: "ann@example.com", DisplayName: strings.Repeat("é", 16)}
}

func TestASignUpMustKeepEveryRuleAndTheErrorNamesTheBrokenOne(t *testing.T) {
	good := goodSignUp()
	require.NoError(t, good.Validate())
	good.Password = strings.Repeat("é", 128)
	good.PasswordConfirmation = good.Password
	require.NoError(t, good.Validate())
	for want, change := range map[string]func(*twtr.SignUp){
		"username must not be empty":                                 func(s *twtr.SignUp) { s.Username = "" },
		"username must have 1 to 16 characters, not 17":              func(s *twtr.SignUp) { s.Username = strings.Repeat("a", 17) },
		"username may contain only the letters a-z, digits, _ and -": func(s *twtr.SignUp) { s.Username = "é" },
		"username must be another name: admin is reserved":           func(s *twtr.SignUp) { s.Username = "admin" },
		"password must not be empty":                                 func(s *twtr.SignUp) { s.Password, s.PasswordConfirmation = "", "" },
		"password must have 8 to 128 characters, not 7":              func(s *twtr.SignUp) { s.Password, s.PasswordConfirmation = "ÿ234567", "ÿ234567" },
		"password must have 8 to 128 characters, not 129":            func(s *twtr.SignUp) { s.Password += "x"; s.PasswordConfirmation += "x" },
		"passwordConfirmation must be the same as password":          func(s *twtr.SignUp) { s.PasswordConfirmation += "x" },
		"email must not be empty":                                    func(s *twtr.SignUp) { s.Email = "" },
		"email must have 3 to 254 characters, not 255":               func(s *twtr.SignUp) { s.Email = strings.Repeat("e", 243) + "@example.com" },
		"email must be an e-mail address like name@example.com":      func(s *twtr.SignUp) { s.Email = "Ann <ann@example.com>" },
		"displayName must not be empty":                              func(s *twtr.SignUp) { s.DisplayName = "" },
		"displayName must have 1 to 16 characters, not 17":           func(s *twtr.SignUp) { s.DisplayName += "é" },
		"displayName must have a visible character":                  func(s *twtr.SignUp) { s.DisplayName = " \u00a0" },
	} {
		bad := good
		change(&bad)
		err := bad.Validate()
		require.Equal(t, twtr.Invalid, twtr.ErrorCode(err))
		require.EqualError(t, err, want)
	}
}

func TestAllRulesThatASignUpBreaksAreSaidAtOnceEachByItsField(t *testing.T) {
	err := twtr.SignUp{Username: "me", Password: "short", PasswordConfirmation: "other", Email: "ann", DisplayName: "\u200b"}.Validate()
	e, ok := errors.AsType[*twtr.Error](err)
	require.True(t, ok)
	require.Equal(t, []twtr.FieldError{
		{Field: "username", Message: "username must be another name: me is reserved"},
		{Field: "password", Message: "password must have 8 to 128 characters, not 5"},
		{Field: "passwordConfirmation", Message: "passwordConfirmation must be the same as password"},
		{Field: "email", Message: "email must be an e-mail address like name@example.com"},
		{Field: "displayName", Message: "displayName must have a visible character"},
	}, e.Fields)
	require.Equal(t, "username must be another name: me is reserved; password must have 8 to 128 characters, not 5; "+
		"passwordConfirmation must be the same as password; email must be an e-mail address like name@example.com; "+
		"displayName must have a visible character", e.Message)
}

func TestANameIsOneInEitherCaseAndSomeAreReserved(t *testing.T) {
	for name, want := range map[string]string{"Ann": "ann", "ANN-_9": "ann-_9", "ann": "ann", "": "", "ÉÄ": "ÉÄ", "\u212aelvin": "\u212aelvin", "İ": "İ"} {
		require.Equal(t, want, twtr.FoldUsername(name))
	}
	s := goodSignUp()
	for _, name := range []string{"admin", "me", "null", "root", "support", "undefined", "users", "tweets", "feeds", "twtr"} {
		s.Username = twtr.FoldUsername(strings.ToUpper(name))
		require.EqualError(t, s.Validate(), "username must be another name: "+name+" is reserved")
		require.NoError(t, twtr.ValidateUsername("username", name), "who had the name before keeps it")
	}
	s.Username = "Ann"
	require.Error(t, s.Validate(), "names are folded before they are validated")
}

// invisible are texts that leave no ink.
var invisible = []string{
	" ", "\u00a0", "\u3000", "\u200b", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u2066", "\u2800", "\u3164", "\u115f", "\uffa0", "\u034f", "\u180e",
	"\u200d", "\u200d\u200d", "\ufe0f", "\u200d\ufe0f", "\U000e0067", "\U000e0100", " \u200b\u2800 \u3164", "\u2028",
}

// visible are texts of which every character is needed.
var visible = []string{
	"x", " x ", "👩\u200d👩\u200d👧", "❤\ufe0f", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "a\u0301", "مرحبا", "नमस्\u200dते", "\u200dx", "͟",
	"\U0001fae9", // of a newer Unicode than some machines know
}

func TestATextNeedsSomethingVisibleAndEmojiKeepTheirJoiners(t *testing.T) {
	s := goodSignUp()
	for _, text := range invisible {
		require.Error(t, twtr.Post{Content: text}.Validate(), "%+q", text)
		s.DisplayName = text
		require.Error(t, s.Validate(), "%+q", text)
	}
	for _, text := range visible {
		require.NoError(t, twtr.Post{Content: text}.Validate(), "%+q", text)
		s.DisplayName = text
		require.NoError(t, s.Validate(), "%+q", text)
		tweet, err := twtr.NewTweet(uuid.Must(uuid.NewV7()), "ann", twtr.Post{Content: text})
		require.NoError(t, err)
		var read twtr.Post
		require.NoError(t, json.Unmarshal(tweet.Body, &read))
		require.Equal(t, text, read.Content)
	}
}

func TestATextHasNoControlCharacters(t *testing.T) {
	s := goodSignUp()
	for _, c := range []string{"\x00", "\x07", "\t", "\v", "\f", "\x1b", "\x7f", "\u0085", "\u009b"} {
		require.EqualError(t, twtr.Post{Content: "x" + c}.Validate(), "content must not have control characters other than line breaks", "%+q", c)
	}
	for _, c := range []string{"\x00", "\t", "\n", "\r", "\x7f", "\u0085", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069"} {
		s.DisplayName = "x" + c
		require.EqualError(t, s.Validate(),
			"displayName must not have control characters, line breaks or characters that change the direction of text", "%+q", c)
	}
	require.NoError(t, twtr.Post{Content: "one\ntwo\r\nthree\u2028four \u202bright to left\u202c"}.Validate())
}

func TestAPostHas1To280Characters(t *testing.T) {
	for _, content := range []string{"x", " x ", strings.Repeat("𝔘", 280)} {
		require.NoError(t, twtr.Post{Content: content}.Validate())
	}
	for _, content := range []string{"", strings.Repeat("é", 281)} {
		require.Equal(t, twtr.Invalid, twtr.ErrorCode(twtr.Post{Content: content}.Validate()), "%q", content)
	}
	require.EqualError(t, twtr.Post{Content: strings.Repeat("é", 281)}.Validate(), "content must have 1 to 280 characters, not 281")
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
