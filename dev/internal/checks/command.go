package checks

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Command is like exec.CommandContext. When the context ends, the command is interrupted, and then has 10 s to end by itself.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, name, args...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	return command
}

// Output runs a command and returns what it printed, without spaces around it. The error has the last 30 lines, also of those that it
// printed to its standard error.
func Output(command *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stdout.String()+stderr.String()), "\n")
		lines = lines[max(0, len(lines)-30):]
		err = fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, strings.Join(lines, "\n"))
	}
	return strings.TrimSpace(stdout.String()), err
}
