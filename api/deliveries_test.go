package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/workflows"
)

// DescribeWorkflowExecution implements [client.Client].
func (f *fakeTemporal) DescribeWorkflowExecution(_ context.Context, workflowID, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	description, ok := f.running[workflowID]
	if !ok {
		return nil, serviceerror.NewNotFound("workflow not found")
	}
	return description, f.err
}

func TestARunningDeliveryCountsItsCompletedAndItsRunningSteps(t *testing.T) {
	payload := func(v any) *commonpb.Payload {
		p, err := converter.GetDefaultDataConverter().ToPayload(v)
		require.NoError(t, err)
		return p
	}
	step := func(activity string, heartbeat any) *workflowpb.PendingActivityInfo {
		info := &workflowpb.PendingActivityInfo{ActivityType: &commonpb.ActivityType{Name: activity}}
		if heartbeat != nil {
			info.HeartbeatDetails = &commonpb.Payloads{Payloads: []*commonpb.Payload{payload(heartbeat)}}
		}
		return info
	}
	attribute := map[string]*commonpb.Payload{workflows.Delivered.GetName(): payload(20_000)}
	for _, c := range []struct {
		description *workflowservice.DescribeWorkflowExecutionResponse // nil: Temporal does not know it
		want        int
	}{
		{nil, 0},
		{&workflowservice.DescribeWorkflowExecutionResponse{}, 0},
		{&workflowservice.DescribeWorkflowExecutionResponse{
			PendingActivities: []*workflowpb.PendingActivityInfo{step(workflows.DeliverActivity, twtr.Progress{Done: 70})}}, 70},
		{&workflowservice.DescribeWorkflowExecutionResponse{
			WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{SearchAttributes: &commonpb.SearchAttributes{IndexedFields: attribute}},
			PendingActivities: []*workflowpb.PendingActivityInfo{
				step(workflows.DeliverActivity, twtr.Progress{Done: 500}),
				step(workflows.DeliverActivity, twtr.Progress{Left: []twtr.BucketCursor{{Bucket: 3, After: "ann"}}, Done: 7}),
				step(workflows.DeliverActivity, nil), // has not begun
				step("StoreReceipt", "another activity's"),
			}}, 20_507},
	} {
		tweet, err := twtr.NewTweet(uuid.Must(uuid.NewV7()), "ann", twtr.Post{Content: "x"})
		require.NoError(t, err)
		temporal := &fakeTemporal{running: map[string]*workflowservice.DescribeWorkflowExecutionResponse{}}
		if c.description != nil {
			temporal.running[workflows.PostTweetID(tweet.ID)] = c.description
		}
		a := newAPIWith(t, &strings.Builder{}, Config{Temporal: temporal, Store: &fakeStore{
			tweets: []twtr.Tweet{tweet}, counts: []twtr.FollowerCount{{Bucket: 1, Count: 400}, {Bucket: 2, Count: 600}}}})
		path := "/deliveries/" + tweet.ID.String()
		w := serve(t, a, request(t, a, "ann", http.MethodGet, path, "", ""))
		require.JSONEq(t, fmt.Sprintf(`{"status":200,"data":{"tweetId":"%s","state":"running","delivered":%d,"total":%d,"failed":0,"startedAt":"%s","completedAt":null},"error":""}`,
			tweet.ID, c.want, max(1000, c.want), tweet.CreatedAt().Format("2006-01-02T15:04:05.000Z")), w.Body.String())
		require.Equal(t, 403, serve(t, a, request(t, a, "bob", http.MethodGet, path, "", "")).Code)
	}
}

func TestADeliveryThatTemporalCannotBeAskedAboutIs503(t *testing.T) {
	tweet, err := twtr.NewTweet(uuid.Must(uuid.NewV7()), "ann", twtr.Post{Content: "x"})
	require.NoError(t, err)
	var logs strings.Builder
	a := newAPIWith(t, &logs, Config{Store: &fakeStore{tweets: []twtr.Tweet{tweet}}, Temporal: &fakeTemporal{
		running: map[string]*workflowservice.DescribeWorkflowExecutionResponse{workflows.PostTweetID(tweet.ID): nil},
		err:     serviceerror.NewUnavailable("refused"),
	}})
	w := serve(t, a, request(t, a, "ann", http.MethodGet, "/deliveries/"+tweet.ID.String(), "", ""))
	require.Equal(t, 503, w.Code)
	require.Equal(t, "Temporal", logLines(t, &logs, "dependency unavailable")[0]["dependency"])
}
