package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"

	"github.com/twtr-dev/twtr/cmd"
)

// The documents whose blocks are run, each in a shell of its own, in order.
//
// A block is commands, or commands after "$ " with some lines of their output. A comment above it, which a reader does not see, may
// say `not run: why`, or `given: NAME`, a state of [docs.givens] that the block needs.
var documents = []string{"README.md", "docs/*.md"}

var directive = regexp.MustCompile(`^<!-- (not run|given): (.+) -->\n$`)

// block is a code block of a document.
type block struct {
	where  string
	source string
	notRun string // why
	given  string
}

// readBlocks returns the code blocks of a Markdown file.
func readBlocks(t *testing.T, file string) (blocks []block) {
	source, err := os.ReadFile(filepath.Join("..", file))
	require.NoError(t, err)
	root := goldmark.DefaultParser().Parse(text.NewReader(source))
	require.NoError(t, ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering || n.Kind() != ast.KindCodeBlock && n.Kind() != ast.KindFencedCodeBlock {
			return ast.WalkContinue, nil
		}
		b := block{source: string(n.Lines().Value(source))}
		b.where = fmt.Sprintf("%s:%d", file, 1+bytes.Count(source[:n.Lines().At(0).Start], []byte("\n")))
		if above := n.PreviousSibling(); above != nil && above.Kind() == ast.KindHTMLBlock {
			if match := directive.FindStringSubmatch(string(above.Lines().Value(source))); match != nil && match[1] == "given" {
				b.given = match[2]
			} else if match != nil {
				b.notRun = match[2]
			}
		}
		blocks = append(blocks, b)
		return ast.WalkContinue, nil
	}))
	return blocks
}

// docStep is a command and the lines that it prints among others.
type docStep struct {
	command string
	output  []string
}

// steps splits a block.
func (b block) steps() (steps []docStep) {
	session := strings.Contains("\n"+b.source, "\n$ ")
	complete := true
	for line := range strings.Lines(b.source) {
		begins := !session || strings.HasPrefix(line, "$ ")
		switch {
		case !complete:
			steps[len(steps)-1].command += line
		case strings.TrimSpace(line) == "":
			continue
		case begins:
			steps = append(steps, docStep{command: strings.TrimPrefix(line, "$ ")})
		default:
			last := &steps[len(steps)-1]
			last.output = append(last.output, strings.TrimSpace(line))
			continue
		}
		command := steps[len(steps)-1].command
		complete = !strings.HasSuffix(command, "\\\n") && exec.Command("bash", "-n", "-c", command).Run() == nil
	}
	return steps
}

// varying are the parts of an output that differ from run to run: ids, times, numbers, and the text that a document leaves out.
var varying = regexp.MustCompile(`[\w-]*…|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]+ (second|minute)s? ago|[0-9]+(m?s|h|ms|µs)\b|[0-9]+|\s+|…`)

// loosely is a pattern of a line of output.
func loosely(line string) *regexp.Regexp {
	var pattern strings.Builder
	for end := 0; end < len(line); {
		at := varying.FindStringIndex(line[end:])
		if at == nil {
			pattern.WriteString(regexp.QuoteMeta(line[end:]))
			break
		}
		pattern.WriteString(regexp.QuoteMeta(line[end : end+at[0]]))
		switch part := line[end+at[0] : end+at[1]]; {
		case strings.HasSuffix(part, "…"):
			pattern.WriteString(`.*`)
		case strings.TrimSpace(part) == "":
			pattern.WriteString(`\s+`)
		case strings.HasSuffix(part, " ago"):
			pattern.WriteString(`(\d+ (second|minute)s? ago|now)`)
		case len(part) == 36:
			pattern.WriteString(`[0-9a-f-]{36}`)
		default:
			pattern.WriteString(`[0-9.]+(ms|µs|[hms])*( [0-9.]+(ms|µs|[hms]))*`)
		}
		end += at[1]
	}
	return regexp.MustCompile(pattern.String())
}

// shell is a bash that runs the steps of a document.
type shell struct {
	t      *testing.T
	stdin  io.Writer
	output *buffer
	last   string // output
}

func startShell(t *testing.T, dir string, env []string) *shell {
	s := &shell{t: t, output: &buffer{}}
	bash := exec.Command("bash")
	bash.Dir, bash.Env = dir, env
	bash.Stdout, bash.Stderr = s.output, s.output // one pipe for both: lines stay in the order in which they were written
	bash.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := bash.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, bash.Start())
	s.stdin = stdin
	t.Cleanup(func() {
		_ = syscall.Kill(-bash.Process.Pid, syscall.SIGKILL) // with what it left in the background
		_ = bash.Wait()
	})
	return s
}

const stepTimeout = time.Minute

var exitLine = regexp.MustCompile(`(?m)^@exit ([0-9]+)\n`)

// aRead is a command that changes nothing, and may see what was done a moment later.
var aRead = regexp.MustCompile(`^(twtr why|temporal [a-z -]*(list|describe|show|metadata|count|get) |curl [^|]*/feeds/me)`)

// run runs a step; it must succeed and print its lines, those of a process in the background included.
func (s *shell) run(where string, one docStep) {
	for deadline := time.Now().Add(stepTimeout); ; {
		exit, said, missing := s.try(one)
		if exit == 0 && missing == "" {
			s.last = exitLine.ReplaceAllString(said, "")
			return
		}
		if !aRead.MatchString(one.command) || time.Now().After(deadline) {
			require.Zero(s.t, exit, "%s: $ %s\n%s", where, one.command, said)
			require.Empty(s.t, missing, "%s: $ %s\n%s", where, one.command, said)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// try runs a command once, and waits for its output; -1 is the exit code of one that does not end.
func (s *shell) try(one docStep) (exit int, said, missing string) {
	deadline := time.Now().Add(stepTimeout)
	begin := len(s.output.String())
	_, err := fmt.Fprintf(s.stdin, "{ %s\n} </dev/null\nprintf '\\n@exit %%d\\n' $?\n", strings.TrimSuffix(one.command, "\n"))
	require.NoError(s.t, err, one.command)
	for exit = -1; ; time.Sleep(20 * time.Millisecond) {
		said = s.output.String()[begin:]
		missing = missingLine(said, one.output)
		if match := exitLine.FindStringSubmatch(said); match != nil {
			exit, err = strconv.Atoi(match[1])
			require.NoError(s.t, err)
		}
		if exit > 0 || exit == 0 && (missing == "" || aRead.MatchString(one.command)) || time.Now().After(deadline) {
			return exit, said, missing
		}
	}
}

// missingLine is the first of the lines that are not there, in this order.
func missingLine(said string, lines []string) string {
	for _, line := range lines {
		at := loosely(line).FindStringIndex(said)
		if at == nil {
			return line
		}
		said = said[at[1]:]
	}
	return ""
}

// docs is the stack that the documents' commands use.
type docs struct {
	*stack
	feeds func() // stops the workers of feeds; nil if there are none
	ann   string // token
	tweet tweet  // the one that ids in commands stand for
}

// work has workers of feeds, or none.
func (d *docs) work(feeds bool) {
	if feeds && d.feeds == nil {
		d.feeds = d.stack.work("feeds")
	} else if !feeds && d.feeds != nil {
		d.feeds()
		d.feeds = nil
	}
}

// givens are the states that blocks need, by name.
func (d *docs) givens() map[string]func() {
	post := func() { d.tweet = d.stack.tweet(d.ann, "hello, world") }
	deliver := func() {
		d.work(true)
		post()
		d.eventually("it is delivered", func() bool { return d.delivery(d.ann, d.tweet.ID).State == "complete" })
	}
	return map[string]func(){
		"a delivery without a worker": func() { d.work(false); post() },
		"a worker that has stopped":   func() { deliver(); d.work(false); post() },
		"a feed that has lost the tweet": func() {
			deliver()
			require.NoError(d.t, d.store.DeleteFeedItems(d.t.Context(), "bob", []uuid.UUID{d.tweet.ID}, d.tweet.at(d.t)))
		},
		"a worker of feeds": func() { d.work(true) },
	}
}

var (
	tweetID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	omitted = regexp.MustCompile(`[\w-]+…`)
)

// actual is a command as the test runs it: with the ids of this run, and what the document shortens taken from the last output.
func (d *docs) actual(command, last string, addresses *strings.Replacer) string {
	command = tweetID.ReplaceAllString(addresses.Replace(command), d.tweet.ID.String())
	return omitted.ReplaceAllStringFunc(command, func(word string) string {
		begin := strings.TrimSuffix(word, "…")
		return regexp.MustCompile(regexp.QuoteMeta(begin) + `[\w.-]*`).FindString(last)
	})
}

func TestEveryCommandOfTheDocumentsWorksOrSaysWhyItIsNotRun(t *testing.T) {
	temporal := os.Getenv("TWTR_TEST_TEMPORAL_CLI")
	if temporal == "" {
		t.Skip("no Temporal CLI: set TWTR_TEST_TEMPORAL_CLI to its path, or run make docs-test")
	}
	bin := commandTwtr(t)
	require.NoError(t, os.Symlink(temporal, filepath.Join(bin, "temporal")))
	for _, pattern := range documents {
		files, err := filepath.Glob(filepath.Join("..", pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, path := range files {
			file, err := filepath.Rel("..", path)
			require.NoError(t, err)
			t.Run(filepath.ToSlash(file), func(t *testing.T) {
				t.Parallel()
				runDocument(t, readBlocks(t, file), bin)
			})
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([a-zA-Z0-9./-]*)#([a-z0-9-]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	dropped = regexp.MustCompile("[^a-z0-9 -]")
)

func TestEveryLinkToASectionLeadsToOne(t *testing.T) {
	for _, pattern := range documents {
		files, err := filepath.Glob(filepath.Join("..", pattern))
		require.NoError(t, err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, match := range link.FindAllSubmatch(source, -1) {
				to := file
				if len(match[1]) > 0 {
					to = filepath.Join(filepath.Dir(file), string(match[1]))
				}
				target, err := os.ReadFile(to)
				require.NoError(t, err, file)
				var anchors []string
				for _, h := range heading.FindAllSubmatch(target, -1) {
					anchors = append(anchors, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(string(h[1])), ""), " ", "-"))
				}
				require.Contains(t, anchors, string(match[2]), "%s: %s", file, match[0])
			}
		}
	}
}

func runDocument(t *testing.T, blocks []block, bin string) {
	for _, b := range blocks {
		b.check(t)
	}
	blocks = slices.DeleteFunc(blocks, func(b block) bool { return b.notRun != "" })
	if len(blocks) == 0 {
		return
	}
	d := &docs{stack: newStack(t, "sqlite")}
	d.stack.work("users", "tweets", "followers")
	codec, ops := freeAddr(t), freeAddr(t)
	env := append(slices.Clone(os.Environ()), secretsEnv...)
	env = append(env, "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+t.TempDir(), "TEMPORAL_ADDRESS="+d.temporal,
		"TWTR_SQLITE_PATH="+d.file, "TWTR_CODEC_ADDR="+codec, "TWTR_OPS_ADDR="+ops, "TWTR_HTTP_ADDR="+strings.TrimPrefix(d.url, "http://"))
	addresses := strings.NewReplacer("localhost:3002", strings.TrimPrefix(d.url, "http://"), "127.0.0.1:7233", d.temporal,
		"127.0.0.1:8234", codec)
	if !strings.Contains(blocks[0].where, "README") { // which signs them up
		bob := d.signUp("bob")
		d.ann = d.signUp("ann")
		d.follow(bob, "ann")
		d.tweet = d.stack.tweet(d.ann, "hello, world")
	}
	sh, givens := startShell(t, t.TempDir(), env), d.givens()
	for _, b := range blocks {
		if b.given != "" {
			require.Contains(t, givens, b.given, b.where)
			givens[b.given]()
			sh.run(b.where, docStep{command: fmt.Sprintf("export TWEET=%s ID=post-tweet/%s", d.tweet.ID, d.tweet.ID)})
		}
		for _, one := range b.steps() {
			one.command = d.actual(one.command, sh.last, addresses)
			sh.run(b.where, one)
			d.remember([]byte(sh.last))
		}
	}
}

var (
	makeTarget = regexp.MustCompile(`(?m)^ *(?:\$ )?make ([a-z][a-z0-9-]*)`)
	script     = regexp.MustCompile(`\bscripts/[a-z0-9-]+\.sh`)
	twtrCall   = regexp.MustCompile(`(?m)(?:^|\$ |/| -- )twtr ([a-z][a-z-]*)([^|;&#\n]*)`)
	twtrFlag   = regexp.MustCompile(`--([a-z][a-z-]*)`)
)

// check compares what a block names with what exists, also if it is not run: targets of make, scripts, commands and flags of twtr.
func (b block) check(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	for _, match := range makeTarget.FindAllStringSubmatch(b.source, -1) {
		require.Contains(t, string(makefile), "\n"+match[1]+":", b.where)
	}
	for _, name := range script.FindAllString(b.source, -1) {
		require.FileExists(t, filepath.Join("..", name), b.where)
	}
	for _, match := range twtrCall.FindAllStringSubmatch(b.source, -1) {
		command, _, err := cmd.NewRoot("").Find(append([]string{match[1]}, strings.Fields(match[2])...))
		require.NoError(t, err, b.where)
		for _, name := range twtrFlag.FindAllStringSubmatch(match[2], -1) {
			if command.Flag(name[1]) == nil {
				t.Errorf("%s: twtr %s has no flag --%s", b.where, match[1], name[1])
			}
		}
	}
}
