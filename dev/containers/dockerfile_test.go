// Package containers has only tests: of the image and of the whole system as containers, as far as they can be tested without
// a container engine.
package containers

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/cmd"
)

// root is the project's root directory.
const root = "../.."

type instruction struct{ name, args string }

// dockerfile returns the Dockerfile's instructions, each on one line.
func dockerfile(t *testing.T) (all []instruction) {
	content, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	joined := strings.ReplaceAll(regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(content), ""), "\\\n", " ")
	for line := range strings.Lines(joined) {
		if name, args, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			all = append(all, instruction{name, strings.Join(strings.Fields(args), " ")})
		}
	}
	return all
}

// of returns the arguments of each instruction of that name.
func of(all []instruction, name string) (args []string) {
	for _, i := range all {
		if i.name == name {
			args = append(args, i.args)
		}
	}
	return args
}

func TestTheImageIsPinnedAndHasNoRoot(t *testing.T) {
	all := dockerfile(t)
	require.Equal(t, []string{"--platform=$BUILDPLATFORM $BUILD_IMAGE AS build", "$RUNTIME_IMAGE"}, of(all, "FROM"))
	images := of(all, "ARG")[:2]
	for i, name := range []string{"BUILD_IMAGE", "RUNTIME_IMAGE"} {
		require.Regexp(t, "^"+name+`=[a-z0-9./-]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}$`, images[i])
	}
	goMod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (.+)$`).FindSubmatch(goMod)[1]
	require.Contains(t, images[0], "=golang:"+string(version)+"-", "go.mod's version of Go")
	require.Contains(t, images[1], "distroless/static")
	require.Empty(t, of(all, "ADD"))
	require.Equal(t, []string{"65532:65532"}, of(all, "USER"))
	copies := of(all, "COPY")
	require.Equal(t, []string{"go.mod go.sum ./", ". ."}, copies[:2], "modules are downloaded again only when they change")
	labels := strings.Join(of(all, "LABEL"), " ")
	for _, label := range []string{"title", "description", "source", "version", "revision"} {
		require.Contains(t, labels, "org.opencontainers.image."+label+"=")
	}
	require.NotContains(t, labels, "created")
}

func TestTheImagesCommandsAndPortsAreTheBinarys(t *testing.T) {
	all := dockerfile(t)
	var entrypoint, command, check []string
	require.NoError(t, json.Unmarshal([]byte(of(all, "ENTRYPOINT")[0]), &entrypoint))
	require.NoError(t, json.Unmarshal([]byte(of(all, "CMD")[0]), &command))
	_, text, _ := strings.Cut(of(all, "HEALTHCHECK")[0], " CMD ")
	require.NoError(t, json.Unmarshal([]byte(text), &check))
	require.Equal(t, "--from=build /out/twtr "+entrypoint[0], of(all, "COPY")[2])
	requireCommand(t, command)
	require.Equal(t, entrypoint[0], check[0])
	requireCommand(t, check[1:])

	api := cmd.NewRoot("").PersistentFlags().Lookup("http-addr").DefValue
	name, ops, _ := strings.Cut(of(all, "ENV")[1], "=")
	require.Equal(t, cmd.EnvironmentVariables()["ops.addr"], name)
	require.Equal(t, strings.TrimPrefix(api, ":")+" "+strings.TrimPrefix(ops, ":"), of(all, "EXPOSE")[0])
}

// A syntax line names a frontend, which is one more image to pull.
func TestTheImageIsBuiltFromItsBaseImagesOnly(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	require.NotRegexp(t, `(?m)^#\s*syntax\s*=`, string(content))
}

// requireCommand fails unless twtr accepts the arguments.
func requireCommand(t *testing.T, args []string) {
	t.Helper()
	root := cmd.NewRoot("")
	command, rest, err := root.Find(args)
	require.NoError(t, err)
	require.NotSame(t, root, command, "%v is a subcommand", args)
	require.NoError(t, command.ParseFlags(rest))
	require.NoError(t, command.ValidateArgs(command.Flags().Args()), args)
}

func TestTheBuildContextHasNoSecretsAndNothingNeedless(t *testing.T) {
	ignored := dockerignore(t)
	for _, path := range []string{".git/config", ".env", ".twtr/twtr.db", ".twtr/seal.key", "bin/twtr", "dev/main.go", "twtr.yaml",
		"workflows/testdata/follow-twice.json", "cmd/cmd_test.go", "docker-compose.yml", "helm/values.yaml"} {
		require.True(t, ignored(path), path)
	}
	for _, path := range []string{"go.mod", "go.sum", "cmd/twtr/main.go", "migrations/cassandra/0001_initial.up.cql"} {
		require.False(t, ignored(path), path)
	}
}

func dockerignore(t *testing.T) func(path string) bool {
	f, err := os.Open(filepath.Join(root, ".dockerignore"))
	require.NoError(t, err)
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	require.NoError(t, err)
	matcher, err := patternmatcher.New(patterns)
	require.NoError(t, err)
	return func(path string) bool {
		ignored, err := matcher.MatchesOrParentMatches(path)
		require.NoError(t, err)
		return ignored
	}
}

// buildContext copies the build context, as the builder would get it, to a directory.
func buildContext(t *testing.T) (dir string) {
	dir, ignored := t.TempDir(), dockerignore(t)
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || path == ".":
			return err
		case ignored(path) && entry.IsDir():
			return fs.SkipDir
		case ignored(path):
			return nil
		case entry.IsDir():
			return os.Mkdir(filepath.Join(dir, path), 0o755)
		}
		content, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, path), content, 0o600)
	}))
	return dir
}

// build runs the Dockerfile's own build command and returns the resulting file.
func build(t *testing.T, arch string) string {
	all := dockerfile(t)
	runs := of(all, "RUN")
	command := runs[slices.IndexFunc(runs, func(run string) bool { return strings.Contains(run, "go build") })]
	command = regexp.MustCompile(`--mount=\S+ `).ReplaceAllString(command, "")
	file := filepath.Join(t.TempDir(), "twtr")
	// With low priority: the end-to-end tests, which run concurrently, depend on time.
	sh := exec.CommandContext(t.Context(), "nice", "sh", "-ec", strings.Replace(command, "/out/twtr", file, 1))
	sh.Dir = buildContext(t)
	sh.Env = append(append(os.Environ(), "GOFLAGS=", "TARGETOS=linux", "TARGETARCH="+arch, "VERSION=v1.2.3", "REVISION=4b825dc"), strings.Fields(of(all, "ENV")[0])...)
	out, err := sh.CombinedOutput()
	require.NoError(t, err, string(out))
	return file
}

func TestTheImagesBinaryIsStaticAndTheSameEachTime(t *testing.T) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		t.Run(arch, func(t *testing.T) {
			file := build(t, arch)
			binary, err := elf.Open(file)
			require.NoError(t, err)
			defer binary.Close()
			require.Equal(t, machine, binary.Machine)
			for _, p := range binary.Progs {
				require.NotEqual(t, elf.PT_INTERP, p.Type, "it needs a dynamic linker, which the image does not have")
			}
			require.Equal(t, sum(t, file), sum(t, build(t, arch)), "built again in another directory")
			if arch == runtime.GOARCH {
				version, err := exec.CommandContext(t.Context(), file, "version").Output()
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("twtr v1.2.3, commit 4b825dc, %s linux/%s\n", runtime.Version(), arch), string(version))
			}
		})
	}
}

func sum(t *testing.T, file string) [sha256.Size]byte {
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.False(t, bytes.Contains(content, []byte(filepath.Dir(file))), "it contains the path of a directory")
	return sha256.Sum256(content)
}
