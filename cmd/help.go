package cmd

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The groups of commands in the help of twtr.
const (
	processes  = "processes"
	setup      = "setup"
	operations = "operations"
)

var groups = []*cobra.Group{
	{ID: processes, Title: "Processes:"},
	{ID: setup, Title: "Set-up:"},
	{ID: operations, Title: "Operation:"},
}

// readsAnnotation holds the prefixes of the settings that a command reads. A command without it reads all that it has flags for.
const readsAnnotation = "reads"

// Prefixes of settings that several commands read.
var (
	storeSettings = []string{"store", "sqlite", "cassandra"}
	// workflowSettings are those of a command that reads the store, and payloads in Temporal.
	workflowSettings = append([]string{"temporal"}, storeSettings...)
)

// reads says which settings a command reads, by their prefixes, so that its help shows these and no others. All other settings are
// accepted, too, so that commands can share their flags and their environment.
func reads(c *cobra.Command, prefixes ...string) *cobra.Command {
	c.Annotations = map[string]string{readsAnnotation: strings.Join(prefixes, " ")}
	return c
}

// inGroup puts commands into a group of the help.
func inGroup(group string, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.GroupID = group
	}
	return commands
}

// settingsTopic is no command; `twtr help settings` prints it.
func settingsTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "settings",
		Short: "All settings: flags, environment variables, keys of the settings file",
		Long: `A setting is a flag (--cassandra-hosts), an environment variable (TWTR_CASSANDRA_HOSTS) or a key of the settings file
(cassandra.hosts); the first one found wins. Secrets have no flag: every user of a machine can list the flags of a process.
twtr config prints the settings in force and where each comes from.

The connection to Temporal is configured as in Temporal's own tools, by TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY,
TEMPORAL_TLS_CLIENT_CERT_PATH and so on, or by a profile in temporal.toml.`,
	}
}

// prefix is the part of the key before the dot, by which settings are grouped.
func (s setting) prefix() string {
	prefix, _, _ := strings.Cut(s.key, ".")
	return prefix
}

// settingsOf are the settings that the help of a command shows.
func settingsOf(c *cobra.Command) []setting {
	prefixes, restricted := c.Annotations[readsAnnotation]
	hasSettings := c.Flags().Lookup(settings[0].flag()) != nil || c.InheritedFlags().Lookup(settings[0].flag()) != nil
	var shown []setting
	for _, s := range settings {
		if hasSettings && (!restricted || slices.Contains(strings.Fields(prefixes), s.prefix())) {
			shown = append(shown, s)
		}
	}
	return shown
}

// usage prints how a command is called: its commands, its own flags, and the settings that it reads.
func usage(c *cobra.Command) error {
	out := c.OutOrStderr()
	if c.Runnable() || c.HasAvailableSubCommands() {
		fmt.Fprintf(out, "Usage:\n  %s\n", c.UseLine())
	}
	printCommands(out, c)
	if own := ownFlags(c); c.Runnable() && own.HasAvailableFlags() {
		fmt.Fprintf(out, "\nFlags:\n%s", own.FlagUsages())
	}
	last := ""
	for i, s := range settingsOf(c) {
		if i == 0 {
			config := pflag.NewFlagSet("", pflag.ContinueOnError)
			config.AddFlag(c.Flag("config"))
			fmt.Fprintf(out, "\nSettings:\n%s", config.FlagUsages())
		}
		if s.prefix() != last {
			last = s.prefix()
			fmt.Fprintf(out, "\n  %s\n", last)
		}
		def := s.def
		if flag := c.Flag(s.flag()); flag != nil {
			def = flag.DefValue // a program may have another one
		}
		fmt.Fprintf(out, "    %s\n        %s\n", s.names(), s.describe(def))
	}
	return nil
}

// names are the flag of a setting, unless it is a secret, and its environment variables.
func (s setting) names() string {
	if s.secret {
		return strings.Join(s.envs(), ", ")
	}
	return "--" + s.flag() + ", " + strings.Join(s.envs(), ", ")
}

func (s setting) describe(def string) string {
	switch {
	case s.secret:
		return s.help + " (a secret: no flag)"
	case def != "":
		return s.help + " (default " + def + ")"
	}
	return s.help
}

func printCommands(out io.Writer, c *cobra.Command) {
	list := func(title string, belongs func(*cobra.Command) bool) {
		for _, child := range c.Commands() {
			if belongs(child) {
				fmt.Fprint(out, title)
				title = ""
				fmt.Fprintf(out, "  %-*s %s\n", child.NamePadding(), child.Name(), child.Short)
			}
		}
	}
	for _, group := range c.Groups() {
		list("\n"+group.Title+"\n", func(child *cobra.Command) bool { return child.GroupID == group.ID && child.IsAvailableCommand() })
	}
	list("\nOther commands:\n", func(child *cobra.Command) bool {
		return child.GroupID == "" && (child.IsAvailableCommand() || child.Name() == "help")
	})
	list("\nTopics:\n", (*cobra.Command).IsAdditionalHelpTopicCommand)
}

// ownFlags are the flags of a command that are no settings.
func ownFlags(c *cobra.Command) *pflag.FlagSet {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	add := func(flag *pflag.Flag) {
		if flag.Name != "config" && !slices.ContainsFunc(settings, func(s setting) bool { return s.flag() == flag.Name }) {
			own.AddFlag(flag)
		}
	}
	c.LocalFlags().VisitAll(add)
	c.InheritedFlags().VisitAll(add)
	return own
}

// nearest returns the known name that differs in the fewest letters, or "" if all differ in more than a quarter, and one.
func nearest(name string, known []string) string {
	best, least := "", len(name)/4+2
	for _, other := range known {
		if d := distance(name, other); d < least {
			best, least = other, d
		}
	}
	return best
}

// didYouMean continues an error about an unknown name.
func didYouMean(name string, known []string) string {
	if best := nearest(name, known); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// distance is Levenshtein's: how many letters are inserted, removed or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0] // of the row above, one column to the left
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(replaced, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
