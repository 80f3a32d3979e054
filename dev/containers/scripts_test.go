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
	require.NoError(t, os.WriteFile(s.file, content, 0o755))
	for _, program := range []string{"bash", "sh", "dirname", "sed", "grep", "od", "tr", "xargs", "git", "realpath", "find",
		"wc", "head", "tail", "mkdir", "mktemp", "cat", "cut"} {
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
	require.NotContains(t, out, "_IMAGE")

	code, out = s.run(t, nil, "push")
	require.Equal(t, 1, code)
	require.Contains(t, out, "REGISTRY is not set")
	s = newScript(t, "docker-build-push.sh", map[string]string{"docker": says, "git": "echo v1.2.3-dirty"})
	code, out = s.run(t, []string{"REGISTRY=registry.example.com"}, "push")
	require.Equal(t, 1, code)
	require.Contains(t, out, "not committed")
}

func TestTheImageIsBuiltFromAMirror(t *testing.T) {
	s := newScript(t, "docker-build-push.sh", map[string]string{"docker": says, "git": "echo v1"})
	env := []string{"BUILD_IMAGE=m.example.com/golang", "RUNTIME_IMAGE=m.example.com/static", "GOPROXY=https://m.example.com", "NETWORK=host",
		"REGISTRY=r.example.com", "BUILDER=mine", "SBOM_GENERATOR=m.example.com/sbom"}
	for _, call := range []string{"build", "push"} {
		code, out := s.run(t, env, call)
		require.Equal(t, 0, code, out)
		for _, want := range []string{"--build-arg BUILD_IMAGE=m.example.com/golang ", "--build-arg RUNTIME_IMAGE=m.example.com/static ",
			"--build-arg GOPROXY=https://m.example.com ", "--network host "} {
			require.Contains(t, out, want)
		}
		if call == "push" {
			require.Contains(t, out, "--builder mine ")
			require.Contains(t, out, "--sbom=generator=m.example.com/sbom --provenance=mode=max ")
			require.NotContains(t, out, "buildx create")
		}
	}
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
	require.NoError(t, os.WriteFile(s.file, bytes.ReplaceAll(content, []byte("9042"), []byte(port)), 0o755))

	code, out := s.run(t, []string{"XDG_CACHE_HOME=" + s.dir}, "start")
	require.Equal(t, 1, code, out)
	lines := strings.Split(out, "\n")
	require.Regexp(t, `^cassandra\.sh: Docker cannot run cassandra:\S+, Java and Maven are used instead: docker: Error .*: no such host$`, lines[0])
	require.Contains(t, out, "Maven could not fetch Cassandra: [ERROR] Maven was called")
	calls, err := os.ReadFile(filepath.Join(s.dir, "docker.calls"))
	require.NoError(t, err)
	require.Contains(t, string(calls), "run\nrm\n")
}

func TestMakePassesTheArgumentsOfHelmAsTheyAreWritten(t *testing.T) {
	s := newScript(t, "helm.sh", map[string]string{"helm": `for a; do echo "<$a>"; done`, "make": ""})
	make, err := exec.LookPath("make")
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "Makefile"), content, 0o600))
	command := exec.CommandContext(t.Context(), make, "helm-debug", `ARGS=--set settings.http\.trusted_proxies=10.0.0.0/8\,fc00::/7 `+
		`--set-string "cassandra.replication={'class': 'SimpleStrategy'}" --set 'image.tag=v1' --set image.digest=""`)
	command.Dir, command.Env = s.dir, []string{"PATH=" + s.bin}
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	_, args, _ := strings.Cut(string(out), "<--debug>\n")
	require.Equal(t, "<--set>\n<settings.http\\.trusted_proxies=10.0.0.0/8\\,fc00::/7>\n<--set-string>\n"+
		"<cassandra.replication={'class': 'SimpleStrategy'}>\n<--set>\n<image.tag=v1>\n<--set>\n<image.digest=>\n", args)

	code, text := s.run(t, []string{"ARGS=--set 'a=b"}, "debug")
	require.Equal(t, 1, code)
	require.Equal(t, "helm-debug: ARGS has an opening ' without a closing one\n", text)
}

func TestAFailedInstallationTellsWhatIsNotReady(t *testing.T) {
	kubectl := `case "$*" in
*current-context) echo test ;;
*"get pods,jobs"*) echo "pod/twtr-api-1 1/1 Running 0 1m"; echo "pod/twtr-feeds-1 0/1 Pending 0 1m"; echo "pod/twtr-users-1 0/1 Init:0/1 0 1m" ;;
*"get pods "*) echo "twtr-api-1 True"; echo "twtr-feeds-1 "; echo "twtr-users-1 False" ;;
*"get events "*twtr-feeds-1,*) echo "FailedScheduling: 0/1 nodes are available: 1 Insufficient cpu." ;;
*"logs twtr-users-1 "*) echo "[pod/twtr-users-1/wait] waiting for Temporal: no such host" ;;
*logs*) echo 'container "wait" in pod "twtr-feeds-1" is waiting to start' >&2; exit 1 ;;
esac`
	for action, hint := range map[string]string{"install": "", "upgrade": "to go back: helm -n twtr-dev history twtr; helm -n twtr-dev rollback twtr REVISION --wait\n"} {
		code, out := newScript(t, "helm.sh", map[string]string{"kubectl": kubectl, "sort": "cat",
			"helm": `[ "$1" = template ] || { echo "Error: timed out" >&2; exit 1; }`}).run(t, nil, action)
		require.Equal(t, 1, code)
		require.Equal(t, "Error: timed out\nhelm-"+action+": not ready in namespace twtr-dev:\n"+
			"pod/twtr-feeds-1 0/1 Pending 0 1m\npod/twtr-users-1 0/1 Init:0/1 0 1m\n"+
			"== twtr-feeds-1\nFailedScheduling: 0/1 nodes are available: 1 Insufficient cpu.\n"+
			"== twtr-users-1\n[pod/twtr-users-1/wait] waiting for Temporal: no such host\n"+hint, out)
	}

	code, out := newScript(t, "helm.sh", map[string]string{"kubectl": "[ \"$1\" = config ] && echo test; exit 0", "sort": "cat",
		"helm": `[ "$1" = template ] || { echo "Error: a wrong value" >&2; exit 1; }`}).run(t, nil, "upgrade")
	require.Equal(t, 1, code)
	require.Equal(t, "Error: a wrong value\n", out, "nothing was changed")
}
