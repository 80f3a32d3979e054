package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Write writes the call as a line of JSON, in one write: a run that is killed leaves whole lines, but for the last one.
func Write(w io.Writer, op Op) error {
	line, err := json.Marshal(op) //nolint:gosec // Secret is the number of a password
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// Read reads what [Write] wrote. With an error it returns the calls before the line that it cannot read.
func Read(r io.Reader) (ops []Op, err error) {
	for lines := json.NewDecoder(r); ; {
		var op Op
		err := lines.Decode(&op)
		if errors.Is(err, io.EOF) {
			return ops, nil
		}
		if err != nil {
			return ops, fmt.Errorf("call %d of the history: %w", len(ops)+1, err)
		}
		ops = append(ops, op)
	}
}

// String is the call as a line for people.
func (o Op) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%9.3fs to %9.3fs  %s", o.Call.Seconds(), o.Return.Seconds(), o.Kind)
	for _, part := range []struct{ name, value string }{
		{"by", o.User}, {"of", o.Target}, {"session", o.Session}, {"key", o.Key}, {"password", o.Secret}, {"tweet", o.Tweet}} {
		if part.value != "" {
			fmt.Fprintf(&s, " %s %s", part.name, part.value)
		}
	}
	fmt.Fprintf(&s, ": %s", o.Outcome)
	if o.Code != 0 {
		fmt.Fprintf(&s, " (%d)", o.Code)
	}
	switch o.Kind {
	case Feed, Tweets:
		fmt.Fprintf(&s, " [%s]", strings.Join(o.Tweets, " "))
	case SignUp, LogIn, Refresh, Post, Delete, Follow, Unfollow:
	default:
		fmt.Fprintf(&s, " found=%t", o.Found)
	}
	if o.Message != "" {
		fmt.Fprintf(&s, ": %s", o.Message)
	}
	return s.String()
}

// Known reports whether the client knows that the call had its effect.
func (o Op) Known() bool { return o.Outcome == Acknowledged }

// Possible reports whether the call had its effect, or may have it.
func (o Op) Possible() bool { return o.Outcome != Refused }

// End is a time after all calls.
func End(ops []Op) (end time.Duration) {
	for _, op := range ops {
		end = max(end, op.Call, op.Return)
	}
	return end + 1
}
