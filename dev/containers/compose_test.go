package containers

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/contrib/envconfig"

	"github.com/twtr-dev/twtr/cmd"
	"github.com/twtr-dev/twtr/workers"
)

// secrets are those that make up writes to .env.
var secrets = []string{"TWTR_AUTH_KEYS=the-auth-keys", "TWTR_SEAL_KEY=the-seal-key", "POSTGRES_PASSWORD=the-password"}

func compose(t *testing.T, env ...string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{root + "/docker-compose.yml"}, cli.WithEnv(env))
	require.NoError(t, err)
	return options.LoadProject(t.Context())
}

func load(t *testing.T) *types.Project {
	project, err := compose(t, secrets...)
	require.NoError(t, err)
	return project
}

// ours reports whether the service is a process of the binary.
func ours(s types.ServiceConfig) bool { return s.Image == "twtr:compose" }

func TestComposeRunsEachProcessOnceWithSettingsThatExist(t *testing.T) {
	var commands []string
	for name, s := range load(t).Services {
		if !ours(s) {
			continue
		}
		requireCommand(t, s.Command)
		commands = append(commands, strings.Join(s.Command, " "))
		for variable := range s.Environment {
			require.True(t, slices.Contains(slices.Collect(maps.Values(cmd.EnvironmentVariables())), variable) || knownToTemporal(variable) || strings.HasPrefix(variable, "OTEL_"),
				"%s: there is no setting %s", name, variable)
		}
	}
	want := []string{"api", "migrate", "schedules apply"}
	for _, domain := range workers.Domains() {
		want = append(want, "worker "+domain)
	}
	require.ElementsMatch(t, want, commands)
}

// asked is an environment that records which variables are looked up.
type asked map[string]bool

func (a asked) Environ() []string { return nil }

func (a asked) LookupEnv(name string) (string, bool) {
	a[name] = true
	return "", false
}

// knownToTemporal reports whether Temporal's own convention has a variable of that name.
func knownToTemporal(name string) bool {
	a := asked{}
	_, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{EnvLookup: a})
	return err == nil && a[name]
}

func TestComposeStartsEachServiceAfterItsDependencies(t *testing.T) {
	project := load(t)
	for name, s := range project.Services {
		for need, dependency := range s.DependsOn {
			other := project.Services[need]
			want := types.ServiceConditionHealthy
			if other.Restart == "" { // it runs to completion
				want = types.ServiceConditionCompletedSuccessfully
			} else {
				require.True(t, ours(other) || other.HealthCheck != nil, need)
			}
			require.Equal(t, want, dependency.Condition, "%s needs %s", name, need)
		}
		if ours(s) && s.Restart != "" {
			require.Contains(t, s.DependsOn, "migrate", name)
			_, needsTemporal := s.DependsOn["temporal-namespace"]
			require.Equal(t, name != "api", needsTemporal, name) // without it the API serves reads
		}
	}
	require.Contains(t, project.Services["migrate"].DependsOn, "cassandra")
}

func TestComposeTakesItsSecretsOnlyFromTheEnvironment(t *testing.T) {
	for i, secret := range secrets {
		name, _, _ := strings.Cut(secret, "=")
		_, err := compose(t, slices.Delete(slices.Clone(secrets), i, i+1)...)
		require.ErrorContains(t, err, name)
		require.ErrorContains(t, err, "make up makes one in .env")
	}
	secretive := regexp.MustCompile(`KEY|PASS|PWD|SECRET|TOKEN`)
	project, err := compose(t, append(slices.Clone(secrets), "TWTR_TEMPORAL_CODEC_KEYS=the-codec-keys")...)
	require.NoError(t, err)
	encrypting := 0
	for name, s := range project.Services {
		for variable, value := range s.Environment {
			if variable == "TWTR_TEMPORAL_CODEC_KEYS" {
				encrypting++
			}
			if secretive.MatchString(variable) {
				require.Regexp(t, `^the-(auth-keys|seal-key|codec-keys|password)$`, *value, "%s: %s", name, variable)
			}
		}
	}
	require.Equal(t, 2+len(workers.Domains()), encrypting, "the API, each worker, and what writes to Temporal besides")
}

func TestComposeRunsNATSOnlyIfAskedTo(t *testing.T) {
	require.NotContains(t, load(t).Services, "nats")
	options, err := cli.NewProjectOptions([]string{root + "/docker-compose.yml"}, cli.WithProfiles([]string{"events"}),
		cli.WithEnv(append(slices.Clone(secrets), "TWTR_EVENTS_URL=nats://nats:4222")))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	module, err := os.ReadFile(root + "/dev/go.mod")
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^\s+github.com/nats-io/nats-server/v2 v(\S+)$`).FindSubmatch(module)[1]
	require.Equal(t, "nats:"+string(version)+"-alpine", project.Services["nats"].Image, "the one that the tests run on")
	for name, s := range project.Services {
		if ours(s) {
			require.Equal(t, "nats://nats:4222", *s.Environment["TWTR_EVENTS_URL"], name)
		}
	}
	require.Equal(t, "127.0.0.1", project.Services["nats"].Ports[0].HostIP)
}

func TestComposeServesThePageOnlyIfAskedTo(t *testing.T) {
	settings := func(env ...string) (page, ui string) {
		project, err := compose(t, append(slices.Clone(secrets), env...)...)
		require.NoError(t, err)
		environment := project.Services["api"].Environment
		return *environment["TWTR_HTTP_PAGE"], *environment["TWTR_TEMPORAL_UI_URL"]
	}
	page, ui := settings()
	require.Equal(t, []string{"false", ""}, []string{page, ui})
	page, ui = settings("TWTR_HTTP_PAGE=true", "TWTR_TEMPORAL_UI_URL=http://localhost:8233")
	require.Equal(t, []string{"true", "http://localhost:8233"}, []string{page, ui})
}

func TestComposePinsItsImagesAndListensOnThisMachineOnly(t *testing.T) {
	project := load(t)
	cassandra, err := os.ReadFile(root + "/scripts/cassandra.sh")
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^VERSION=(.+)$`).FindSubmatch(cassandra)[1]
	require.Equal(t, "cassandra:"+string(version), project.Services["cassandra"].Image, "the one that the tests run on")
	for name, s := range project.Services {
		if !ours(s) {
			require.Regexp(t, `^[a-z/-]+:\d+\.\d+(\.\d+)?$`, s.Image, name)
		}
		require.NotContains(t, s.Image, "auto-setup")
		require.NotContains(t, s.Image, "bitnami")
		for _, port := range s.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, name)
		}
	}
	require.Equal(t, project.Services["temporal"].Image, strings.Replace(project.Services["temporal-schema"].Image, "admin-tools", "server", 1))
	api := project.Services["api"].Ports[0]
	require.Equal(t, cmd.NewRoot("").PersistentFlags().Lookup("http-addr").DefValue, ":"+api.Published)
	require.EqualValues(t, 3002, api.Target)
}
