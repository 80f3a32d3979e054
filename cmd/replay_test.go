package cmd_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// requireDeterministic returns how the history is named.
func requireDeterministic(t *testing.T, file string) string {
	t.Helper()
	code, stdout, stderr := twtr(t, "replay", file)
	require.Equal(t, 0, code, stdout+stderr)
	match := regexp.MustCompile(`^` + regexp.QuoteMeta(file) + `: (\S+ \([A-Za-z]+, run [0-9a-f-]{36}, \d+ events\)|[A-Za-z]+, run [0-9a-f-]{36}, \d+ events): deterministic\n$`).FindStringSubmatch(stdout)
	require.NotNil(t, match, stdout)
	return match[1]
}

// postTweet is a recorded history, in the form in which the temporal CLI and the Web UI write it.
const postTweet = "../workflows/testdata/post-tweet.json"

func TestReplayTakesTheHistoriesOfEachTool(t *testing.T) {
	name := requireDeterministic(t, postTweet)
	require.Regexp(t, `^post-tweet/[0-9a-f-]{36} \(PostTweet, run [0-9a-f-]{36}, \d+ events\)$`, name)
	require.Equal(t, name, requireDeterministic(t, write(t, strings.TrimSpace(read(t, postTweet)))))
	// tctl is older than some fields.
	tctl := write(t, asTctl(edit(t, read(t, postTweet), func(events []event) []event {
		for _, e := range events {
			delete(e, "userMetadata")
			for _, field := range []string{"workflowId", "workerVersion", "workerVersioningId", "priority"} {
				delete(attributes(e), field)
			}
		}
		return events
	})))
	_, withoutID, _ := strings.Cut(name, " ")
	require.Equal(t, withoutID, "("+requireDeterministic(t, tctl)+")")
}

func TestReplayTakesARunAfterAReset(t *testing.T) {
	const run = "0a0a0a0a-0000-7000-8000-000000000000"
	name := requireDeterministic(t, write(t, edit(t, read(t, postTweet), func(events []event) []event {
		// As the server writes it: the first task fails, by the reset, and is scheduled again.
		const more = 3
		later := events[3:]
		for _, e := range later {
			e["eventId"] = plus(e["eventId"], more)
			for field, value := range attributes(e) {
				if strings.HasSuffix(field, "EventId") && value != "2" && value != "3" || field == "activityId" {
					attributes(e)[field] = plus(value, more)
				}
			}
		}
		attributes(later[0])["scheduledEventId"], attributes(later[0])["startedEventId"] = "5", "6"
		reset := event{"eventId": "4", "eventType": "EVENT_TYPE_WORKFLOW_TASK_FAILED", "workflowTaskFailedEventAttributes": map[string]any{
			"scheduledEventId": "2", "startedEventId": "3", "cause": "WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW", "newRunId": run,
		}}
		scheduled, started := maps.Clone(events[1]), event{"eventId": "6", "eventType": "EVENT_TYPE_WORKFLOW_TASK_STARTED",
			"workflowTaskStartedEventAttributes": map[string]any{"scheduledEventId": "5"}}
		scheduled["eventId"] = "5"
		return append(append(events[:3:3], reset, scheduled, started), later...)
	})))
	require.Contains(t, name, "(PostTweet, run "+run+", ", "not that of the run that was reset")
}

// plus adds to a number that is written as text.
func plus(number any, n int) string {
	i, err := strconv.Atoi(number.(string))
	if err != nil {
		return number.(string)
	}
	return strconv.Itoa(i + n)
}

func TestReplayTakesEveryRecordedHistoryInBothSpellings(t *testing.T) {
	files, err := filepath.Glob("../workflows/testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		require.Equal(t, requireDeterministic(t, file), requireDeterministic(t, write(t, asTctl(read(t, file)))))
	}
}

func TestReplayPrintsTheErrorOfAHistoryThatThisBuildDoesNotMake(t *testing.T) {
	recorded := read(t, postTweet)
	name := requireDeterministic(t, postTweet)
	for test, history := range map[string]string{
		"another activity": strings.Replace(recorded, `"Deliver"`, `"Fetch"`, 1),
		"failed where this build completes": strings.NewReplacer("EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED", "EVENT_TYPE_WORKFLOW_EXECUTION_FAILED",
			"workflowExecutionCompletedEventAttributes", "workflowExecutionFailedEventAttributes").Replace(recorded),
		"a timer more": edit(t, recorded, func(events []event) []event {
			last := len(events) - 1
			task := attributes(events[last])["workflowTaskCompletedEventId"]
			more := event{
				"eventId": strconv.Itoa(last + 1), "eventType": "EVENT_TYPE_TIMER_STARTED",
				"timerStartedEventAttributes": map[string]any{"timerId": strconv.Itoa(last + 1), "workflowTaskCompletedEventId": task},
			}
			events[last]["eventId"] = strconv.Itoa(last + 2)
			return append(events[:last:last], more, events[last])
		}),
	} {
		t.Run(test, func(t *testing.T) {
			for _, text := range []string{history, asTctl(history)} {
				good, bad := write(t, recorded), write(t, text)
				code, stdout, stderr := twtr(t, "replay", bad, good)
				require.Equal(t, 1, code)
				require.Equal(t, "twtr: 1 of 2 histories failed\n", stderr)
				first, second, _ := strings.Cut(stdout, "\n")
				id, _, _ := strings.Cut(name, " ")
				require.True(t, strings.HasPrefix(first, bad+": "+id+" (PostTweet, run "), first)
				require.Contains(t, first, " events): failed: ")
				require.Equal(t, good+": "+name+": deterministic\n", second)
			}
		})
	}
}

// data is the begin of a payload; protojson writes one or two spaces.
var data = regexp.MustCompile(`"data": +"`)

func TestReplaySaysWhyItCannotReplay(t *testing.T) {
	recorded := read(t, postTweet)
	for want, history := range map[string]string{
		"the file is empty":          "",
		"the JSON text is truncated": recorded[:len(recorded)/2],
		"not a history: that is a JSON object with a list of events":                               "[1]",
		"not a history: it has no events":                                                          "{}",
		"invalid character 'x' looking for beginning of value":                                     "x",
		"not a complete history: event 6 follows event 4":                                          edit(t, recorded, func(e []event) []event { return append(e[:4], e[5:]...) }),
		" is of a type that this build does not know":                                              strings.Replace(recorded, "WORKFLOW_EXECUTION_COMPLETED", "NEXT_YEARS_INVENTION", 1),
		"not a history that can be replayed (the Web UI's Encoded can, its Human Readable cannot)": data.ReplaceAllString(recorded, `$0@`),
		"it is one page of several (nextPageToken)":                                                `{"history": ` + recorded + `, "nextPageToken": "eA=="}`,
	} {
		file := write(t, history)
		code, stdout, _ := twtr(t, "replay", file)
		require.Equal(t, 1, code, want)
		requireLine(t, stdout, file+": not replayed: ")
		require.Contains(t, stdout, want)
	}
	for want, history := range map[string]string{
		"unable to find workflow type: Retweet. Supported types: [": strings.Replace(recorded, `"PostTweet"`, `"Retweet"`, 1),
		"not a history that a server wrote: runtime error: ":        strings.ReplaceAll(recorded, `"workflowTaskCompletedEventAttributes"`, `"attributes"`),
	} {
		code, stdout, _ := twtr(t, "replay", write(t, history))
		require.Equal(t, 1, code, want)
		require.Contains(t, stdout, " events): failed: "+want)
		require.Equal(t, 1, strings.Count(stdout, "\n"), stdout)
	}
	code, stdout, _ := twtr(t, "replay", "nowhere.json")
	require.Equal(t, 1, code)
	require.Equal(t, "nowhere.json: not replayed: no such file or directory\n", stdout)
	unknown := write(t, edit(t, strings.Replace(recorded, `"PostTweet"`, `"Retweet"`, 1), func(e []event) []event { return e[:2] }))
	_, stdout, _ = twtr(t, "replay", unknown)
	require.Contains(t, stdout, "unable to find workflow type: Retweet", "also before a worker has run it")

	code, _, stderr := twtr(t, "replay")
	require.Equal(t, 2, code)
	require.Equal(t, "twtr: requires at least 1 arg(s), only received 0; usage: twtr replay FILE...|- [flags]\n", stderr)
}

func TestReplayTakesWhatTheHTTPAPIAndPowerShellWrite(t *testing.T) {
	recorded := read(t, postTweet)
	want := requireDeterministic(t, postTweet)
	units := utf16.Encode([]rune("\ufeff" + recorded))
	for name, text := range map[string]string{
		"HTTP API":                  `{"history": ` + recorded + `}`,
		"HTTP API, payload as JSON": `{"history": ` + shorthand(t, recorded) + `, "nextPageToken": null}`,
		"UTF-8 with BOM":            "\ufeff" + recorded,
		"UTF-16, little-endian":     encode(units, binary.LittleEndian),
		"UTF-16, big-endian":        encode(units, binary.BigEndian),
	} {
		require.Equal(t, want, requireDeterministic(t, write(t, text)), name)
	}
}

// encode writes UTF-16.
func encode(units []uint16, order binary.AppendByteOrder) string {
	var text []byte
	for _, unit := range units {
		text = order.AppendUint16(text, unit)
	}
	return string(text)
}

// shorthand writes the payloads of a history as the HTTP API does: {"payloads": [{"metadata": …, "data": …}]} is [value].
func shorthand(t *testing.T, text string) string {
	var h any
	require.NoError(t, json.Unmarshal([]byte(text), &h))
	short := 0
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			payloads, ok := v["payloads"].([]any)
			if !ok {
				for key := range v {
					v[key] = walk(v[key])
				}
				return v
			}
			var values []any
			for _, p := range payloads {
				payload := p.(map[string]any)
				encoding, err := base64.StdEncoding.DecodeString(payload["metadata"].(map[string]any)["encoding"].(string))
				require.NoError(t, err)
				if string(encoding) != "json/plain" {
					return v
				}
				data, err := base64.StdEncoding.DecodeString(payload["data"].(string))
				require.NoError(t, err)
				values = append(values, json.RawMessage(data))
			}
			short++
			return values
		}
		return v
	}
	out, err := json.Marshal(walk(h))
	require.NoError(t, err)
	require.Positive(t, short)
	return string(out)
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
			require.Contains(t, stdout, ", "+strconv.Itoa(n)+" events): deterministic\n")
			require.Equal(t, 0, code)

			if other := strings.ReplaceAll(strings.ReplaceAll(running, `"Deliver"`, `"Fetch"`), `"Backfill"`, `"Fetch"`); other != running {
				code, stdout, _ := twtr(t, "replay", write(t, other))
				require.Contains(t, stdout, " events): failed: ")
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
	file := write(t, edit(t, read(t, postTweet), func(events []event) []event {
		started := attributes(events[0])
		started["continuedExecutionRunId"] = "01a20c67-0000-7000-8000-000000000000"
		started["initiator"] = "CONTINUE_AS_NEW_INITIATOR_WORKFLOW"
		return events
	}))
	requireDeterministic(t, file)
}

func TestReplayReadsStandardInput(t *testing.T) {
	good, other := read(t, postTweet), read(t, "../workflows/testdata/follow-twice.json")
	want := "stdin: " + requireDeterministic(t, postTweet) + ": deterministic\n"
	stdin(t, good)
	code, stdout, _ := twtr(t, "replay", "-")
	require.Equal(t, 0, code)
	require.Equal(t, want, stdout)
	stdin(t, good+other+good[:1000])
	code, stdout, stderr := twtr(t, "replay", "-")
	require.Equal(t, 1, code)
	require.Equal(t, want+"stdin: "+requireDeterministic(t, "../workflows/testdata/follow-twice.json")+": deterministic\n"+
		"stdin: not replayed: the JSON text is truncated\n", stdout)
	require.Equal(t, "twtr: 1 of 3 histories failed\n", stderr)
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
