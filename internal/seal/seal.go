// Package seal keeps secrets out of Temporal: workflows carry them encrypted, and only processes that have the key can
// decrypt them.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/twtr-dev/twtr"
)

// Key derives 32 bytes for one purpose from a secret (HKDF with SHA-256, RFC 5869).
func Key(secret, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "twtr "+purpose, 32)
	if err != nil {
		panic(err) // only for a length that HKDF does not support
	}
	return key
}

// Sealer encrypts and decrypts with AES-256-GCM under one secret.
type Sealer struct {
	aead cipher.AEAD
}

// New makes a [Sealer] from a secret.
func New(secret string) (*Sealer, error) {
	block, err := aes.NewCipher(Key(secret, "seal"))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead}, nil
}

// Seal returns the user, encrypted.
func (s *Sealer) Seal(u twtr.User) ([]byte, error) {
	plain, err := json.Marshal(u)
	if err != nil {
		return nil, err
	}
	return s.aead.Seal(nil, nil, plain, nil), nil
}

// Unseal decrypts a user that [Sealer.Seal] encrypted under the same secret.
func (s *Sealer) Unseal(sealed []byte) (u twtr.User, err error) {
	plain, err := s.aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return u, fmt.Errorf("unseal a user (is seal.key the same in the API and the workers?): %w", err)
	}
	return u, json.Unmarshal(plain, &u)
}
