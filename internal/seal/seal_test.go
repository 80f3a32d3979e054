package seal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/seal"
)

var user = twtr.User{Username: "ann", Email: "ann@example.com", DisplayName: "Ann", PasswordHash: "$argon2id$…",
	CreatedAt: time.UnixMilli(1_800_000_000_123).UTC()}

func TestUnsealReturnsTheUserThatWasSealed(t *testing.T) {
	s, err := seal.New("a secret")
	require.NoError(t, err)
	sealed, err := s.Seal(user)
	require.NoError(t, err)
	require.NotContains(t, string(sealed), user.Email)
	got, err := s.Unseal(sealed)
	require.NoError(t, err)
	require.Equal(t, user, got)
}

func TestUnsealRefusesAnotherKeyAndAChangedByte(t *testing.T) {
	s, err := seal.New("a secret")
	require.NoError(t, err)
	other, err := seal.New("another secret")
	require.NoError(t, err)
	sealed, err := s.Seal(user)
	require.NoError(t, err)
	_, err = other.Unseal(sealed)
	require.ErrorContains(t, err, "seal.key")
	sealed[len(sealed)/2] ^= 1
	_, err = s.Unseal(sealed)
	require.Error(t, err)
	_, err = s.Unseal(nil)
	require.Error(t, err)
}

func TestKeysForTwoPurposesDiffer(t *testing.T) {
	require.NotEqual(t, seal.Key("a secret", "seal"), seal.Key("a secret", "cursor"))
}
