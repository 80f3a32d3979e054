// Package cmd is the twtr binary: its subcommands, its settings, and the wiring of its parts.
package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
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

// Execute runs a command and, if it fails, prints why, in one line for each error. It returns the exit code.
func Execute(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usageError{flagError(c, err)} })
	root.SetUsageFunc(usage)
	root.SetHelpTemplate("{{with or .Long .Short}}{{.}}\n\n{{end}}{{.UsageString}}") // also for a topic
	err := root.ExecuteContext(ctx)
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintf(stderr, "%s: %s\n", root.Name(), line)
		}
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

// commit is set at build time where the source is not in a git repository.
var commit string

// describeVersion names the version, the commit and the Go release that this binary is made from.
func describeVersion(version string) string {
	revision, dirty := commit, ""
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = cmp.Or(revision, s.Value)
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = ", modified"
		}
	}
	return fmt.Sprintf("twtr %s, commit %s%s, %s %s/%s", cmp.Or(version, sourceVersion(info)), cmp.Or(revision, "unknown"), dirty,
		runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// NewRoot returns the command twtr, of that version or, if it is empty, of the source's.
func NewRoot(version string) *cobra.Command {
	version = describeVersion(version)
	root := &cobra.Command{
		Use:   "twtr",
		Short: "A Twitter-like backend on Temporal: every write to users, tweets and follows is a workflow",
		Long: `A Twitter-like backend on Temporal: every write to users, tweets and follows is a workflow.

twtr help COMMAND explains a command, and twtr help settings lists all settings.`,
		Version:           version,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var known []string
			for _, child := range c.Commands() {
				known = append(known, child.Name())
			}
			return usageError{fmt.Errorf("unknown command %q for %q%s", args[0], c.Name(), didYouMean(args[0], known))}
		},
		RunE: func(c *cobra.Command, _ []string) error {
			return c.Help()
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	s := NewSettings(root.PersistentFlags())
	s.version = version
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return s.Read() }
	root.AddGroup(groups...)
	root.AddCommand(inGroup(processes, apiCommand(s), workerCommand(s), codecServerCommand(s))...)
	root.AddCommand(inGroup(setup, configCommand(s), migrateCommand(s), waitCommand(s), healthcheckCommand(s), generateCommand(s))...)
	root.AddCommand(inGroup(operations, topCommand(s), whyCommand(s), auditCommand(s), auditUserCommand(s), rebuildFeedCommand(s), schedulesCommand(s), replayCommand(s))...)
	root.AddCommand(reads(versionCommand(version)), settingsTopic())
	return reads(root)
}

// sourceVersion is the version of a binary that was built without one: the release's if the go command fetched or built that, and
// else one that says that it is none.
func sourceVersion(info *debug.BuildInfo) string {
	release := "v" + twtr.Version
	if info.Main.Version == release {
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
	return withoutSettings(&cobra.Command{
		Use:   "config",
		Short: "Check the settings, and print those in force and where each comes from",
		Long: `Check all settings, and print those in force and where each comes from: a flag, an environment variable, a file, or its default.
Secrets are masked. The connection to Temporal comes last. It exits 2 if anything is wrong, and prints each error.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			err := s.Read()
			out := c.OutOrStdout()
			s.print(func(key, value, source string) { fmt.Fprintf(out, "%s: %q # %s\n", key, value, source) })
			_, parseErr := s.Parse()
			temporal, temporalErr := temporalclient.Settings()
			if temporalErr != nil {
				temporalErr = usageError{temporalErr}
			}
			fmt.Fprintln(out, "\n# Temporal: the TEMPORAL_* variables, or a profile of temporal.toml")
			for _, t := range temporal {
				fmt.Fprintf(out, "# %s: %q # %s\n", t.Name, t.Value, t.Source)
			}
			return errors.Join(err, parseErr, temporalErr)
		},
	})
}

func versionCommand(version string) *cobra.Command {
	return withoutSettings(&cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and the Go release of this binary",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			fmt.Fprintln(c.OutOrStdout(), version)
			return nil
		},
	})
}
