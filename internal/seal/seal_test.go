package seal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/seal"
)

const workflow = "create-user/1"

var user = twtr.User{Username: "ann", Email: "ann@example.com", DisplayName: "Ann", PasswordHash: "$argon2id$…",
	CreatedAt: time.UnixMilli(1_800_000_000_123).UTC()}

func sealer(t *testing.T, secrets ...string) *seal.Sealer {
	s, err := seal.New(secrets...)
	require.NoError(t, err)
	return s
}

func sealed(t *testing.T, s *seal.Sealer) []byte {
	b, err := s.Seal(workflow, user)
	require.NoError(t, err)
	require.NotContains(t, string(b), user.Email)
	return b
}

func TestAValueOpensInItsWorkflowAlone(t *testing.T) {
	s := sealer(t, "a secret")
	var got twtr.User
	require.NoError(t, s.Unseal(workflow, sealed(t, s), &got))
	require.Equal(t, user, got)
	for _, other := range []string{"create-user/2", ""} {
		require.Error(t, s.Unseal(other, sealed(t, s), new(twtr.User)), other)
	}
}

func TestTheFirstKeySealsAndAllOpen(t *testing.T) {
	old, both, swapped, fresh := sealer(t, "old"), sealer(t, "old", "new"), sealer(t, "new", "old"), sealer(t, "new")
	for _, c := range []struct {
		by    *seal.Sealer
		opens []*seal.Sealer
		not   *seal.Sealer
	}{
		{both, []*seal.Sealer{old, both, swapped}, fresh},
		{swapped, []*seal.Sealer{fresh, both, swapped}, old},
	} {
		for _, s := range c.opens {
			var got twtr.User
			require.NoError(t, s.Unseal(workflow, sealed(t, c.by), &got))
			require.Equal(t, user, got)
		}
		require.ErrorContains(t, c.not.Unseal(workflow, sealed(t, c.by), new(twtr.User)), "seal.key")
	}
	_, err := seal.New()
	require.Error(t, err)
}

func TestAChangedByteIsRefused(t *testing.T) {
	s := sealer(t, "a secret")
	changed := sealed(t, s)
	changed[len(changed)/2] ^= 1
	require.Error(t, s.Unseal(workflow, changed, new(twtr.User)))
	require.Error(t, s.Unseal(workflow, nil, new(twtr.User)))
}

func TestKeysForTwoPurposesDiffer(t *testing.T) {
	require.NotEqual(t, seal.Key("a secret", "seal"), seal.Key("a secret", "cursor"))
}
