package main

import (
	"database/sql"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"

	"github.com/twtr-dev/twtr/workflows"
)

func TestAFeedThatTheStoreRefusesIsReportedAndAllOthersGetTheTweet(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	s.work()
	ann := s.signUp("ann")
	readers := s.seedFollowers("ann", 3000) // several pages
	db, err := sql.Open("sqlite", s.file)
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec(`CREATE TRIGGER refuse BEFORE INSERT ON feed_items WHEN new.username = 'reader-2345'
		BEGIN SELECT raise(ABORT, 'this row is refused'); END`)
	require.NoError(t, err)

	a := s.callWith("POST", "/tweets", ann, map[string]string{"content": "to all but one"}, map[string]string{"X-Request-Id": "refused-1"})
	require.Equal(t, 200, a.Status, a.Error)
	var posted tweet
	require.NoError(t, json.Unmarshal(a.Data, &posted))
	s.eventually("the delivery ends", func() bool { return s.delivery(ann, posted.ID).State == "complete" })
	d := s.delivery(ann, posted.ID)
	require.Equal(t, []int64{2999, 1}, []int64{d.Delivered, d.Failed})
	require.Equal(t, 2999, s.delivered(posted.ID, readers))
	var result workflows.DeliveryResult
	require.NoError(t, s.client.GetWorkflow(t.Context(), workflows.PostTweetID(posted.ID), "").Get(t.Context(), &result))
	require.Equal(t, workflows.DeliveryResult{Delivered: 2999, Failed: 1, FailedReaders: []string{"reader-2345"}}, result)
	require.Regexp(t, `the feed of reader-2345.*"request_id":"refused-1"|"request_id":"refused-1".*the feed of reader-2345`, s.logs.String())
	run, err := s.client.DescribeWorkflowExecution(t.Context(), workflows.PostTweetID(posted.ID), "")
	require.NoError(t, err)
	var id string
	memo := run.GetWorkflowExecutionInfo().GetMemo().GetFields()["request_id"]
	require.NoError(t, converter.GetDefaultDataConverter().FromPayload(memo, &id))
	require.Equal(t, "refused-1", id)

	audit := func(code int, says string, args ...string) {
		t.Helper()
		got, output := s.twtr(append([]string{"audit", posted.ID.String()}, args...)...)
		require.Equal(t, code, got, output)
		require.Contains(t, output, says)
	}
	audit(3, "checked 3000 feeds: 1 missing, 0 extra")
	audit(3, "1 missing, 0 extra; repaired, except 1", "--repair")
	_, err = db.Exec(`DROP TRIGGER refuse`)
	require.NoError(t, err)
	audit(0, "1 missing, 0 extra; repaired", "--repair")
	audit(0, "checked 3000 feeds: 0 missing, 0 extra")
	require.Equal(t, 3000, s.delivered(posted.ID, readers))
	require.EqualValues(t, 1, s.delivery(ann, posted.ID).Failed, "the receipt tells what the delivery did")
}
