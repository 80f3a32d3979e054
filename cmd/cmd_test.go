package cmd_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	root "github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/api"
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
	for _, test := range []struct {
		want              string
		authKeys, sealKey string
		args              []string
	}{
		{"auth.keys is not set (TWTR_AUTH_KEYS): keys of access tokens, kid:secret, ", "", secret, []string{"api"}},
		{"seal.key is not set (TWTR_SEAL_KEY): secrets of at least 32 bytes ", "k:" + secret, "", []string{"api"}},
		{"seal.key is not set (TWTR_SEAL_KEY): secrets of at least 32 bytes ", "", "", []string{"worker", "all"}},
		{"auth.keys is wrong: ", "k:short", secret, []string{"api"}},
		{"auth.keys has two keys with the kid \"k\"", "k:" + secret + ",k:" + secret, secret, []string{"api"}},
		{"seal.key must be of keys with at least 32 bytes each, not 5", "", "short", []string{"worker", "all"}},
		{"seal.key must be of keys with at least 32 bytes each, not 5", "", secret + ",short", []string{"worker", "all"}},
		{"seal.key has a key twice", "", secret + "," + secret, []string{"worker", "all"}},
	} {
		t.Setenv("TWTR_AUTH_KEYS", test.authKeys)
		t.Setenv("TWTR_SEAL_KEY", test.sealKey)
		code, stdout, stderr := twtr(t, test.args...)
		require.Equal(t, 2, code, stderr)
		require.Empty(t, stdout)
		requireLine(t, stderr, "twtr: "+test.want)
	}
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestASecretIsNoFlag(t *testing.T) {
	t.Chdir(t.TempDir())
	_, help, _ := twtr(t, "help", "settings")
	for flag, key := range map[string]string{"auth-keys": "auth.keys", "seal-key": "seal.key", "cassandra-password": "cassandra.password",
		"temporal-codec-keys": "temporal.codec_keys", "codec-token": "codec.token"} {
		variable := "TWTR_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		want := "twtr: --" + flag + ": every user of the machine can list the flags of a process; set " + variable + ", or " + key + " in the settings file\n"
		for _, args := range [][]string{{"api", "--" + flag, secret}, {"worker", "all", "--" + flag + "=" + secret}, {"--" + flag}} {
			code, _, stderr := twtr(t, args...)
			require.Equal(t, want, stderr)
			require.Equal(t, 2, code)
		}
		require.Regexp(t, `(?m)^    `+variable+`\n        .* \(a secret: no flag\)$`, help)
		require.NotContains(t, help, "--"+flag)

		require.NoError(t, os.WriteFile("twtr.yaml", []byte(key+": "+secret+"\n"), 0o600))
		_, stdout, _ := twtr(t, "config")
		require.Contains(t, stdout, "\n"+key+`: "******" # twtr.yaml`+"\n")
		require.NotContains(t, stdout, secret)
	}
}

func TestAWrongSettingOrArgumentIsOneLineAndExitCode2(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TWTR_AUTH_KEYS", "k:"+secret)
	t.Setenv("TWTR_SEAL_KEY", secret)
	require.NoError(t, os.WriteFile("typo.yaml", []byte("stoer: sqlite\n"), 0o600))
	require.NoError(t, os.WriteFile("broken.yaml", []byte("a: [\nb"), 0o600))
	for want, args := range map[string][]string{
		"store must be sqlite or cassandra, not \"mysql\"":                               {"migrate", "--store", "mysql"},
		"unknown flag: --nonsense\n":                                                     {"migrate", "--nonsense"},
		"unknown flag: --ratelimit-login; did you mean --ratelimit-logins?\n":            {"api", "--ratelimit-login", "7"},
		"unknown flag: --repairs; did you mean --repair?\n":                              {"audit", "--repairs"},
		"unknown command \"nonsense\" for \"twtr\"\n":                                    {"nonsense"},
		"unknown command \"mirgate\" for \"twtr\"; did you mean migrate?\n":              {"mirgate"},
		"settings file typo.yaml: there is no setting \"stoer\"; did you mean store?\n":  {"config", "--config", "typo.yaml"},
		"settings file broken.yaml: ":                                                    {"config", "--config", "broken.yaml"},
		"settings file: open none.yaml: no such file or directory":                       {"config", "--config", "none.yaml"},
		"ratelimit.logins must be a whole number of at least 0, not \"many\"":            {"config", "--ratelimit-logins", "many"},
		"feed.max_items must be a whole number of at least 100, not \"99\"":              {"wait", "--feed-max-items", "99"},
		"worker.max_pollers must be a whole number of at least 2, not \"\"":              {"healthcheck", "--worker-max-pollers", ""},
		"http.trusted_proxies must be addresses or networks like 10.0.0.0/8, not \"lb\"": {"generate", "--users", "1", "--http-trusted-proxies", "10.0.0.1,lb"},
		"http.cors_origins must be origins like https://app.example.com, in lower case, without a path and a default port, or * alone, not \"https://a.example/\"": {
			"api", "--http-addr", ":1", "--http-cors-origins", "https://b.example https://a.example/"},
		"users.name_hold must be a time like 720h or 30m, of at least 1m0s, not \"30s\"":          {"config", "--users-name-hold", "30s"},
		"http.addr must be host:port or :port, not \"3002\"":                                      {"healthcheck", "--http-addr", "3002"},
		"log.level must be debug, info, warn or error, not \"loud\"":                              {"worker", "users", "--log-level", "loud"},
		"worker.deployment_name and worker.build_id must be set together, or neither":             {"worker", "all", "--worker-build-id", "v1"},
		"temporal.codec_keys is not set (TWTR_TEMPORAL_CODEC_KEYS): secrets of at least 32 bytes": {"codec-server"},
		"codec.addr is an address that other machines may reach: set codec.token, too":            {"config", "--codec-addr", ":8234"},
		"codec.ui_origins must be origins like https://app.example.com, in lower case, without a path and a default port, not \"*\"": {
			"config", "--codec-ui-origins", "*"},
		"worker.deployment_name must not contain . or :, unlike \"twtr.feeds\"":                    {"worker", "feeds", "--worker-build-id", "v1", "--worker-deployment-name", "twtr.feeds"},
		"cassandra.tls must be true or false, not \"on\"":                                          {"migrate", "--cassandra-tls", "on"},
		"cassandra.tls_ca must be a file: stat nowhere.pem: no such file or directory":             {"migrate", "--cassandra-tls", "true", "--cassandra-tls-ca", "nowhere.pem"},
		"cassandra.tls_cert and cassandra.tls_key must be set together, or neither":                {"migrate", "--cassandra-tls", "true", "--cassandra-tls-cert", "typo.yaml"},
		"cassandra.tls_ca, cassandra.tls_cert and cassandra.tls_key need cassandra.tls to be true": {"migrate", "--cassandra-tls-ca", "typo.yaml"},
		"cassandra.hosts must not be empty":                                                        {"migrate", "--cassandra-hosts", ","},
		"invalid argument \"likes\" for \"twtr worker\"; usage: twtr worker DOMAIN|all [flags]":    {"worker", "likes"},
		"name either a tweet or a user; usage: twtr audit TWEET-ID | --user USER [flags]":          {"audit"},
		"\"x\" is not the ID of a tweet":                                                           {"audit", "x"},
	} {
		code, _, stderr := twtr(t, args...)
		requireLine(t, stderr, "twtr: "+want)
		require.Equal(t, 2, code, want)
	}
}

func TestAnEnvironmentVariableThatIsNoSettingIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"TWTR_API_SERVICE_HOST", "TWTR_API_SERVICE_PORT_HTTP", "TWTR_API_PORT", "TWTR_API_PORT_80_TCP_ADDR", "TWTR_PORT", "TWTR_TEST_X"} {
		t.Setenv(name, "x")
	}
	code, _, stderr := twtr(t, "config")
	require.Equal(t, 0, code, stderr)
	t.Setenv("TWTR_FEED_MAX_ITEM", "2000")
	t.Setenv("TWTR_WORKERS", "2")
	for _, command := range []string{"config", "migrate"} {
		code, _, stderr = twtr(t, command)
		require.Equal(t, 2, code)
		require.Equal(t, "twtr: environment variable TWTR_FEED_MAX_ITEM: there is no such setting; did you mean TWTR_FEED_MAX_ITEMS?\n"+
			"twtr: environment variable TWTR_WORKERS: there is no such setting; `twtr help settings` lists all\n", stderr)
	}
	code, _, _ = twtr(t, "version")
	require.Equal(t, 0, code)
}

func TestAStoreThatWasNotMigratedIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TWTR_SEAL_KEY", secret)
	code, _, stderr := twtr(t, "worker", "users")
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
	for _, line := range []string{`store: "cassandra" # twtr.yaml`, `cassandra.hosts: "a,b" # twtr.yaml`, `cassandra.keyspace: "from-env" # TWTR_CASSANDRA_KEYSPACE`,
		`http.addr: ":3" # --http-addr`, `log.level: "debug" # twtr.yaml`, `sqlite.path: ".twtr/twtr.db" # default`, `auth.keys: "******" # TWTR_AUTH_KEYS`,
		`cassandra.password: "******" # TWTR_CASSANDRA_PASSWORD`, `seal.key: "" # default`} {
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
	require.Contains(t, stdout, "worker.deployment_name: \"prod/twtr-feeds\" # TEMPORAL_DEPLOYMENT_NAME\nworker.build_id: \"v2\" # TWTR_WORKER_BUILD_ID\n")
	_, stdout, _ = twtr(t, "help", "worker")
	require.Contains(t, stdout, "--worker-deployment-name, TWTR_WORKER_DEPLOYMENT_NAME, TEMPORAL_DEPLOYMENT_NAME\n")
}

func TestVersionNamesTheVersionTheCommitAndTheGoRelease(t *testing.T) {
	for _, arg := range []string{"version", "--version"} {
		code, stdout, _ := twtr(t, arg)
		require.Equal(t, 0, code)
		require.Regexp(t, `^twtr v1\.2\.3, commit (unknown|[0-9a-f]{40}(, modified)?), `+runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH+"\n$", stdout)
	}
}

func TestTheBinaryTheChartAndTheAPIHaveTheSameVersion(t *testing.T) {
	var stdout bytes.Buffer
	require.Equal(t, 0, cmd.Main([]string{"version"}, "", &stdout, io.Discard))
	require.Regexp(t, "^twtr v"+regexp.QuoteMeta(root.Version)+"(-devel)?, commit ", stdout.String())
	chart, err := os.ReadFile("../helm/Chart.yaml")
	require.NoError(t, err)
	require.Contains(t, string(chart), "\nversion: "+root.Version+"\n")
	require.Contains(t, string(chart), "\nappVersion: v"+root.Version+"\n")
	require.Contains(t, api.OpenAPI, "\n  version: "+root.Version+"\n")
}

func TestConfigReportsAllThatIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("twtr.yaml", []byte("stoer: cassandra\nlog.levle: debug\nfeed.max_items: 99\n"), 0o600))
	t.Setenv("TWTR_HTTP_ADDER", ":1")
	t.Setenv("TWTR_SEAL_KEY", "short")
	t.Setenv("TEMPORAL_ADDRESS", "temporal")
	code, stdout, stderr := twtr(t, "config", "--log-level", "loud")
	require.Equal(t, 2, code)
	require.Equal(t, []string{
		`twtr: environment variable TWTR_HTTP_ADDER: there is no such setting; did you mean TWTR_HTTP_ADDR?`,
		`twtr: settings file twtr.yaml: there is no setting "log.levle"; did you mean log.level?`,
		`twtr: settings file twtr.yaml: there is no setting "stoer"; did you mean store?`,
		`twtr: seal.key must be of keys with at least 32 bytes each, not 5`,
		`twtr: feed.max_items must be a whole number of at least 100, not "99"`,
		`twtr: log.level must be debug, info, warn or error, not "loud"`,
		`twtr: the address of Temporal (TEMPORAL_ADDRESS) must be host:port, not "temporal"`,
	}, strings.Split(strings.TrimSpace(stderr), "\n"))
	require.Contains(t, stdout, `log.level: "loud" # --log-level`, "and prints what is in force")
	require.NotContains(t, stdout+stderr, "short")
}

func TestConfigShowsWhereTemporalIsAndWhoSaysSo(t *testing.T) {
	t.Chdir(t.TempDir())
	temporal := func() []string {
		t.Helper()
		code, stdout, stderr := twtr(t, "config")
		require.Equal(t, 0, code, stderr)
		require.NotContains(t, stdout, secret)
		_, lines, found := strings.Cut(stdout, "\n# Temporal: the TEMPORAL_* variables, or a profile of temporal.toml\n")
		require.True(t, found, stdout)
		return strings.Split(strings.TrimSpace(lines), "\n")
	}
	t.Setenv("TEMPORAL_CONFIG_FILE", "none.toml")
	require.Equal(t, []string{`# address: "localhost:7233" # default`, `# namespace: "default" # default`, `# api_key: "" # default`,
		`# tls: "false" # default`}, temporal())
	t.Setenv("TEMPORAL_NAMESPACE", "ours")
	t.Setenv("TEMPORAL_API_KEY", secret)
	t.Setenv("TEMPORAL_GRPC_META_X_TENANT", secret)
	require.Equal(t, []string{`# address: "localhost:7233" # default`, `# namespace: "ours" # TEMPORAL_NAMESPACE`,
		`# api_key: "******" # TEMPORAL_API_KEY`, `# tls: "true" # api_key`, `# grpc_meta.x-tenant: "******" # TEMPORAL_GRPC_META_X_TENANT`}, temporal())

	require.NoError(t, os.WriteFile("temporal.toml", []byte("[profile.prod]\naddress = \"cloud.example.com:7233\"\nnamespace = \"theirs\"\n"+
		"[profile.prod.tls]\nserver_name = \"temporal.example.com\"\n[profile.prod.grpc_meta]\ntoken = \""+secret+"\"\n"), 0o600))
	t.Setenv("TEMPORAL_CONFIG_FILE", "temporal.toml")
	t.Setenv("TEMPORAL_PROFILE", "prod")
	require.Equal(t, []string{`# address: "cloud.example.com:7233" # temporal.toml, profile prod`, `# namespace: "ours" # TEMPORAL_NAMESPACE`,
		`# api_key: "******" # TEMPORAL_API_KEY`, `# tls: "true" # temporal.toml, profile prod`,
		`# tls.server_name: "temporal.example.com" # temporal.toml, profile prod`,
		`# grpc_meta.token: "******" # temporal.toml, profile prod`, `# grpc_meta.x-tenant: "******" # TEMPORAL_GRPC_META_X_TENANT`}, temporal())
}

func TestHelpShowsTheFlagsOfACommandAndOnlyTheSettingsThatItReads(t *testing.T) {
	t.Chdir(t.TempDir())
	_, all, _ := twtr(t, "help", "settings")
	listed := 0
	for key, variable := range cmd.EnvironmentVariables() {
		require.Contains(t, all, variable, key)
		listed++
	}
	require.Equal(t, listed, strings.Count(all, "\n    --")+strings.Count(all, "\n    TWTR_"))
	for command, want := range map[string][]string{
		"audit":       {"store", "sqlite", "cassandra", "temporal"},
		"api":         {"store", "sqlite", "cassandra", "http", "auth", "seal", "temporal", "events", "ratelimit", "stream", "ops", "log"},
		"worker":      {"store", "sqlite", "cassandra", "seal", "temporal", "events", "feed", "users", "worker", "ops", "log"},
		"replay":      {"temporal"},
		"healthcheck": {"http", "ops"},
		"version":     nil,
	} {
		_, help, _ := twtr(t, "help", command)
		own, settings, _ := strings.Cut(help, "\nSettings:\n")
		require.Contains(t, own, "--help")
		require.NotContains(t, own, "TWTR_")
		var prefixes []string
		for _, match := range regexp.MustCompile(`(?m)^  ([a-z]+)$`).FindAllStringSubmatch(settings, -1) {
			prefixes = append(prefixes, match[1])
		}
		require.Equal(t, want, prefixes, command)
	}
	_, help, _ := twtr(t, "help", "audit")
	require.Contains(t, help, "\nFlags:\n  -h, --help               help for audit\n      --repair ")
	_, help, _ = twtr(t, "help")
	for _, line := range []string{"Processes:", "Set-up:", "Operation:"} {
		require.Contains(t, help, "\n"+line+"\n")
	}
	require.NotContains(t, help, "TWTR_")
	code, stdout, _ := twtr(t, "migrate", "--ratelimit-logins", "7")
	require.Equal(t, 0, code, "other settings are accepted, so that commands can share flags")
	require.Equal(t, "the schema of store sqlite is up to date\n", stdout)
}

func TestHealthcheckAsksTheOpsPortOrElseTheAPIsOrTheAddressThatItIsGiven(t *testing.T) {
	t.Setenv("TWTR_HTTP_ADDR", "127.0.0.1:1")
	for asked, args := range map[string][]string{
		"127.0.0.1:1": {"--ops-addr="},
		"127.0.0.1:2": {"--ops-addr=:2"},
		"127.0.0.1:3": {"--ops-addr=:2", "127.0.0.1:3"},
	} {
		code, _, stderr := twtr(t, append([]string{"healthcheck"}, args...)...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "dial tcp "+asked+": connect: connection refused")
		require.Equal(t, 1, strings.Count(stderr, "\n"), "one line")
	}
}

func TestHealthcheckTriesAgainUntilTheProcessResponds(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests < 3 || r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	code, _, stderr := twtr(t, "healthcheck", addr, "--path", "/readyz", "--timeout", "1m")
	require.Equal(t, 0, code, stderr)
	require.Equal(t, 3, requests)
	code, _, stderr = twtr(t, "healthcheck", addr)
	require.Equal(t, 1, code)
	require.Equal(t, "twtr: "+server.URL+"/healthz responds 503 Service Unavailable\n", stderr, "the address that it asked, and no other")
}
