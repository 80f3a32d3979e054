// Package cmd is the twtr binary: its subcommands, its settings, and how its parts are put together.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Main runs twtr with those arguments until it is done, or the process is told to stop, and returns the exit code:
// 0, 1 for a failure, 2 for a wrong call or setting.
func Main(args []string, version string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	return Execute(ctx, NewRoot(version), args, stdout, stderr)
}

// Execute runs a command and says in one line why it failed, if it did. It returns the exit code.
func Execute(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v\n", root.Name(), err)
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

// NewRoot is the command twtr, of that version.
func NewRoot(version string) *cobra.Command {
	root := &cobra.Command{
		Use:               "twtr",
		Short:             "A Twitter-like backend whose every change of data is a Temporal workflow",
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return c.Help()
		},
	}
	s := NewSettings(root.PersistentFlags())
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return s.Read() }
	root.AddCommand(apiCommand(s), workerCommand(s), migrateCommand(s), waitCommand(s), configCommand(s), healthcheckCommand(s), generateCommand(s), rebuildFeedCommand(s), auditCommand(s), replayCommand(), versionCommand(version))
	return root
}

func configCommand(s *Settings) *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the settings in force, secrets masked",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s.print(func(key, value string) { fmt.Fprintf(c.OutOrStdout(), "%s: %q\n", key, value) })
			return nil
		},
	}
}

func versionCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if info, ok := debug.ReadBuildInfo(); ok && version == "" {
				version = info.Main.Version
			}
			fmt.Fprintln(c.OutOrStdout(), version)
			return nil
		},
	}
}
