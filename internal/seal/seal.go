// Package seal keeps secrets out of Temporal: workflows carry them encrypted, and only processes that have the key can
// decrypt them.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
)

// Key derives 32 bytes for one purpose from a secret (HKDF with SHA-256, RFC 5869).
func Key(secret, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "twtr "+purpose, 32)
	if err != nil {
		panic(err) // only for a length that HKDF does not support
	}
	return key
}

// Sealer encrypts and decrypts with AES-256-GCM.
type Sealer struct {
	aeads []cipher.AEAD
}

// New makes a [Sealer] from secrets: the first seals, and all open. So a secret can be replaced while processes run.
func New(secrets ...string) (*Sealer, error) {
	if len(secrets) == 0 {
		return nil, errors.New("a sealer needs a secret")
	}
	var s Sealer
	for _, secret := range secrets {
		block, err := aes.NewCipher(Key(secret, "seal"))
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		s.aeads = append(s.aeads, aead)
	}
	return &s, nil
}

// Seal returns the value as JSON, encrypted for the workflow of that ID: it opens in no other.
func (s *Sealer) Seal(workflowID string, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return s.aeads[0].Seal(nil, nil, plain, []byte(workflowID)), nil //nolint:gosec // G407: the AEAD makes a random nonce itself
}

// Unseal decrypts what [Sealer.Seal] encrypted for the same workflow, under one of the secrets, into v.
func (s *Sealer) Unseal(workflowID string, sealed []byte, v any) error {
	for _, aead := range s.aeads {
		if plain, err := aead.Open(nil, nil, sealed, []byte(workflowID)); err == nil {
			return json.Unmarshal(plain, v)
		}
	}
	return fmt.Errorf("what is sealed for %s does not open: do the workers have all keys in seal.key that the API has?", workflowID)
}
