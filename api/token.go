package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/seal"
)

const (
	accessTokenLife  = 15 * time.Minute
	refreshTokenLife = 30 * 24 * time.Hour
	issuer           = "twtr"
	audience         = "twtr-api"
	// clockLeeway is how far the clocks of API processes may differ before one refuses another one's tokens.
	clockLeeway = 30 * time.Second
)

// Key is a secret that access tokens are signed with; ID is the "kid" in their header.
type Key struct {
	ID     string
	Secret []byte
}

// ParseKey parses "kid:secret". The secret must be at least as long as the hash (RFC 7518, 3.2).
func ParseKey(text string) (Key, error) {
	id, secret, ok := strings.Cut(text, ":")
	if !ok || id == "" {
		return Key{}, fmt.Errorf("a key must be written kid:secret")
	}
	if len(secret) < sha256.Size {
		return Key{}, fmt.Errorf("the secret of key %q must have at least %d bytes, not %d", id, sha256.Size, len(secret))
	}
	return Key{ID: id, Secret: []byte(secret)}, nil
}

// tokens issues and verifies access tokens: JWTs signed by HMAC with SHA-256, and no others.
type tokens struct {
	keys   []Key
	now    func() time.Time
	parser *jwt.Parser
	// parserOfOld accepts tokens that have expired by up to [twtr.KnownSourceKept], too.
	parserOfOld *jwt.Parser
	// refreshKeys are derived from keys, in their order.
	refreshKeys [][]byte
	// verified remembers tokens that were verified, because a client sends the same one for minutes.
	verified *lru.Cache
}

// verifiedTokens bounds how many tokens are remembered, which takes some 5 MB.
const verifiedTokens = 10_000

// identity is who makes a request: a user, in one of their sessions.
type identity struct {
	username string
	session  uuid.UUID
}

// claims are what an access token says. Its session is in "sid", as in OpenID Connect.
type claims struct {
	jwt.RegisteredClaims
	Session uuid.UUID `json:"sid"`
}

// verifiedToken is what a token says that was verified, and from when on it is refused.
type verifiedToken struct {
	identity
	refusedFrom time.Time
}

func newTokens(keys []Key, now func() time.Time) *tokens {
	verified, err := lru.New(verifiedTokens)
	if err != nil {
		panic(err) // only for a size of 0
	}
	parser := func(leeway time.Duration) *jwt.Parser {
		return jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(now), jwt.WithLeeway(leeway))
	}
	t := &tokens{keys: keys, now: now, verified: verified, parser: parser(clockLeeway), parserOfOld: parser(twtr.KnownSourceKept)}
	for _, k := range keys {
		t.refreshKeys = append(t.refreshKeys, seal.Key(string(k.Secret), "refresh"))
	}
	return t
}

func (t *tokens) issue(who identity) (string, error) {
	now := t.now()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{Session: who.session, RegisteredClaims: jwt.RegisteredClaims{
		Issuer:    issuer,
		Audience:  jwt.ClaimStrings{audience},
		Subject:   who.username,
		ExpiresAt: jwt.NewNumericDate(now.Add(accessTokenLife)),
		IssuedAt:  jwt.NewNumericDate(now),
		ID:        uuid.NewString(),
	}})
	token.Header["kid"] = t.keys[0].ID
	return token.SignedString(t.keys[0].Secret)
}

// verify returns who has the token, or a [twtr.Unauthenticated] error.
func (t *tokens) verify(text string) (identity, error) {
	token, err := t.read(text)
	return token.identity, err
}

// refusedFrom returns from when on a valid token is refused, because it has expired.
func (t *tokens) refusedFrom(text string) (time.Time, error) {
	token, err := t.read(text)
	return token.refusedFrom, err
}

// read verifies a token once; it remembers those that are valid.
func (t *tokens) read(text string) (verifiedToken, error) {
	if known, ok := t.verified.Get(text); ok && t.now().Before(known.(verifiedToken).refusedFrom) {
		return known.(verifiedToken), nil
	}
	c, err := t.parse(t.parser, text)
	if err != nil {
		return verifiedToken{}, twtr.Errorf(twtr.Unauthenticated, "the access token is not valid, or has expired: log in or refresh")
	}
	token := verifiedToken{identity{c.Subject, c.Session}, c.ExpiresAt.Add(clockLeeway)}
	t.verified.Add(text, token)
	return token, nil
}

// once returns whose token it is, or was in the last [twtr.KnownSourceKept]: it may have expired, and its session may have ended.
// It gives no right to anything, but tells a client that has logged in before from one that guesses.
func (t *tokens) once(text string) (identity, bool) {
	c, err := t.parse(t.parserOfOld, text)
	return identity{c.Subject, c.Session}, err == nil
}

func (t *tokens) parse(parser *jwt.Parser, text string) (c claims, err error) {
	_, err = parser.ParseWithClaims(text, &c, func(token *jwt.Token) (any, error) {
		for _, k := range t.keys {
			if k.ID == token.Header["kid"] {
				return k.Secret, nil
			}
		}
		return nil, errors.New("unknown kid")
	})
	switch {
	case err != nil:
		return claims{}, err
	case c.Session == uuid.Nil:
		return claims{}, errors.New("the token names no session")
	}
	if err := twtr.ValidateUsername("sub", c.Subject); err != nil {
		return claims{}, err
	}
	return c, nil
}

// successors returns the tokens that may follow this one: the first is the one to give; another process, whose first key is another
// one, gives one of the others.
func (t *tokens) successors(spent refreshToken) []refreshToken {
	all := make([]refreshToken, len(t.refreshKeys))
	for i, key := range t.refreshKeys {
		mac := hmac.New(sha256.New, key)
		mac.Write(spent.family[:])
		mac.Write(spent.secret[:])
		all[i].family = spent.family
		mac.Sum(all[i].secret[:0])
	}
	return all
}

// refreshToken is a session's family and 32 bytes, of which the store has only the hash. Those of the first token are random. Each
// later one is derived from the one before it, by a key that only the API has: so every use of one token gives the same next one.
type refreshToken struct {
	family uuid.UUID
	secret [32]byte
}

func newRefreshToken(family uuid.UUID) refreshToken {
	t := refreshToken{family: family}
	rand.Read(t.secret[:]) // never fails (crypto/rand)
	return t
}

func (t refreshToken) String() string {
	return base64.RawURLEncoding.EncodeToString(append(t.family[:], t.secret[:]...))
}

func (t refreshToken) hash() []byte {
	sum := sha256.Sum256(t.secret[:])
	return sum[:]
}

func parseRefreshToken(text string) (t refreshToken, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != len(t.family)+len(t.secret) {
		return t, false
	}
	copy(t.family[:], raw)
	copy(t.secret[:], raw[len(t.family):])
	return t, true
}
