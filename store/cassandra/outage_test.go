package cassandra

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gocql/gocql"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

// answer is an error that the server sent.
type answer int

func (a answer) Code() int       { return int(a) }
func (a answer) Message() string { return a.Error() }
func (a answer) Error() string   { return fmt.Sprintf("code %#x", int(a)) }

func TestWhatTheServerDoesNotAnswerIsAnOutageAndWhatItRefusesIsNot(t *testing.T) {
	for _, outage := range []error{
		// The driver has no types for these.
		errors.New("gocql: unable to fetch prepared info: no connection available"),
		errors.New("gocql: heartbeat failed"),
		gocql.ErrTimeoutNoResponse, gocql.ErrNoConnections,
		answer(gocql.ErrCodeOverloaded), answer(gocql.ErrCodeWriteTimeout), answer(gocql.ErrCodeUnauthorized),
	} {
		require.Equal(t, twtr.Unavailable, twtr.ErrorCode(mapError(t.Context(), outage)), outage)
	}
	for _, refusal := range []error{
		answer(gocql.ErrCodeInvalid), answer(gocql.ErrCodeSyntax),
		gocql.ErrFrameTooBig, gocql.MarshalError("can not marshal"), gocql.UnmarshalError("can not unmarshal"),
	} {
		require.Equal(t, twtr.Internal, twtr.ErrorCode(mapError(t.Context(), refusal)), refusal)
	}
}
