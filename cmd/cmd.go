// Package cmd is the twtr binary: its subcommands, its settings, and the wiring of its parts.
package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/internal/temporalclient"
)

// Main runs twtr with those arguments until it is done or the process is told to stop, and returns the exit code: 0; 1 for
// a failure; 2 for a wrong argument or setting; 3 for an audit that found something.
func Main(args []string, version string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	return Execute(ctx, NewRoot(version), args, stdout, stderr)
}

// Execute runs a command and, if it fails, prints why in one line. It returns the exit code.
func Execute(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{flagError(err)} })
	root.SetUsageTemplate(root.UsageTemplate() + secretsUsage())
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", root.Name(), err)
	}
	return exitCode(err)
}

// exitCode is that of a process that ends with err.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	if _, ok := errors.AsType[deviation](err); ok {
		return 3
	}
	return 1
}

// NewRoot returns the command twtr, of that version or, if it is empty, of the source's.
func NewRoot(version string) *cobra.Command {
	version = cmp.Or(version, sourceVersion())
	root := &cobra.Command{
		Use:               "twtr",
		Short:             "A Twitter-like backend on Temporal: every write to users, tweets and follows is a workflow",
		Version:           version,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return c.Help()
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	s := NewSettings(root.PersistentFlags())
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return s.Read() }
	root.AddCommand(apiCommand(s), workerCommand(s), migrateCommand(s), waitCommand(s), configCommand(s), healthcheckCommand(s),
		generateCommand(s), whyCommand(s), rebuildFeedCommand(s), auditCommand(s), auditUserCommand(s), schedulesCommand(s), replayCommand(s), codecServerCommand(s), versionCommand(version))
	return root
}

// sourceVersion is the version of a binary that was built without one: the release's if the go command fetched or built that, and
// else one that says that it is none.
func sourceVersion() string {
	release := "v" + twtr.Version
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version == release {
		return release
	}
	return release + "-devel"
}

// withoutSettings makes a command work whatever the settings are.
func withoutSettings(c *cobra.Command) *cobra.Command {
	c.PersistentPreRun = func(*cobra.Command, []string) {}
	return c
}

func configCommand(s *Settings) *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the settings in force and where each comes from, secrets masked; exits 2 if one is invalid",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			out := c.OutOrStdout()
			s.print(func(key, value, source string) { fmt.Fprintf(out, "%s: %q # %s\n", key, value, source) })
			options, err := temporalclient.Options("", slog.New(slog.DiscardHandler), nil)
			if err != nil {
				err = usageError{err}
			} else {
				fmt.Fprintf(out, "# Temporal, from the TEMPORAL_* variables or temporal.toml: %s\n", temporalclient.Describe(options))
			}
			_, parseErr := s.Parse()
			return cmp.Or(parseErr, err)
		},
	}
}

func versionCommand(version string) *cobra.Command {
	return withoutSettings(&cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			fmt.Fprintln(c.OutOrStdout(), version)
			return nil
		},
	})
}
