// Package checks runs the checks of a real deployment, one after the other, and prints a line for each with the time it took.
package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

// Check is one promise of the documents about a deployment. It finds the deployment as the last one left it.
type Check struct {
	Name string
	Run  func(context.Context) error
}

// NotRun is the error of a check that could not run, with the reason.
type NotRun string

func (n NotRun) Error() string { return string(n) }

// Runner runs checks.
type Runner struct {
	Out     io.Writer
	Explain func() // prints what helps to understand a failure

	detail string // of the check that is running, for its line
}

// Say adds to the line of the check that is running.
func (r *Runner) Say(format string, args ...any) { r.detail += "; " + fmt.Sprintf(format, args...) }

// Run runs those whose names match a regular expression, and stops at the first that fails.
func (r *Runner) Run(ctx context.Context, only string, all []Check) error {
	which, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	began, notRun := time.Now(), 0
	for _, c := range all {
		if !which.MatchString(c.Name) {
			continue
		}
		started := time.Now()
		r.detail = ""
		err := c.Run(ctx)
		took := time.Since(started).Seconds()
		if reason, ok := errors.AsType[NotRun](err); ok {
			fmt.Fprintf(r.Out, "NOT RUN  %5.0f s  %s: %v\n", took, c.Name, reason)
			notRun++
			continue
		}
		if err != nil {
			fmt.Fprintf(r.Out, "FAILED   %5.0f s  %s\n", took, c.Name)
			r.Explain()
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		fmt.Fprintf(r.Out, "ok       %5.0f s  %s%s\n", took, c.Name, r.detail)
	}
	fmt.Fprintf(r.Out, "all passed in %.0f s, %d not run\n", time.Since(began).Seconds(), notRun)
	return nil
}
