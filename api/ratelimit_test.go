package api

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
)

func TestAddressesOfExhaustedSitesDoNotMakeTheLimitsOfOthersForgotten(t *testing.T) {
	l := newRateLimit("x", 1, noop.Int64Counter{})
	take := func(ip string) bool {
		limited, _, err := l.take(t.Context(), "", ip)
		require.NoError(t, err)
		return limited
	}
	require.False(t, take("192.0.2.1"))
	for i := range 2 * rateLimitKeys { // of four sites
		take(fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff))
	}
	require.True(t, take("192.0.2.1"))
}
