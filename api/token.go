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

	"github.com/twtr-dev/twtr"
)

const (
	accessTokenLife  = 15 * time.Minute
	refreshTokenLife = 30 * 24 * time.Hour
	issuer           = "twtr"
	audience         = "twtr-api"
)

// Key is a secret that access tokens are signed with; ID is the "kid" in their header.
type Key struct {
	ID     string
	Secret []byte
}

// ParseKey reads "kid:secret". The secret must be at least as long as the hash (RFC 7518, 3.2).
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

// tokens makes and verifies access tokens: JWTs by HMAC with SHA-256, and nothing else.
type tokens struct {
	keys   []Key
	now    func() time.Time
	parser *jwt.Parser
}

func newTokens(keys []Key, now func() time.Time) *tokens {
	return &tokens{keys: keys, now: now, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(now),
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

// verify returns whose token it is, or an Unauthenticated error.
func (t *tokens) verify(text string) (username string, err error) {
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
	return claims.Subject, nil
}

// refreshToken is a session's family and 32 random bytes, which the store knows only by their hash.
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
