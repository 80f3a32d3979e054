package cmd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/twtr-dev/twtr/internal/codec"
	"github.com/twtr-dev/twtr/workers"
)

func replayCommand(s *Settings) *cobra.Command {
	return reads(&cobra.Command{
		Use:   "replay FILE...|-",
		Short: "Replay saved workflow histories with this build's workflows; exits 0 if all are deterministic",
		Long: `Replay saved workflow histories with this build's workflows, and print for each whether it is deterministic and, if not,
why. A file, or standard input (-), holds one or more histories as JSON, as these write them:
  temporal workflow show --output json
  the Web UI's Download (Encoded)
  tctl workflow show --output_filename
  Temporal's HTTP API, .../workflows/ID/history
Encrypted ones need the setting temporal.codec_keys. It exits 0 if all are deterministic, and 1 otherwise.`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, files []string) error {
			config, err := s.Parse()
			if err != nil {
				return err
			}
			payloads, err := codec.New(config.Codec.Keys...)
			if err != nil {
				return err
			}
			all, failed := 0, 0
			for _, file := range files {
				name := file
				if file == "-" {
					name = "stdin"
				}
				histories, err := readHistories(file, c.InOrStdin())
				for _, h := range histories {
					all++
					verdict := "deterministic"
					err := payloads.DecodeAll(c.Context(), &history.History{Events: h})
					if err == nil {
						err = replay(h)
					}
					if err != nil {
						failed++
						verdict = "failed: " + oneLine(err)
					}
					fmt.Fprintf(c.OutOrStdout(), "%s: %s: %s\n", name, h, verdict)
				}
				if err != nil {
					all++
					failed++
					fmt.Fprintf(c.OutOrStdout(), "%s: not replayed: %s\n", name, oneLine(err))
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d histories failed", failed, all)
			}
			return nil
		},
	}, "temporal")
}

// recorded are a workflow's history, or its beginning.
type recorded []*history.HistoryEvent

// String names the workflow and its run, in one line.
func (h recorded) String() string {
	started := h[0].GetWorkflowExecutionStartedEventAttributes()
	what := fmt.Sprintf("%s, run %s, %d events", started.GetWorkflowType().GetName(), h.runID(), len(h))
	if id := started.GetWorkflowId(); id != "" { // servers before 1.18 did not write it
		return fmt.Sprintf("%s (%s)", id, what)
	}
	return what
}

// runID is the run whose history it is. One that a reset has made begins with the events of the run that was reset.
func (h recorded) runID() string {
	id := h[0].GetWorkflowExecutionStartedEventAttributes().GetOriginalExecutionRunId()
	for _, e := range h {
		id = cmp.Or(e.GetWorkflowTaskFailedEventAttributes().GetNewRunId(), id)
	}
	return id
}

// readHistories reads all histories of a file; with an error it returns those before it.
func readHistories(file string, stdin io.Reader) ([]recorded, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, errors.Unwrap(err) // the name is printed anyway
		}
		defer f.Close()
		in = f
	}
	// PowerShell writes UTF-16 or a byte order mark.
	in = transform.NewReader(in, unicode.BOMOverride(transform.Nop))
	var found []recorded
	for values := json.NewDecoder(in); ; {
		var text json.RawMessage
		err := values.Decode(&text)
		if errors.Is(err, io.EOF) && len(found) > 0 {
			return found, nil
		}
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty")
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return found, errors.New("the JSON text is truncated")
		}
		if err != nil {
			return found, err
		}
		h, err := readHistory(text)
		if err != nil {
			return found, err
		}
		found = append(found, h)
	}
}

// readHistory reads one history. Enums may be written EVENT_TYPE_TIMER_STARTED or, as tctl does, TimerStarted.
func readHistory(text []byte) (recorded, error) {
	if text[0] != '{' {
		return nil, errors.New("not a history: that is a JSON object with a list of events")
	}
	h, err := parseHistory(text)
	if err != nil {
		return nil, fmt.Errorf("not a history that can be replayed (the Web UI's Encoded can, its Human Readable cannot): %w", err)
	}
	if len(h.GetEvents()) == 0 {
		return nil, errors.New("not a history: it has no events")
	}
	for i, e := range h.GetEvents() {
		if e.GetEventId() != int64(i+1) {
			return nil, fmt.Errorf("not a complete history: event %d follows event %d", e.GetEventId(), i)
		}
		if e.GetEventType() == enums.EVENT_TYPE_UNSPECIFIED {
			return nil, fmt.Errorf("event %d is of a type that this build does not know", e.GetEventId())
		}
	}
	if h.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowType().GetName() == "" {
		return nil, errors.New("not a history: event 1 has no workflow type")
	}
	return h.GetEvents(), nil
}

func parseHistory(text []byte) (*history.History, error) {
	var response struct {
		History       json.RawMessage `json:"history"`
		NextPageToken string          `json:"nextPageToken"`
	}
	if err := json.Unmarshal(text, &response); err != nil || response.History == nil {
		return client.HistoryFromJSON(bytes.NewReader(text), client.HistoryJSONOptions{})
	}
	if response.NextPageToken != "" {
		return nil, errors.New("it is one page of several (nextPageToken): ask for more with maximumPageSize")
	}
	// The HTTP API writes payloads in a short form, unless it is asked not to.
	h := &history.History{}
	options := temporalproto.CustomJSONUnmarshalOptions{
		DiscardUnknown: true,
		Metadata:       map[string]any{common.EnablePayloadShorthandMetadataKey: true},
	}
	return h, options.Unmarshal(response.History, h)
}

// replay runs the workflow's code against its history, and returns the SDK's error if they differ.
func replay(h recorded) (err error) {
	defer func() { // the replayer relies on the attributes that a server gives to each event
		if p := recover(); p != nil {
			err = fmt.Errorf("not a history that a server wrote: %v", p)
		}
	}()
	end := &ending{}
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Interceptors: []interceptor.WorkerInterceptor{end}})
	if err != nil {
		return err
	}
	workers.RegisterWorkflows(replayer)
	// A workflow task that has not completed has no commands yet, and the replayer would leave out those of the one before it.
	for begun(h[len(h)-1]) {
		h = h[:len(h)-1]
	}
	fresh := !slices.ContainsFunc(h, func(e *history.HistoryEvent) bool {
		return e.GetEventType() == enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
	})
	if fresh {
		// No worker has run anything yet. Make up the first task, to see whether the workflow's type is known.
		h = append(h[:1:1],
			&history.HistoryEvent{EventId: 2, EventType: enums.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED},
			&history.HistoryEvent{EventId: 3, EventType: enums.EVENT_TYPE_WORKFLOW_TASK_STARTED},
			&history.HistoryEvent{EventId: 4, EventType: enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
				Attributes: &history.HistoryEvent_WorkflowTaskCompletedEventAttributes{
					WorkflowTaskCompletedEventAttributes: &history.WorkflowTaskCompletedEventAttributes{},
				}})
	}
	// A workflow may use its ID.
	id := h[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowId()
	err = replayer.ReplayWorkflowHistoryWithOptions(
		log.NewStructuredLogger(slog.New(slog.DiscardHandler)), // what it logs is in the error, too
		&history.History{Events: h},
		worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: id}},
	)
	if err != nil && (!fresh || !end.began) { // the commands of a task that was made up are in no history
		return err
	}
	// The replayer checks how a workflow ended only if it completed.
	switch last := h[len(h)-1].GetEventType(); last {
	case enums.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED, enums.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
		if end.completed {
			return fmt.Errorf("history event is %v, the replayed workflow completes", last)
		}
	}
	return nil
}

func begun(task *history.HistoryEvent) bool {
	kind := task.GetEventType()
	return kind == enums.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED || kind == enums.EVENT_TYPE_WORKFLOW_TASK_STARTED
}

// ending records whether a workflow's code was run, and whether it completed.
type ending struct {
	interceptor.WorkerInterceptorBase
	began, completed bool
}

// InterceptWorkflow implements [interceptor.WorkerInterceptor].
func (e *ending) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &endingInbound{interceptor.WorkflowInboundInterceptorBase{Next: next}, e}
}

type endingInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	ending *ending
}

func (i *endingInbound) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	i.ending.began = true
	result, err := i.Next.ExecuteWorkflow(ctx, in)
	i.ending.completed = err == nil
	return result, err
}
