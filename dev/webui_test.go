package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/dev/temporalserver"
	"github.com/twtr-dev/twtr/workflows"
)

// webUI is Temporal's Web UI in a browser.
type webUI struct {
	t       *testing.T
	ctx     context.Context // of the tab
	address string
}

// newStackWithUI is a stack whose Temporal has a Web UI, and a browser for it.
func newStackWithUI(t *testing.T, flags ...string) (*stack, *webUI) {
	program := browser(t)
	ui := &webUI{t: t, address: freeAddr(t)}
	s := newStackOn(t, "sqlite", temporalserver.Options{UIAddr: ui.address}, flags...)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1440, 900))
	allocator, release := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(release)
	var stop context.CancelFunc
	ui.ctx, stop = chromedp.NewContext(allocator)
	t.Cleanup(stop)
	return s, ui
}

// page is the address of a page of the workflow's newest run.
func (ui *webUI) page(s *stack, id, page string) string {
	d, err := s.client.DescribeWorkflowExecution(ui.t.Context(), id, "")
	require.NoError(ui.t, err)
	run := d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	return fmt.Sprintf("/namespaces/default/workflows/%s/%s/%s", url.PathEscape(id), run, page)
}

// open opens a page and waits until it shows the texts. It presses R now and then, which refreshes the current details.
func (ui *webUI) open(page string, texts ...string) {
	ui.t.Helper()
	require.NoError(ui.t, chromedp.Do(ui.ctx, chromedp.Navigate("http://"+ui.address+page)))
	for range 120 {
		for range 5 {
			if containsAll(ui.text(), texts) {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		require.NoError(ui.t, chromedp.Do(ui.ctx, chromedp.KeyEvent("r")))
	}
	require.Fail(ui.t, "not shown", "%q\n%s", texts, ui.text())
}

// openTimeline opens the timeline of the workflow. The UI draws those of its rows that are in view, the newest first.
func (ui *webUI) openTimeline(s *stack, id string, texts ...string) {
	ui.t.Helper()
	require.NoError(ui.t, chromedp.Do(ui.ctx, chromedp.EmulateViewport(1440, 1300)))
	ui.open(ui.page(s, id, "timeline"), texts...)
}

// text is what the page shows, also in its frames, which is where the UI shows Markdown.
func (ui *webUI) text() string {
	const all = `[document, ...[...document.querySelectorAll("iframe")].map(f => f.contentDocument)].map(d => d?.body?.innerText ?? "").join("\n")`
	text, err := chromedp.Run(ui.ctx, chromedp.Evaluate[string](all))
	require.NoError(ui.t, err)
	return text
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !regexp.MustCompile(part).MatchString(text) {
			return false
		}
	}
	return true
}

// seedCountedFollowers is seedFollowers with the counts of the followers.
func (s *stack) seedCountedFollowers(followee string, n int) {
	s.t.Helper()
	var counts [twtr.FollowerBuckets]int
	for _, reader := range s.seedFollowers(followee, n) {
		counts[twtr.FollowerBucket(reader)]++
	}
	for bucket, count := range counts {
		require.NoError(s.t, s.store.PutFollowerCount(s.t.Context(), twtr.FollowerCount{Username: followee, Bucket: bucket, Count: count, Version: 1}))
	}
}

// made returns what a POST made. It repeats a request that times out: the browser runs on the same machine and keeps it busy.
func (s *stack) made(path, token string, body any) (data struct{ ID, AccessToken string }) {
	s.t.Helper()
	a := s.insist("POST", path, token, body)
	require.Equal(s.t, 200, a.Status, a.Error)
	require.NoError(s.t, json.Unmarshal(a.Data, &data))
	return data
}

func TestTheWebUITellsAtAGlanceHowFarADeliveryIs(t *testing.T) {
	s, ui := newStackWithUI(t, "--feed-rows-per-second", "10000") // so that it takes 2 s after its first step
	s.work("users", "tweets", "followers")
	stop := s.work("feeds")
	ann := s.made("/users", "", signUpBody("ann")).AccessToken
	s.seedCountedFollowers("ann", 40_000)
	id := "post-tweet/" + s.made("/tweets", ann, map[string]string{"content": "to all of you"}).ID
	s.eventually("the first step is complete", func() bool { return s.hasSeveralSteps(id) })
	stop() // so that it stays running, and its steps have an error
	ui.open(ui.page(s, id, "user-metadata"),
		`ann tweets`, `writes it into the feeds of its author.s followers`,
		`delivered: [23]\d,\d{3} of about 40,000 feeds \(\d\d%\)`, `rate: [\d,]+ feeds a second`, `left: \d+ of 16 buckets of followers`,
		`last error: .+ \((bucket \d+, )?attempt \d+; \d+ of the running steps were retried\)`, `as of: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, [\d.]+m?s after the start`,
		`Pending Activities have what each step has done since`)
	ui.openTimeline(s, id, `followers, bucket \d+ of 16`, `all followers`, `until the next look at the running steps`)

	ui.saveViews()
	queries := documentedQueries(t)
	for query, want := range map[string]int64{
		`WorkflowType="PostTweet" AND ExecutionStatus="Running"`: 1,
		`TwtrAuthor="ann"`: 1,
		`TwtrFailed > 0 OR TemporalReportedProblems IS NOT NULL OR ExecutionStatus IN ("Failed", "TimedOut", "Terminated")`: 0,
		`TwtrDelivered > 0 AND ExecutionStatus="Running"`:                                                                   1,
	} {
		require.Contains(t, queries, query)
		s.eventually(query, func() bool { return s.count(query) == want })
	}
	for _, query := range queries {
		s.count(query)
	}
}

// hasSeveralSteps reports whether the first step of the delivery is complete and was not the last one.
func (s *stack) hasSeveralSteps(id string) bool {
	s.t.Helper()
	d, err := s.client.DescribeWorkflowExecution(s.t.Context(), id, "")
	require.NoError(s.t, err)
	_, several := d.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()[workflows.Delivered.GetName()]
	return several
}

// count is how many workflows the query finds.
func (s *stack) count(query string) int64 {
	s.t.Helper()
	found, err := s.client.CountWorkflow(s.t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	require.NoError(s.t, err, query)
	return found.GetCount()
}

var (
	documentedLink  = regexp.MustCompile(`/workflows\?query=([^&)\s$]+)`)
	documentedQuery = regexp.MustCompile(`--query "([^"$]+)"`)
)

// documentedQueries are the list filters of the operations document: those of its links to the Web UI, and those of its commands.
func documentedQueries(t *testing.T) (queries []string) {
	text, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	for _, match := range documentedLink.FindAllStringSubmatch(string(text), -1) {
		query, err := url.QueryUnescape(match[1])
		require.NoError(t, err)
		queries = append(queries, query)
	}
	require.NotEmpty(t, queries)
	for _, match := range documentedQuery.FindAllStringSubmatch(string(text), -1) {
		queries = append(queries, match[1])
	}
	return queries
}

// TestScreenshots makes the pictures of the Web UI in the documents; make screenshots runs it.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("TWTR_TEST_SCREENSHOTS")
	if dir == "" {
		t.Skip("this makes pictures for the documents: make screenshots")
	}
	shoot := func(t *testing.T, ui *webUI, name string) {
		time.Sleep(time.Second) // the UI fades some of it in
		picture, err := chromedp.Run(ui.ctx, chromedp.CaptureScreenshot())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600))
		require.Less(t, len(picture), 300<<10, name)
	}
	t.Run("a delivery that is held up", func(t *testing.T) {
		s, ui := newStackWithUI(t, "--feed-rows-per-second", "8000")
		s.work()
		star, ann := s.made("/users", "", signUpBody("star")).AccessToken, s.made("/users", "", signUpBody("ann")).AccessToken
		s.seedCountedFollowers("star", 200_000)
		s.made("/follow", star, map[string]string{"followingUsername": "ann"})
		for range 3 {
			s.made("/tweets", ann, map[string]string{"content": "hello"})
		}
		id := "post-tweet/" + s.made("/tweets", star, map[string]string{"content": "to 200,000 of you"}).ID
		s.eventually("it has several steps", func() bool { return s.hasSeveralSteps(id) })
		_, begin := s.outage()
		end := begin()
		ui.open(ui.page(s, id, "user-metadata"), `of about 200,000 feeds`, `last error: `)
		shoot(t, ui, "web-ui-delivery")
		end()
		ui.saveViews()
		shoot(t, ui, "web-ui-views")
	})
	t.Run("a delivery that takes seconds", func(t *testing.T) {
		s, ui := newStackWithUI(t)
		s.work()
		star := s.made("/users", "", signUpBody("star")).AccessToken
		s.seedCountedFollowers("star", 200_000)
		id := "post-tweet/" + s.made("/tweets", star, map[string]string{"content": "to 200,000 of you"}).ID
		s.eventually("it completes", func() bool { return s.completed(id) })
		ui.openTimeline(s, id, "followers, bucket 16 of 16", "followers, bucket 1 of 16", "StoreTweet")
		shoot(t, ui, "fan-out")
	})
}

// saveViews opens the documented links to views, each of which the UI saves.
func (ui *webUI) saveViews() {
	ui.t.Helper()
	for i, link := range documentedLinks(ui.t) {
		ui.open(link, fmt.Sprintf(`Saved Views\s+%d\s+/`, i+1))
	}
}

// documentedLinks are the operations document's links to views of the Web UI, without its address.
func documentedLinks(t *testing.T) (links []string) {
	text, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	for _, match := range regexp.MustCompile(`http://localhost:8233(/\S+savedQuery=[^)\s]+)`).FindAllStringSubmatch(string(text), -1) {
		links = append(links, match[1])
	}
	require.NotEmpty(t, links)
	return links
}
