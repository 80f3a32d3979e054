package containers

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

const releaseTag = "v" + twtr.Version

// checkout is a clone of HEAD with the script of the working tree, in which releases are made.
type checkout struct {
	dir      string
	programs string // comes first in PATH
}

func newCheckout(t *testing.T) *checkout {
	if runtime.GOOS != "linux" {
		t.Skip("releases are made on Linux")
	}
	c := &checkout{dir: filepath.Join(t.TempDir(), "twtr"), programs: t.TempDir()}
	abs, err := filepath.Abs(root)
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", "--shared", abs, c.dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, name := range []string{"scripts/release.sh", "CHANGELOG.md", "version.go"} {
		content, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(c.dir, name), content, 0o755))
	}
	c.commit(t)
	return c
}

// program makes the script run another one than the installed one.
func (c *checkout) program(t *testing.T, name, text string) {
	require.NoError(t, os.WriteFile(filepath.Join(c.programs, name), []byte("#!/bin/sh\n"+text), 0o755))
}

func (c *checkout) commit(t *testing.T) {
	c.git(t, "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--allow-empty", "--all", "--message", "test")
}

func (c *checkout) git(t *testing.T, args ...string) {
	out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", c.dir}, args...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// release runs the script, for the platform that the tests run on.
func (c *checkout) release(t *testing.T, env []string, args ...string) (code int, out string) {
	command := exec.CommandContext(t.Context(), filepath.Join(c.dir, "scripts/release.sh"), args...)
	command.Env = append(os.Environ(), "PATH="+c.programs+":"+os.Getenv("PATH"), "REGISTRY=", "PLATFORMS=linux/"+runtime.GOARCH)
	command.Env = append(command.Env, env...)
	text, err := command.CombinedOutput()
	if command.ProcessState == nil {
		require.NoError(t, err)
	}
	return command.ProcessState.ExitCode(), string(text)
}

func (c *checkout) read(t *testing.T, name string) string {
	content, err := os.ReadFile(filepath.Join(c.dir, name))
	require.NoError(t, err)
	return string(content)
}

// archive returns the files of a .tar.gz by their names.
func (c *checkout) archive(t *testing.T, name string) map[string]string {
	unzipped, err := gzip.NewReader(strings.NewReader(c.read(t, name)))
	require.NoError(t, err)
	files := map[string]string{}
	for r := tar.NewReader(unzipped); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		files[header.Name] = string(content)
	}
}

func TestAReleaseIsRefusedUnlessItsTagVersionAndChangelogAgree(t *testing.T) {
	c := newCheckout(t)
	registry := []string{"REGISTRY=registry.example.com/team"}
	for _, test := range []struct {
		env  []string
		args []string
		want string
	}{
		{nil, []string{"--dry-run", "1.2.3"}, "# Makes a release: "},
		{nil, []string{"--dry-run", "v99.0.0"}, "release.sh: the tag is v99.0.0, and version.go says " + twtr.Version + "\n"},
		{nil, []string{releaseTag}, "release.sh: REGISTRY is not set: "},
		{registry, []string{releaseTag}, "release.sh: HEAD does not have the tag " + releaseTag + "\n"},
	} {
		code, out := c.release(t, test.env, test.args...)
		require.NotEqual(t, 0, code)
		require.True(t, strings.HasPrefix(out, test.want), out)
	}

	require.NoError(t, os.WriteFile(filepath.Join(c.dir, "CHANGELOG.md"), []byte("# Changelog\n\n## [Unreleased]\n\n- A change\n"), 0o600))
	c.git(t, "tag", releaseTag)
	_, out := c.release(t, registry, releaseTag)
	require.Equal(t, "release.sh: the working tree has changes that are not committed\n", out)
	c.commit(t)
	c.git(t, "tag", "--force", releaseTag)
	_, out = c.release(t, registry, releaseTag)
	require.Equal(t, "release.sh: CHANGELOG.md has no section ["+twtr.Version+"]\n", out)
	require.NoDirExists(t, filepath.Join(c.dir, "dist"))
}

// TestAReleaseHasBinariesSBOMsTheChartNotesAndChecksums makes one as CONTRIBUTING.md says, with real tools up to the publishing, of
// which it checks the commands: there is no GitHub here.
func TestAReleaseHasBinariesSBOMsTheChartNotesAndChecksums(t *testing.T) {
	c := newCheckout(t)
	calls := filepath.Join(c.programs, "calls")
	helm, err := exec.CommandContext(t.Context(), filepath.Join(root, "scripts/tools.sh"), "helm").Output()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(c.dir, "scripts/tools.sh"), []byte("#!/bin/sh\necho helm\n"), 0o755))
	c.program(t, "helm", `[ "$1" != push ] || { echo "helm $*" >>`+calls+`; exit; }`+"\nexec "+strings.TrimSpace(string(helm))+` "$@"`)
	c.program(t, "docker", `echo "docker $*" >>`+calls)
	c.program(t, "gh", `echo "gh $*" >>`+calls)
	changelog := "# Changelog\n\n## [Unreleased]\n\n- Later\n\n## [" + twtr.Version + "] - 2026-12-01\n\n### Added\n\n- A change\n\n## [0.0.1] - 2026-11-01\n\n- Earlier\n"
	require.NoError(t, os.WriteFile(filepath.Join(c.dir, "CHANGELOG.md"), []byte(changelog), 0o600))
	c.commit(t)
	c.git(t, "tag", releaseTag)
	env := []string{"REGISTRY=registry.example.com/team/"}

	code, out := c.release(t, env, "--dry-run", releaseTag)
	require.Equal(t, 0, code, out)
	require.NoFileExists(t, calls, "a dry run publishes nothing")

	name := "twtr_" + twtr.Version + "_linux_" + runtime.GOARCH
	files := c.archive(t, "dist/"+name+".tar.gz")
	require.Equal(t, c.read(t, "LICENSE"), files[name+"/LICENSE"])
	require.Contains(t, files[name+"/THIRD-PARTY-LICENSES"], "\n== github.com/gocql/gocql@")
	binary := filepath.Join(t.TempDir(), "twtr")
	require.NoError(t, os.WriteFile(binary, []byte(files[name+"/twtr"]), 0o700))
	version, err := exec.CommandContext(t.Context(), binary, "version").Output()
	require.NoError(t, err)
	require.Contains(t, string(version), "twtr "+releaseTag+", commit ")

	var sbom struct {
		Packages []struct{ Name, VersionInfo string }
	}
	require.NoError(t, json.Unmarshal([]byte(c.read(t, "dist/"+name+".spdx.json")), &sbom))
	require.Equal(t, "github.com/twtr-dev/twtr "+releaseTag, sbom.Packages[0].Name+" "+sbom.Packages[0].VersionInfo)
	require.Greater(t, len(sbom.Packages), 50)
	for _, p := range sbom.Packages[2:] {
		require.Contains(t, files[name+"/THIRD-PARTY-LICENSES"], "\n== "+p.Name+"@"+p.VersionInfo+"\n")
	}

	chart := "twtr-" + twtr.Version + ".tgz"
	files = c.archive(t, "dist/"+chart)
	require.Contains(t, files["twtr/Chart.yaml"], "appVersion: "+releaseTag+"\n")
	require.Contains(t, files["twtr/values.yaml"], "  repository: registry.example.com/team/twtr\n")

	require.Equal(t, "### Added\n\n- A change\n", c.read(t, "dist/RELEASE_NOTES.md"))
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = filepath.Join(c.dir, "dist")
	sums, err := check.CombinedOutput()
	require.NoError(t, err, "%s", sums)
	require.Equal(t, 3, bytes.Count(sums, []byte(": OK\n")), "%s", sums)

	archive, document := c.read(t, "dist/"+name+".tar.gz"), c.read(t, "dist/"+name+".spdx.json")
	code, out = c.release(t, env, releaseTag)
	require.Equal(t, 0, code, out)
	require.True(t, archive == c.read(t, "dist/"+name+".tar.gz") && document == c.read(t, "dist/"+name+".spdx.json"),
		"what is published is what the dry run made, to the byte")
	log, err := os.ReadFile(calls)
	require.NoError(t, err)
	published := string(log)
	require.Contains(t, published, "name=registry.example.com/team/twtr:"+releaseTag+",push=true")
	require.Contains(t, published, "helm push dist/"+chart+" oci://registry.example.com/team/charts\n")
	require.True(t, strings.HasSuffix(published, "gh release create "+releaseTag+" --verify-tag --title "+releaseTag+
		" --notes-file dist/RELEASE_NOTES.md dist/"+chart+" dist/"+name+".spdx.json dist/"+name+".tar.gz dist/SHA256SUMS\n"), published)
}
