package cmd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReplayTakesTheHistoriesOfEachTool(t *testing.T) {
	// Recorded by them, of one workflow; the Web UI's download of it was that of the temporal CLI but for the last newline.
	requireReplay(t, "testdata/temporal-cli.json", "testdata/temporal-cli.json: deterministic (PostTweet, 16 events)", 0)
	requireReplay(t, "testdata/tctl.json", "testdata/tctl.json: deterministic (PostTweet, 16 events)", 0)
	webUI := write(t, strings.TrimSpace(read(t, "testdata/temporal-cli.json")))
	requireReplay(t, webUI, webUI+": deterministic (PostTweet, 16 events)", 0)
	reset := "testdata/temporal-cli-after-reset.json"
	requireReplay(t, reset, reset+": deterministic (PostTweet, 20 events)", 0)
}

func TestReplayTakesEveryRecordedHistoryInBothSpellings(t *testing.T) {
	files, err := filepath.Glob("../workflows/testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		code, stdout, stderr := twtr(t, "replay", file)
		require.Equal(t, 0, code, stderr)
		require.Regexp(t, `^`+regexp.QuoteMeta(file)+`: deterministic \([A-Za-z]+, \d+ events\)\n$`, stdout)
		tctl := write(t, asTctl(read(t, file)))
		requireReplay(t, tctl, strings.Replace(strings.TrimSpace(stdout), file, tctl, 1), 0)
	}
}

func TestReplaySaysAtWhichEventAHistoryIsNotWhatThisBuildMakes(t *testing.T) {
	recorded := read(t, "../workflows/testdata/post-tweet.json")
	for name, test := range map[string]struct{ history, want string }{
		"another activity": {
			strings.Replace(recorded, `"Deliver"`, `"Fetch"`, 1),
			"16 events): at event 7, ActivityTaskScheduled: history event is ActivityTaskScheduled: (ActivityId:7, ActivityType:(Name:Fetch), " +
				"TaskQueue:(Name:feeds, Kind:Normal), …), replay command is ScheduleActivityTask: (ActivityId:7, ActivityType:(Name:Deliver), TaskQueue:(Name:feeds, Kind:Normal), …)",
		},
		"one step less": {
			edit(t, recorded, func(events []event) []event {
				events[15]["eventId"] = "15"
				return append(events[:14], events[15])
			}),
			"15 events): at event 14, MarkerRecorded: extra replay command for UpsertWorkflowSearchAttributes: (CommandType:UpsertWorkflowSearchAttributes, ",
		},
		"one step more": {
			edit(t, recorded, func(events []event) []event {
				more := event{
					"eventId": "15", "eventType": "EVENT_TYPE_TIMER_STARTED",
					"timerStartedEventAttributes": map[string]any{"timerId": "15", "workflowTaskCompletedEventId": "13"},
				}
				events[14]["eventId"], events[15]["eventId"] = "16", "17"
				return append(events[:14:14], more, events[14], events[15])
			}),
			"17 events): at event 15, TimerStarted: During replay, a matching Timer command was expected in history event position",
		},
		"failed where this build completes": {
			strings.NewReplacer("EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED", "EVENT_TYPE_WORKFLOW_EXECUTION_FAILED",
				"workflowExecutionCompletedEventAttributes", "workflowExecutionFailedEventAttributes").Replace(recorded),
			"16 events): at event 16, WorkflowExecutionFailed: history event is WorkflowExecutionFailed, the replayed workflow completes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range []string{test.history, asTctl(test.history)} {
				file := write(t, text)
				code, stdout, stderr := twtr(t, "replay", "testdata/tctl.json", file)
				require.Equal(t, 1, code)
				require.Equal(t, "twtr: 1 of 2 not deterministic, or not replayed\n", stderr)
				good, bad, _ := strings.Cut(stdout, "\n")
				require.Equal(t, "testdata/tctl.json: deterministic (PostTweet, 16 events)", good)
				require.True(t, strings.HasPrefix(bad, file+": NOT deterministic (PostTweet, "+test.want), bad)
				require.Equal(t, 1, strings.Count(bad, "\n"), "one line")
			}
		})
	}
}

func TestReplaySaysWhyItCanNotReplay(t *testing.T) {
	recorded := read(t, "testdata/temporal-cli.json")
	for want, history := range map[string]string{
		"it is empty": "",
		"it is truncated: the JSON text does not end":                                                recorded[:len(recorded)/2],
		"it is no history: that is a JSON object with a list of events":                              "[1]",
		"it is no history: it has no events":                                                         "{}",
		"invalid character 'x' looking for beginning of value":                                       "x",
		"it is no whole history: event 6 stands where event 5 should":                                edit(t, recorded, func(e []event) []event { return append(e[:4], e[5:]...) }),
		"event 16 is of a type that this build does not know":                                        strings.Replace(recorded, "WORKFLOW_EXECUTION_COMPLETED", "NEXT_YEARS_INVENTION", 1),
		"unable to find workflow type: Retweet. Supported types: [":                                  strings.Replace(recorded, `"PostTweet"`, `"Retweet"`, 1),
		"it is no history that a server wrote: runtime error: ":                                      strings.ReplaceAll(recorded, `"workflowTaskCompletedEventAttributes"`, `"attributes"`),
		"it is no history that can be replayed (the Web UI's Encoded can, its Human Readable not): ": strings.Replace(recorded, `"data": "`, `"data": "@`, 1),
	} {
		file := write(t, history)
		code, stdout, _ := twtr(t, "replay", file)
		require.Equal(t, 1, code, want)
		require.True(t, strings.HasPrefix(stdout, file+": not replayed: "+want), stdout)
		require.Equal(t, 1, strings.Count(stdout, "\n"), stdout)
	}
	requireReplay(t, "nowhere.json", "nowhere.json: not replayed: no such file or directory", 1)
	unknown := write(t, edit(t, strings.Replace(recorded, `"PostTweet"`, `"Retweet"`, 1), func(e []event) []event { return e[:2] }))
	_, stdout, _ := twtr(t, "replay", unknown)
	require.Contains(t, stdout, "unable to find workflow type: Retweet", "also when no worker has had it in hand yet")

	code, _, stderr := twtr(t, "replay")
	require.Equal(t, 2, code)
	require.Equal(t, "twtr: requires at least 1 arg(s), only received 0; usage: twtr replay FILE...|- [flags]\n", stderr)
}

func TestReplayJudgesAHistoryThatStillRunsAtEachStep(t *testing.T) {
	files, err := filepath.Glob("../workflows/testdata/*.json")
	require.NoError(t, err)
	for _, file := range files {
		var recorded []event
		edit(t, read(t, file), func(events []event) []event {
			recorded = events
			return events
		})
		for n := 1; n < len(recorded); n++ {
			if ofCompletedTask(recorded[n]) {
				continue // the server writes at once what a completed workflow task brings: a history ends after it
			}
			running := edit(t, read(t, file), func(events []event) []event { return events[:n] })
			path := write(t, running)
			code, stdout, _ := twtr(t, "replay", path)
			require.Contains(t, stdout, ": deterministic (")
			require.Contains(t, stdout, ", "+strconv.Itoa(n)+" events)")
			require.Equal(t, 0, code)

			if other := strings.ReplaceAll(strings.ReplaceAll(running, `"Deliver"`, `"Fetch"`), `"Backfill"`, `"Fetch"`); other != running {
				code, stdout, _ := twtr(t, "replay", write(t, other))
				require.Contains(t, stdout, ": NOT deterministic (")
				require.Equal(t, 1, code)
			}
		}
	}
}

func ofCompletedTask(e event) bool {
	_, command := attributes(e)["workflowTaskCompletedEventId"]
	return command || strings.HasPrefix(e["eventType"].(string), "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_")
}

func TestReplayTakesARunThatContinuesAnother(t *testing.T) {
	file := write(t, edit(t, read(t, "testdata/temporal-cli.json"), func(events []event) []event {
		started := attributes(events[0])
		started["continuedExecutionRunId"] = "01a20c67-0000-7000-8000-000000000000"
		started["initiator"] = "CONTINUE_AS_NEW_INITIATOR_WORKFLOW"
		return events
	}))
	requireReplay(t, file, file+": deterministic (PostTweet, 16 events)", 0)
}

func TestReplayReadsStandardInput(t *testing.T) {
	good := read(t, "testdata/temporal-cli.json")
	stdin(t, good)
	requireReplay(t, "-", "-: deterministic (PostTweet, 16 events)", 0)
	stdin(t, good+read(t, "../workflows/testdata/follow-twice.json")+good[:1000])
	requireReplay(t, "-", "-: deterministic (PostTweet, 16 events)\n-: deterministic (Follow, 28 events)\n-: not replayed: it is truncated: the JSON text does not end", 1)
}

func requireReplay(t *testing.T, file, stdout string, code int) {
	t.Helper()
	gotCode, gotStdout, _ := twtr(t, "replay", file)
	require.Equal(t, stdout+"\n", gotStdout)
	require.Equal(t, code, gotCode)
}

// event is one of a history, as JSON.
type event map[string]any

func attributes(e event) map[string]any {
	for key, value := range e {
		if strings.HasSuffix(key, "Attributes") {
			return value.(map[string]any)
		}
	}
	return nil
}

// edit changes the events of a history.
func edit(t *testing.T, text string, change func([]event) []event) string {
	var h struct {
		Events []event `json:"events"`
	}
	require.NoError(t, json.Unmarshal([]byte(text), &h))
	h.Events = change(h.Events)
	edited, err := json.Marshal(h)
	require.NoError(t, err)
	return string(edited)
}

var enum = regexp.MustCompile(`"(EVENT_TYPE|TASK_QUEUE_KIND|TASK_QUEUE_TYPE|RETRY_STATE|WORKFLOW_TASK_FAILED_CAUSE)_([A-Z_]+)"`)

// asTctl spells enums as tctl does: TimerStarted for EVENT_TYPE_TIMER_STARTED.
func asTctl(text string) string {
	return enum.ReplaceAllStringFunc(text, func(name string) string {
		var spelled strings.Builder
		for word := range strings.SplitSeq(enum.FindStringSubmatch(name)[2], "_") {
			spelled.WriteString(word[:1] + strings.ToLower(word[1:]))
		}
		return `"` + spelled.String() + `"`
	})
}

func read(t *testing.T, file string) string {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

func write(t *testing.T, text string) (file string) {
	file = filepath.Join(t.TempDir(), "history 100%.json")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func stdin(t *testing.T, text string) {
	f, err := os.Open(write(t, text))
	require.NoError(t, err)
	old := os.Stdin
	os.Stdin = f
	t.Cleanup(func() {
		os.Stdin = old
		f.Close()
	})
}
