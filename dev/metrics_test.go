package main

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// metric is the value of a series on the ops port of the API's process, and whether it has it.
func (s *stack) metric(series string) (float64, bool) {
	response, err := http.Get(s.ops + "/metrics")
	require.NoError(s.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindSubmatch(text)
	if found == nil {
		return 0, false
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(s.t, err)
	return value, true
}

func TestTheAPIShowsADeliveryThatNobodyWorksOnOrThatFails(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite")
	token := s.signUpAtWork("ann")
	s.seedFollowers("ann", 3)
	e := s.anotherAPI(s.temporal)
	e.tweet(token, "hello")
	least := func(series string, n float64) {
		t.Helper()
		e.eventually(series, func() bool { // the questions of one round are asked one after the other
			value, _ := e.metric(series)
			return value >= n
		})
	}
	for series, n := range map[string]float64{
		"twtr_deliveries_running": 1, "twtr_temporal_up": 1, "twtr_tweets_accepted_total": 1, "twtr_deliveries_oldest_seconds": 0.001,
		`twtr_queue_backlog{queue="tweets",type="workflow"}`: 1, `twtr_queue_backlog_age_seconds{queue="tweets",type="workflow"}`: 0.001,
	} {
		least(series, n)
	}
	s.work("tweets")
	least(`twtr_queue_backlog{queue="feeds",type="activity"}`, 1)
	_, begin := s.outage()
	end := begin()
	s.work("feeds")
	least("twtr_deliveries_failing", 1)
	end()
	e.eventually("it is delivered, and the workers are seen", func() bool {
		running, ok := e.metric("twtr_deliveries_running")
		pollers, _ := e.metric(`twtr_queue_pollers{queue="tweets",type="workflow"}`)
		failing, _ := e.metric("twtr_deliveries_failing")
		return ok && running == 0 && failing == 0 && pollers == 1
	})
	_, refused := e.metric(`temporal_request_failure{operation="CountWorkflowExecutions",status_code="INVALID_ARGUMENT"}`)
	require.False(t, refused, "the process's own questions are no failures")
}
