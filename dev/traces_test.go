package main

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/twtr-dev/twtr"
)

// span is an exported span, and its process.
type span struct {
	service, trace, id, parent, name string
	begin, end                       uint64 // in nanoseconds
	attributes                       map[string]string
}

// spans receives spans by OTLP over HTTP.
type spans struct {
	*httptest.Server

	mu  sync.Mutex
	all []span
	raw bytes.Buffer // what was received, to look for secrets
}

func receiveSpans(t *testing.T) *spans {
	s := &spans{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			http.Error(w, fmt.Sprint(r.URL.Path, err), http.StatusBadRequest)
			return
		}
		s.add(body, &request)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *spans) add(body []byte, request *collector.ExportTraceServiceRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.Write(body)
	for _, process := range request.GetResourceSpans() {
		service := texts(process.GetResource().GetAttributes())["service.name"]
		for _, scope := range process.GetScopeSpans() {
			for _, one := range scope.GetSpans() {
				s.all = append(s.all, span{service, hex.EncodeToString(one.GetTraceId()), hex.EncodeToString(one.GetSpanId()),
					hex.EncodeToString(one.GetParentSpanId()), one.GetName(), one.GetStartTimeUnixNano(), one.GetEndTimeUnixNano(),
					texts(one.GetAttributes())})
			}
		}
	}
}

func texts(attributes []*v1.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		switch v := a.GetValue().GetValue().(type) {
		case *v1.AnyValue_StringValue:
			all[a.GetKey()] = v.StringValue
		case *v1.AnyValue_IntValue:
			all[a.GetKey()] = fmt.Sprint(v.IntValue)
		case *v1.AnyValue_ArrayValue:
			all[a.GetKey()] = v.ArrayValue.GetValues()[0].GetStringValue()
		}
	}
	return all
}

// ofRequest returns the spans of the trace that the request of that ID began, in the order in which they began.
func (s *spans) ofRequest(id string) (trace []span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, root := range s.all {
		if root.attributes["http.response.header.x-request-id"] != id {
			continue
		}
		for _, one := range s.all {
			if one.trace == root.trace {
				trace = append(trace, one)
			}
		}
	}
	slices.SortStableFunc(trace, func(a, b span) int { return cmp.Compare(a.begin, b.begin) })
	return trace
}

// requireTraceOfADelivery wants one trace of the request that posted a tweet, from the request to the last bucket of followers. With
// TWTR_TEST_TRACE_PICTURE it draws the trace into that file.
func requireTraceOfADelivery(t *testing.T, s *spans, id string) {
	t.Helper()
	trace := s.ofRequest(id)
	require.NotEmpty(t, trace)
	requireOneTree(t, trace)
	count, buckets := map[string]int{}, map[string]bool{}
	for _, one := range trace {
		count[one.service+" "+one.name]++
		switch one.name {
		case "FirstFollowers":
			buckets["0"] = true // the first page is longer than that bucket
		case "Followers":
			buckets[one.attributes["twtr.followers.bucket"]] = true
		}
	}
	for name, want := range map[string]int{
		"twtr-api POST /tweets": 1, "twtr-api StartWorkflow:PostTweet": 1, "twtr-api PutTweet": 1,
		"twtr-worker RunWorkflow:PostTweet": 1, "twtr-worker RunActivity:StoreTweet": 1, "twtr-worker PutTweet": 1,
		"twtr-worker FirstFollowers": 1, "twtr-worker RunActivity:StoreReceipt": 1, "twtr-worker PutReceipt": 1,
	} {
		require.Equal(t, want, count[name], name)
	}
	deliveries := count["twtr-worker RunActivity:Deliver"]
	require.Greater(t, deliveries, 1, "it has steps by bucket")
	require.Equal(t, deliveries, count["twtr-worker StartActivity:Deliver"])
	require.GreaterOrEqual(t, count["twtr-worker PutFeedItem"], deliveries)
	require.Len(t, buckets, twtr.FollowerBuckets)
	require.Less(t, len(trace), 1000, "it is bounded")
	if file := os.Getenv("TWTR_TEST_TRACE_PICTURE"); file != "" {
		draw(t, file, trace)
	}
}

// requireOneTree wants each span to be below another of the same trace, all below the first request.
func requireOneTree(t *testing.T, trace []span) {
	t.Helper()
	ids, roots := map[string]bool{}, []string{}
	for _, one := range trace {
		ids[one.id] = true
	}
	for _, one := range trace {
		if one.parent == "" {
			roots = append(roots, one.name)
		} else {
			require.True(t, ids[one.parent], "the parent of %s is missing", one.name)
		}
	}
	require.Equal(t, []string{"POST /tweets"}, roots)
}

// draw writes the trace as a picture: a bar for each span, indented below its parent; of many of one name below the same parent the
// first three and the last.
func draw(t *testing.T, file string, trace []span) {
	const width, row, labels = 1000, 18, 330
	first, last := trace[0].begin, uint64(0)
	children := map[string][]span{}
	for _, one := range trace {
		children[one.parent] = append(children[one.parent], one)
		last = max(last, one.end)
	}
	scale := float64(width-labels-90) / float64(last-first)
	colors := map[string]string{"twtr-api": "#2a7ab8", "twtr-worker": "#c26a1c"}
	var rows strings.Builder
	y := 2 * row
	text := func(x float64, what string) {
		fmt.Fprintf(&rows, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", x, y+13, html.EscapeString(what))
	}
	var add func(parent string, depth int)
	add = func(parent string, depth int) {
		seen, total := map[string]int{}, map[string]int{}
		for _, one := range children[parent] {
			total[one.name]++
		}
		for _, one := range children[parent] {
			seen[one.name]++
			if n := seen[one.name]; n > 3 && n < total[one.name] {
				if n == 4 {
					text(float64(8+depth*14), fmt.Sprintf("… %d more %s", total[one.name]-4, one.name))
					y += row
				}
				continue
			}
			name := one.name
			if size := one.attributes["db.operation.batch.size"]; size != "" {
				name += " × " + size
			}
			if bucket := one.attributes["twtr.followers.bucket"]; bucket != "" {
				name += ", bucket " + bucket
			}
			text(float64(8+depth*14), name)
			x, w := labels+float64(one.begin-first)*scale, max(1, float64(one.end-one.begin)*scale)
			fmt.Fprintf(&rows, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", x, y+3, w, row-6, colors[one.service])
			text(x+w+4, fmt.Sprintf("%.1f ms", float64(one.end-one.begin)/1e6))
			y += row
			add(one.id, depth+1)
		}
	}
	add("", 0)
	picture := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="11" fill="#222">
<rect width="%[1]d" height="%[2]d" fill="#fff"/>
<text x="8" y="16" font-size="13">Trace of POST /tweets by a user with %[3]d followers: %[4]d spans; </text>
<text x="400" y="16" font-size="13" fill="%[5]s">the API, </text><text x="450" y="16" font-size="13" fill="%[6]s">a worker</text>
%[7]s</svg>
`, width, y+8, manyFollowers, len(trace), colors["twtr-api"], colors["twtr-worker"], rows.String())
	require.NoError(t, os.WriteFile(file, []byte(picture), 0o600))
}
