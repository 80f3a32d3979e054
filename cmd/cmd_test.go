package cmd_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/cmd"
)

const secret = "0123456789abcdef0123456789abcdef"

// twtr runs the binary's main function in a directory of its own.
func twtr(t *testing.T, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cmd.Main(args, "v1.2.3", &out, &errs)
	return code, out.String(), errs.String()
}

func TestAProcessWithoutASecretRefusesToStartInOneLine(t *testing.T) {
	t.Chdir(t.TempDir())
	code, stdout, stderr := twtr(t, "api")
	require.Equal(t, 2, code)
	require.Empty(t, stdout)
	require.Equal(t, "twtr: auth.keys is not set: access tokens need a secret of your own (TWTR_AUTH_KEYS=kid:secret)\n", stderr)
	code, _, stderr = twtr(t, "api", "--auth-keys", "k:"+secret)
	require.Equal(t, 2, code)
	require.Equal(t, "twtr: seal.key is not set, or has less than 32 bytes: workflows need a secret of your own (TWTR_SEAL_KEY)\n", stderr)
	code, _, stderr = twtr(t, "api", "--auth-keys", "k:short")
	require.Equal(t, 2, code)
	require.Equal(t, "twtr: auth.keys: the secret of key \"k\" must have at least 32 bytes, not 5\n", stderr)
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestAWrongSettingOrCallIsOneLineAndExitCode2(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("bad.yaml", []byte("stoer: sqlite\n"), 0o600))
	for want, args := range map[string][]string{
		"twtr: store must be sqlite or cassandra, not \"mysql\"":                                      {"migrate", "--store", "mysql"},
		"twtr: unknown flag: --nonsense":                                                              {"migrate", "--nonsense"},
		"twtr: settings file bad.yaml: there is no setting \"stoer\"":                                 {"config", "--config", "bad.yaml"},
		"twtr: settings file none.yaml: open none.yaml: no such file or directory":                    {"config", "--config", "none.yaml"},
		"twtr: ratelimit.logins must be a number from 0 on, not \"many\"":                             {"api", "--auth-keys", "k:" + secret, "--seal-key", secret, "--ratelimit-logins", "many"},
		"twtr: http.trusted_proxies: \"lb\" is neither an address nor a network like 10.0.0.0/8":      {"api", "--auth-keys", "k:" + secret, "--seal-key", secret, "--http-trusted-proxies", "10.0.0.1,lb"},
		"twtr: log.level must be debug, info, warn or error, not \"loud\"":                            {"worker", "users", "--seal-key", secret, "--log-level", "loud"},
		"twtr: worker.deployment_name and worker.build_id must be set together, or neither":           {"worker", "all", "--seal-key", secret, "--worker-build-id", "v1"},
		"twtr: worker.deployment_name must have no . and no :, unlike \"twtr.feeds\"":                 {"worker", "feeds", "--seal-key", secret, "--worker-build-id", "v1", "--worker-deployment-name", "twtr.feeds"},
		"twtr: invalid argument \"likes\" for \"twtr worker\"; usage: twtr worker DOMAIN|all [flags]": {"worker", "likes"},
	} {
		code, _, stderr := twtr(t, args...)
		require.Equal(t, want+"\n", stderr)
		require.Equal(t, 2, code, want)
	}
}

func TestAStoreThatWasNotMigratedIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	code, _, stderr := twtr(t, "worker", "users", "--seal-key", secret)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "run `twtr migrate`")
	code, stdout, _ := twtr(t, "migrate")
	require.Equal(t, 0, code)
	require.Equal(t, "the schema of store sqlite is up to date\n", stdout)
	require.FileExists(t, filepath.Join(".twtr", "twtr.db"))
}

func TestAFlagWinsOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	t.Chdir(t.TempDir())
	file := "store: cassandra\ncassandra:\n  hosts: [a, b]\n  keyspace: from-file\nhttp.addr: :1\nlog:\n  level: debug\n"
	require.NoError(t, os.WriteFile("twtr.yaml", []byte(file), 0o600))
	t.Setenv("TWTR_CASSANDRA_KEYSPACE", "from-env")
	t.Setenv("TWTR_HTTP_ADDR", ":2")
	t.Setenv("TWTR_AUTH_KEYS", "k:"+secret)
	t.Setenv("TWTR_CASSANDRA_PASSWORD", secret)
	code, stdout, stderr := twtr(t, "config", "--http-addr", ":3")
	require.Equal(t, 0, code, stderr)
	for _, line := range []string{`store: "cassandra"`, `cassandra.hosts: "a,b"`, `cassandra.keyspace: "from-env"`, `http.addr: ":3"`,
		`log.level: "debug"`, `sqlite.path: ".twtr/twtr.db"`, `auth.keys: "******"`, `cassandra.password: "******"`, `seal.key: ""`} {
		require.Contains(t, strings.Split(stdout, "\n"), line)
	}
	require.NotContains(t, stdout, secret)
}

func TestTheBinaryIsNotTakenForASettingsFile(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("twtr", []byte{0x7f, 'E', 'L', 'F'}, 0o700))
	code, _, stderr := twtr(t, "config")
	require.Equal(t, 0, code, stderr)
}

func TestTheWorkerControllersNamesOfASettingGiveWayToOurs(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TEMPORAL_DEPLOYMENT_NAME", "prod/twtr-feeds")
	t.Setenv("TEMPORAL_WORKER_BUILD_ID", "v1")
	t.Setenv("TWTR_WORKER_BUILD_ID", "v2")
	_, stdout, _ := twtr(t, "config")
	require.Contains(t, stdout, "worker.deployment_name: \"prod/twtr-feeds\"\nworker.build_id: \"v2\"\n")
	_, stdout, _ = twtr(t, "help")
	require.Contains(t, stdout, "[TWTR_WORKER_DEPLOYMENT_NAME, TEMPORAL_DEPLOYMENT_NAME]")
}

func TestVersionIsPrinted(t *testing.T) {
	code, stdout, _ := twtr(t, "version")
	require.Equal(t, 0, code)
	require.Equal(t, "v1.2.3\n", stdout)
}

func TestHealthcheckFailsWhereNobodyAnswers(t *testing.T) {
	code, _, stderr := twtr(t, "healthcheck", "--http-addr", "127.0.0.1:1")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "connection refused")
	code, _, stderr = twtr(t, "healthcheck", "--http-addr", "127.0.0.1:1", "--worker-addr", "127.0.0.1:2")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "127.0.0.1:2: connect: connection refused")
	require.Equal(t, 1, strings.Count(stderr, "\n"), "one line")
}
