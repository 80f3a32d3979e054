package api

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

func key(t *testing.T, id string) Key {
	k, err := ParseKey(id + ":" + strings.Repeat(id, 32))
	require.NoError(t, err)
	return k
}

func TestAnAccessTokenIsGoodFor15MinutesAndSurvivesANewKey(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	who := identity{"ann", uuid.New()}
	text, err := newTokens([]Key{key(t, "old")}, clock).issue(who)
	require.NoError(t, err)
	rolled := newTokens([]Key{key(t, "new"), key(t, "old")}, clock)
	got, err := rolled.verify(text)
	require.NoError(t, err)
	require.Equal(t, who, got)

	var claims jwt.MapClaims
	parsed, _, err := jwt.NewParser().ParseUnverified(text, &claims)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"alg": "HS256", "typ": "JWT", "kid": "old"}, parsed.Header)
	require.NotEmpty(t, claims["jti"])
	delete(claims, "jti")
	require.Equal(t, jwt.MapClaims{"iss": "twtr", "aud": []any{"twtr-api"}, "sub": "ann", "sid": who.session.String(),
		"iat": float64(now.Unix()), "exp": float64(now.Add(15 * time.Minute).Unix())}, claims)

	now = now.Add(15*time.Minute + clockLeeway + time.Second)
	_, err = rolled.verify(text)
	require.Equal(t, twtr.Unauthenticated, twtr.ErrorCode(err))
}

func TestAnAccessTokenIsGoodWhereTheClockDiffersByAFewSeconds(t *testing.T) {
	now := time.Now()
	at := func(difference time.Duration) func() time.Time {
		return func() time.Time { return now.Add(difference) }
	}
	keys := []Key{key(t, "k")}
	text, err := newTokens(keys, at(20*time.Second)).issue(identity{"ann", uuid.New()})
	require.NoError(t, err)
	for difference, want := range map[time.Duration]twtr.Code{0: "", 40 * time.Second: "", -time.Minute: twtr.Unauthenticated} {
		_, err := newTokens(keys, at(difference)).verify(text)
		require.Equal(t, want, twtr.ErrorCode(err), difference)
	}
}

func TestAForgedAccessTokenIsRefused(t *testing.T) {
	keys := []Key{key(t, "k")}
	tokens := newTokens(keys, time.Now)
	good := func() claims {
		return claims{Session: uuid.New(), RegisteredClaims: jwt.RegisteredClaims{Issuer: issuer, Audience: jwt.ClaimStrings{audience},
			Subject: "ann", ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Minute)), IssuedAt: jwt.NewNumericDate(time.Now())}}
	}
	sign := func(method jwt.SigningMethod, kid any, secret any, claims claims) string {
		token := jwt.NewWithClaims(method, claims)
		token.Header["kid"] = kid
		text, err := token.SignedString(secret)
		require.NoError(t, err)
		return text
	}
	_, err := tokens.verify(sign(jwt.SigningMethodHS256, "k", keys[0].Secret, good()))
	require.NoError(t, err)
	changed := func(change func(*claims)) string {
		c := good()
		change(&c)
		return sign(jwt.SigningMethodHS256, "k", keys[0].Secret, c)
	}
	for what, text := range map[string]string{
		"empty":             "",
		"no JWT":            "a.b.c",
		"no signature":      sign(jwt.SigningMethodNone, "k", jwt.UnsafeAllowNoneSignatureType, good()),
		"another algorithm": sign(jwt.SigningMethodHS512, "k", keys[0].Secret, good()),
		"another secret":    sign(jwt.SigningMethodHS256, "k", []byte(strings.Repeat("x", 32)), good()),
		"unknown kid":       sign(jwt.SigningMethodHS256, "x", keys[0].Secret, good()),
		"kid of a type":     sign(jwt.SigningMethodHS256, 1, keys[0].Secret, good()),
		"no expiry":         changed(func(c *claims) { c.ExpiresAt = nil }),
		"another issuer":    changed(func(c *claims) { c.Issuer = "x" }),
		"another audience":  changed(func(c *claims) { c.Audience = jwt.ClaimStrings{"x"} }),
		"issued tomorrow":   changed(func(c *claims) { c.IssuedAt = jwt.NewNumericDate(time.Now().Add(24 * time.Hour)) }),
		"no session":        changed(func(c *claims) { c.Session = uuid.Nil }),
		"nobody":            changed(func(c *claims) { c.Subject = "" }),
	} {
		_, err := tokens.verify(text)
		require.Equal(t, twtr.Unauthenticated, twtr.ErrorCode(err), what)
	}
}

func TestAKeyHasAnIDAndASecretThatIsLongEnough(t *testing.T) {
	for _, text := range []string{"", "secret", ":" + strings.Repeat("s", 32), "k:" + strings.Repeat("s", 31)} {
		_, err := ParseKey(text)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "ssss")
	}
}

func TestARefreshTokenIsReadBackAndAnythingElseIsNot(t *testing.T) {
	token := newRefreshToken(uuid.New())
	got, ok := parseRefreshToken(token.String())
	require.True(t, ok)
	require.Equal(t, token, got)
	require.NotEqual(t, token.secret[:], token.hash())
	for _, text := range []string{"", "x", token.String()[1:], token.String() + "AAAA", token.String()[:63] + "="} {
		_, ok := parseRefreshToken(text)
		require.False(t, ok, text)
	}
}

func TestACursorIsGoodForItsListAlone(t *testing.T) {
	c := newCursors([]string{"a key"})
	id := uuid.Must(uuid.NewV7())
	text := c.make("tweets/ann", id[:])
	got, err := c.parse("tweets/ann", text)
	require.NoError(t, err)
	require.Equal(t, id[:], got)
	other := newCursors([]string{"another key"})
	got, err = newCursors([]string{"another key", "a key"}).parse("tweets/ann", text)
	require.NoError(t, err)
	require.Equal(t, id[:], got)
	for _, try := range []func() ([]byte, error){
		func() ([]byte, error) { return c.parse("tweets/bob", text) },
		func() ([]byte, error) { return other.parse("tweets/ann", text) },
		func() ([]byte, error) { return c.parse("tweets/ann", "") },
		func() ([]byte, error) { return c.parse("tweets/ann", text+"A") },
		func() ([]byte, error) { return c.parse("tweets/ann", text[:31]+"_") },
	} {
		_, err := try()
		require.Equal(t, twtr.Invalid, twtr.ErrorCode(err))
	}
}
