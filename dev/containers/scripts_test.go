package containers

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/api"
)

// script is a copy of one of the project's scripts in its own directory, with some programs replaced by the test's.
type script struct {
	dir, file, bin string
}

func newScript(t *testing.T, name string, programs map[string]string) *script {
	dir := t.TempDir()
	s := &script{dir: dir, file: filepath.Join(dir, "scripts", name), bin: filepath.Join(dir, "bin")}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "scripts"), 0o755))
	require.NoError(t, os.Mkdir(s.bin, 0o755))
	content, err := os.ReadFile(filepath.Join(root, "scripts", name))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.file, content, 0o755)) //nolint:gosec // a script that is run
	for _, program := range []string{"bash", "sh", "dirname", "sed", "grep", "od", "tr", "xargs", "git", "realpath", "find",
		"wc", "head", "tail", "mkdir", "mktemp", "cat"} {
		path, err := exec.LookPath(program)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(s.bin, program)))
	}
	for program, text := range programs {
		path := filepath.Join(s.bin, program)
		_ = os.Remove(path) // the real one
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755))
	}
	return s
}

// run returns the exit code and the output.
func (s *script) run(t *testing.T, env []string, args ...string) (code int, out string) {
	command := exec.CommandContext(t.Context(), s.file, args...)
	command.Env = append([]string{"PATH=" + s.bin}, env...)
	text, err := command.CombinedOutput()
	if command.ProcessState == nil {
		require.NoError(t, err)
	}
	return command.ProcessState.ExitCode(), string(text)
}

func TestTheScriptsNameInOneLineWhatIsMissing(t *testing.T) {
	for name, calls := range map[string][]string{"docker-build-push.sh": {"build", "push"}, "compose.sh": {"up", "down", "logs"}} {
		for _, call := range calls {
			for want, docker := range map[string]string{
				"docker is missing":                   "",
				"needs a Docker engine: none answers": "exit 1",
				"needs Docker's plug-in ":             `[ "$1" = info ]`,
			} {
				programs := map[string]string{"git": "echo v1"}
				if docker != "" {
					programs["docker"] = docker
				}
				code, out := newScript(t, name, programs).run(t, []string{"REGISTRY=r.example.com"}, call)
				require.Equal(t, 1, code)
				require.Contains(t, out, want)
				require.Equal(t, 1, strings.Count(out, "\n"), out)
			}
		}
	}
}

const says = `echo "docker $*" | sed 's/ [^ ]*revision=/&/'
echo "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" >&2`

func TestThePushedImageIsForBothPlatformsAndDatedByItsCommit(t *testing.T) {
	git := `case $1 in describe) echo v1.2.3 ;; log) echo 1700000000 ;; rev-parse) echo abc ;; esac`
	s := newScript(t, "docker-build-push.sh", map[string]string{"docker": says, "git": git})
	code, out := s.run(t, []string{"REGISTRY=registry.example.com/team/"}, "push")
	require.Equal(t, 0, code, out)
	for _, want := range []string{"--platform linux/amd64,linux/arm64 ", "name=registry.example.com/team/twtr:v1.2.3,push=true",
		"rewrite-timestamp=true", "--sbom=true --provenance=mode=max ", "VERSION=v1.2.3 ", "REVISION=abc ", "SOURCE_DATE_EPOCH=1700000000\n"} {
		require.Contains(t, out, want)
	}
	code, out = s.run(t, []string{"TAG=mine"}, "build")
	require.Equal(t, 0, code, out)
	require.Contains(t, out, "--load --tag twtr:mine .")

	code, out = s.run(t, nil, "push")
	require.Equal(t, 1, code)
	require.Contains(t, out, "REGISTRY is not set")
	s = newScript(t, "docker-build-push.sh", map[string]string{"docker": says, "git": "echo v1.2.3-dirty"})
	code, out = s.run(t, []string{"REGISTRY=registry.example.com"}, "push")
	require.Equal(t, 1, code)
	require.Contains(t, out, "not committed")
}

func TestMakeUpCreatesMissingSecrets(t *testing.T) {
	s := newScript(t, "compose.sh", map[string]string{"docker": `[ "$*" != "compose config --services" ] || echo api; exit 0`})
	env := func() map[string]string {
		code, out := s.run(t, nil, "up")
		require.Equal(t, 0, code, out)
		content, err := os.ReadFile(filepath.Join(s.dir, ".env"))
		require.NoError(t, err)
		values := map[string]string{}
		for line := range strings.Lines(string(content)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			require.NotContains(t, values, name)
			values[name] = value
		}
		return values
	}
	made := env()
	require.Len(t, made, len(secrets))
	for _, secret := range secrets {
		name, _, _ := strings.Cut(secret, "=")
		require.GreaterOrEqual(t, len(made[name]), 64, name)
	}
	_, err := api.ParseKey(made["TWTR_AUTH_KEYS"])
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(s.dir, ".env"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.Equal(t, made, env(), "another up keeps them")

	require.NoError(t, os.WriteFile(filepath.Join(s.dir, ".env"), []byte("TWTR_SEAL_KEY=chosen\n"), 0o600))
	made = env()
	require.Len(t, made, len(secrets))
	require.Equal(t, "chosen", made["TWTR_SEAL_KEY"])
}

func TestACassandraWithoutItsImageRunsOnJava(t *testing.T) {
	s := newScript(t, "cassandra.sh", map[string]string{
		"docker": `echo "$1" >>docker.calls
case $1 in run)
	echo "Unable to find image 'cassandra' locally" >&2
	echo "docker: Error response from daemon: dial tcp: lookup registry-1.docker.io: no such host" >&2
	echo "Run 'docker run --help' for more information" >&2
	exit 125 ;;
esac`,
		"java": `echo 'openjdk version "17.0.9" 2023-10-17' >&2`,
		"mvn":  `echo "[ERROR] Maven was called"; exit 1`, // far enough
	})
	// Port 9042 may be that of the Cassandra for the other tests.
	content, err := os.ReadFile(s.file)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	require.NoError(t, os.WriteFile(s.file, bytes.ReplaceAll(content, []byte("9042"), []byte(port)), 0o755)) //nolint:gosec // a script that is run

	code, out := s.run(t, []string{"XDG_CACHE_HOME=" + s.dir}, "start")
	require.Equal(t, 1, code, out)
	lines := strings.Split(out, "\n")
	require.Regexp(t, `^cassandra\.sh: Docker cannot run cassandra:\S+, Java and Maven are used instead: docker: Error .*: no such host$`, lines[0])
	require.Contains(t, out, "Maven could not fetch Cassandra: [ERROR] Maven was called")
	calls, err := os.ReadFile(filepath.Join(s.dir, "docker.calls"))
	require.NoError(t, err)
	require.Contains(t, string(calls), "run\nrm\n")
}
