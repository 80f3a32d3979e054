package api

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru"

	"github.com/twtr-dev/twtr"
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
	// verified remembers tokens that were verified, because a client sends the same one for minutes.
	verified *lru.Cache
}

// verifiedTokens bounds how many tokens are remembered, which takes some 5 MB.
const verifiedTokens = 10_000

// verifiedToken is what a token says.
type verifiedToken struct {
	username string
	expires  time.Time
}

func newTokens(keys []Key, now func() time.Time) *tokens {
	verified, err := lru.New(verifiedTokens)
	if err != nil {
		panic(err) // only for a size of 0
	}
	return &tokens{keys: keys, now: now, verified: verified, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(now), jwt.WithLeeway(clockLeeway),
	)}
}

func (t *tokens) issue(username string) (string, error) {
	now := t.now()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer:    issuer,
		Audience:  jwt.ClaimStrings{audience},
		Subject:   username,
		ExpiresAt: jwt.NewNumericDate(now.Add(accessTokenLife)),
		IssuedAt:  jwt.NewNumericDate(now),
		ID:        uuid.NewString(),
	})
	token.Header["kid"] = t.keys[0].ID
	return token.SignedString(t.keys[0].Secret)
}

// verify returns the token's user, or a [twtr.Unauthenticated] error.
func (t *tokens) verify(text string) (username string, err error) {
	if known, ok := t.verified.Get(text); ok && t.now().Before(known.(verifiedToken).expires.Add(clockLeeway)) {
		return known.(verifiedToken).username, nil
	}
	var claims jwt.RegisteredClaims
	_, err = t.parser.ParseWithClaims(text, &claims, func(token *jwt.Token) (any, error) {
		for _, k := range t.keys {
			if k.ID == token.Header["kid"] {
				return k.Secret, nil
			}
		}
		return nil, fmt.Errorf("unknown kid")
	})
	if err != nil || twtr.ValidateUsername("sub", claims.Subject) != nil {
		return "", twtr.Errorf(twtr.Unauthenticated, "the access token is not valid, or has expired: log in or refresh")
	}
	t.verified.Add(text, verifiedToken{claims.Subject, claims.ExpiresAt.Time})
	return claims.Subject, nil
}

// refreshToken is a session's family and 32 random bytes, of which the store has only the hash.
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
