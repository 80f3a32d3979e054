package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/twtr-dev/twtr/workers"
)

func replayCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "replay FILE...|-",
		Short: "Replay saved workflow histories with this build's workflows; the exit code is 0 if all are deterministic",
		Long: `Replay saved workflow histories with this build's workflows, and say of each whether it is deterministic, or where
not and why. A file, or standard input (-), holds one or more histories as JSON, as these write them:
  temporal workflow show --output json
  the Web UI's Download (Encoded)
  tctl workflow show --output_filename
The exit code is 0 if all are deterministic, and otherwise 1.`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, files []string) error {
			all, failed := 0, 0
			for _, file := range files {
				histories, err := readHistories(file, c.InOrStdin())
				for _, h := range histories {
					all++
					result, ok := verdict(h)
					if !ok {
						failed++
					}
					fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", file, result)
				}
				if err != nil {
					all++
					failed++
					fmt.Fprintf(c.OutOrStdout(), "%s: not replayed: %v\n", file, err)
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d not deterministic, or not replayed", failed, all)
			}
			return nil
		},
	}
}

// events are a workflow's history, or its beginning.
type events []*history.HistoryEvent

// verdict says in a line whether this build's workflows make what is in the history.
func verdict(h events) (line string, ok bool) {
	what := fmt.Sprintf("(%s, %d events)", workflowType(h), len(h))
	err := replay(h)
	if err == nil {
		return "deterministic " + what, true
	}
	if _, ok := errors.AsType[unreplayable](err); ok {
		return "not replayed: " + err.Error(), false
	}
	return "NOT deterministic " + what + ": " + locate(h, err), false
}

func workflowType(h events) string {
	return h[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowType().GetName()
}

// readHistories reads all histories of a file; with an error it returns those before it.
func readHistories(file string, stdin io.Reader) ([]events, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, errors.Unwrap(err) // the name is said anyway
		}
		defer f.Close()
		in = f
	}
	var found []events
	for values := json.NewDecoder(in); ; {
		var text json.RawMessage
		err := values.Decode(&text)
		if errors.Is(err, io.EOF) && len(found) > 0 {
			return found, nil
		}
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty")
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return found, errors.New("it is truncated: the JSON text does not end")
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

// readHistory reads both spellings of enums, EVENT_TYPE_TIMER_STARTED and tctl's TimerStarted.
func readHistory(text []byte) (events, error) {
	if text[0] != '{' {
		return nil, errors.New("it is no history: that is a JSON object with a list of events")
	}
	h, err := client.HistoryFromJSON(bytes.NewReader(text), client.HistoryJSONOptions{})
	if err != nil {
		return nil, fmt.Errorf("it is no history that can be replayed (the Web UI's Encoded can, its Human Readable not): %w", err)
	}
	if len(h.GetEvents()) == 0 {
		return nil, errors.New("it is no history: it has no events")
	}
	for i, e := range h.GetEvents() {
		if e.GetEventId() != int64(i+1) {
			return nil, fmt.Errorf("it is no whole history: event %d stands where event %d should", e.GetEventId(), i+1)
		}
		if e.GetEventType() == enums.EVENT_TYPE_UNSPECIFIED {
			return nil, fmt.Errorf("event %d is of a type that this build does not know", e.GetEventId())
		}
	}
	if workflowType(h.GetEvents()) == "" {
		return nil, errors.New("it is no history: event 1 names no workflow type")
	}
	return h.GetEvents(), nil
}

// unreplayable is the fault of the history, or of the choice of this build.
type unreplayable struct{ error }

// replay runs the workflow's code against its history and returns how they part.
func replay(h events) (err error) {
	defer func() { // the replayer relies on the attributes that a server gives to each event
		if p := recover(); p != nil {
			err = unreplayable{fmt.Errorf("it is no history that a server wrote: %v", p)}
		}
	}()
	end := &ending{}
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Interceptors: []interceptor.WorkerInterceptor{end}})
	if err != nil {
		return err
	}
	workers.RegisterWorkflows(replayer)
	// A task that is only begun has brought nothing yet, and the replayer leaves out what the one before it brought.
	for begun(h[len(h)-1]) {
		h = h[:len(h)-1]
	}
	fresh := !slices.ContainsFunc(h, func(e *history.HistoryEvent) bool {
		return e.GetEventType() == enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
	})
	if fresh {
		// No worker has done anything yet. Its first task is run all the same, to see that the workflow's type is known.
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
		log.NewStructuredLogger(slog.New(slog.DiscardHandler)), // what goes wrong is in the error
		&history.History{Events: h},
		worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: id}},
	)
	if err != nil && strings.HasPrefix(err.Error(), "unable to find workflow type") { // the SDK has no type for this error
		return unreplayable{err}
	}
	if err != nil && !fresh { // what a first task that we made up brings is in no history
		return err
	}
	// The replayer checks this only of a workflow that completed.
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

// ending notes whether a workflow completed.
type ending struct {
	interceptor.WorkerInterceptorBase
	completed bool
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
	result, err := i.Next.ExecuteWorkflow(ctx, in)
	i.ending.completed = err == nil
	return result, err
}

// locate says at which event a replay fails, which the error doesn't: the last one of the shortest beginning of the
// history that fails in the same way.
func locate(h events, why error) string {
	n := 1
	for n < len(h) {
		if err := replay(h[:n]); err != nil && err.Error() == why.Error() {
			break
		}
		n++
	}
	text := strings.TrimPrefix(why.Error(), "[TMPRL1100] ")
	text = strings.TrimPrefix(text, "nondeterministic workflow: ")
	text, _, _ = strings.Cut(text, ", resp: ") // what follows is the whole last request to the server
	return fmt.Sprintf("at event %d, %v: %s", n, h[n-1].GetEventType(), short(text))
}

// short leaves out what comes after the third attribute of an event or a command, and makes it one line.
func short(text string) string {
	var out strings.Builder
	depth, commas := 0, 0
	for _, r := range strings.Join(strings.Fields(text), " ") {
		switch r {
		case '(', '{', '[':
			depth++
		case ')', '}', ']':
			depth--
		}
		if depth == 0 {
			commas = 0
		}
		if depth == 1 && r == ',' {
			if commas++; commas == 3 {
				out.WriteString(", …")
			}
		}
		if commas < 3 {
			out.WriteRune(r)
		}
	}
	return out.String()
}
