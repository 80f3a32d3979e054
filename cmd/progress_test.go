package cmd

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/twtr-dev/twtr"
)

func TestTheProgressOfAnAuditSaysWhyAnActivityIsRetriedWhetherOrNotPayloadsAreEncrypted(t *testing.T) {
	details, err := converter.GetDefaultDataConverter().ToPayloads(twtr.Audit{Checked: 7, Missing: 1})
	require.NoError(t, err)
	for _, encode := range []bool{false, true} {
		failures := temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{EncodeCommonAttributes: encode})
		require.Equal(t, "checked 7 feeds: 1 missing, 0 extra; attempt 2 failed: the store does not answer",
			audit{unit: "feed"}.progress(&workflow.PendingActivityInfo{
				HeartbeatDetails: details, Attempt: 3, LastFailure: failures.ErrorToFailure(errors.New("the store does not answer")),
			}))
	}
}
