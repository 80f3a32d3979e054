package api

import (
	"context"
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
	text, err := newTokens([]Key{key(t, "old")}, clock).issue("ann")
	require.NoError(t, err)
	rolled := newTokens([]Key{key(t, "new"), key(t, "old")}, clock)
	name, err := rolled.verify(text)
	require.NoError(t, err)
	require.Equal(t, "ann", name)

	var claims jwt.MapClaims
	parsed, _, err := jwt.NewParser().ParseUnverified(text, &claims)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"alg": "HS256", "typ": "JWT", "kid": "old"}, parsed.Header)
	require.NotEmpty(t, claims["jti"])
	delete(claims, "jti")
	require.Equal(t, jwt.MapClaims{"iss": "twtr", "aud": []any{"twtr-api"}, "sub": "ann",
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
	text, err := newTokens(keys, at(20*time.Second)).issue("ann")
	require.NoError(t, err)
	for difference, want := range map[time.Duration]twtr.Code{0: "", 40 * time.Second: "", -time.Minute: twtr.Unauthenticated} {
		_, err := newTokens(keys, at(difference)).verify(text)
		require.Equal(t, want, twtr.ErrorCode(err), difference)
	}
}

func TestAForgedAccessTokenIsRefused(t *testing.T) {
	keys := []Key{key(t, "k")}
	tokens := newTokens(keys, time.Now)
	good := func() jwt.RegisteredClaims {
		return jwt.RegisteredClaims{Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: "ann",
			ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Minute)), IssuedAt: jwt.NewNumericDate(time.Now())}
	}
	sign := func(method jwt.SigningMethod, kid any, secret any, claims jwt.RegisteredClaims) string {
		token := jwt.NewWithClaims(method, claims)
		token.Header["kid"] = kid
		text, err := token.SignedString(secret)
		require.NoError(t, err)
		return text
	}
	_, err := tokens.verify(sign(jwt.SigningMethodHS256, "k", keys[0].Secret, good()))
	require.NoError(t, err)
	changed := func(change func(*jwt.RegisteredClaims)) string {
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
		"no expiry":         changed(func(c *jwt.RegisteredClaims) { c.ExpiresAt = nil }),
		"another issuer":    changed(func(c *jwt.RegisteredClaims) { c.Issuer = "x" }),
		"another audience":  changed(func(c *jwt.RegisteredClaims) { c.Audience = jwt.ClaimStrings{"x"} }),
		"issued tomorrow":   changed(func(c *jwt.RegisteredClaims) { c.IssuedAt = jwt.NewNumericDate(time.Now().Add(24 * time.Hour)) }),
		"nobody":            changed(func(c *jwt.RegisteredClaims) { c.Subject = "" }),
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

func TestAPasswordMatchesItsHashAlone(t *testing.T) {
	h := newHasher()
	hash, err := h.hash(t.Context(), "correct horse")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$"))
	again, err := h.hash(t.Context(), "correct horse")
	require.NoError(t, err)
	require.NotEqual(t, hash, again)
	for password, want := range map[string]bool{"correct horse": true, "Correct horse": false, "": false} {
		ok, err := h.matches(t.Context(), password, hash)
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	for _, broken := range []string{"", "plain", "$argon2id$v=19$m=x$a$b", "$argon2id$v=19$m=8,t=1,p=1$!$b"} {
		_, err := h.matches(t.Context(), "correct horse", broken)
		require.Error(t, err)
	}
}

func TestHashingWaitsForItsTurnNoLongerThanTheRequest(t *testing.T) {
	h := newHasher()
	for range cap(h.slots) {
		h.slots <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := h.hash(ctx, "correct horse")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestACursorIsGoodForItsListAlone(t *testing.T) {
	c := cursors{key: []byte("a key")}
	id := uuid.Must(uuid.NewV7())
	text := c.make("tweets/ann", id[:])
	got, err := c.parse("tweets/ann", text)
	require.NoError(t, err)
	require.Equal(t, id[:], got)
	other := cursors{key: []byte("another key")}
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
