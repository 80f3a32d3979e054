package cmd

import (
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr/api"
)

func parse(t *testing.T, args ...string) (*Settings, Config) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s := NewSettings(flags)
	require.NoError(t, flags.Parse(args))
	require.NoError(t, s.Read())
	c, err := s.Parse()
	require.NoError(t, err)
	return s, c
}

func TestSecretsAreTakenWithoutTheLineEndsOfTheirFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	one, two := "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	t.Setenv("TWTR_AUTH_KEYS", "new:"+one+"\r\nold:"+two+"\n")
	t.Setenv("TWTR_SEAL_KEY", one+"\r\n"+two+"\n")
	t.Setenv("TWTR_TEMPORAL_CODEC_KEYS", one+"\r\n"+two+"\n")
	t.Setenv("TWTR_CODEC_TOKEN", two+"\n")
	t.Setenv("TWTR_CASSANDRA_PASSWORD", " pass word\n")
	_, c := parse(t)
	require.Equal(t, []api.Key{{ID: "new", Secret: []byte(one)}, {ID: "old", Secret: []byte(two)}}, c.API.AuthKeys)
	require.Equal(t, []string{one, two}, c.API.SealKeys)
	require.Equal(t, []string{one, two}, c.Workers.SealKeys)
	require.Equal(t, []string{one, two}, c.Codec.Keys)
	require.Equal(t, two, c.Codec.Token)
	require.Equal(t, " pass word", c.Store.Cassandra.Password)
}

func TestADefaultThatIsSetGivesWayToAllElse(t *testing.T) {
	t.Chdir(t.TempDir())
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s := NewSettings(flags)
	s.SetDefault("ratelimit.logins", "0")
	c, err := s.Parse()
	require.NoError(t, err)
	require.Equal(t, 0, c.API.RateLimits.Logins)
	t.Setenv("TWTR_RATELIMIT_LOGINS", "7")
	c, err = s.Parse()
	require.NoError(t, err)
	require.Equal(t, 7, c.API.RateLimits.Logins)
	require.NoError(t, flags.Parse([]string{"--ratelimit-logins", "8"}))
	c, err = s.Parse()
	require.NoError(t, err)
	require.Equal(t, 8, c.API.RateLimits.Logins)
}

func TestAnOriginIsWrittenAsBrowsersWriteIt(t *testing.T) {
	t.Chdir(t.TempDir())
	for value, want := range map[string][]string{
		"": nil, "*": {"*"}, "https://app.example.com": {"https://app.example.com"},
		"http://localhost:5173, https://xn--bcher-kva.example,http://[::1]:3000": {"http://localhost:5173", "https://xn--bcher-kva.example", "http://[::1]:3000"},
	} {
		_, c := parse(t, "--http-cors-origins", value)
		require.ElementsMatch(t, want, c.API.Origins, value)
	}
	for _, wrong := range []string{"app.example.com", "https://app.example.com/", "https://App.example.com", "https://app.example.com:443",
		"http://app.example.com:80", "https://*.example.com", "https://app.example.com,*", "null", "file://x", "https://", "https://a@b.example", "https://b.example?x"} {
		err := parseOrigins(&Config{}, wrong)
		require.ErrorContains(t, err, "must be origins like https://app.example.com", wrong)
	}
}

func TestTheAddressOfTheWebUIIsThatOfAPage(t *testing.T) {
	t.Chdir(t.TempDir())
	for value, want := range map[string]string{"": "", "http://localhost:8233": "http://localhost:8233", "https://x.example/ui/": "https://x.example/ui"} {
		_, c := parse(t, "--temporal-ui-url", value)
		require.Equal(t, want, c.API.TemporalUI, value)
	}
	for _, wrong := range []string{"localhost:8233", "javascript:alert(1)", "https://", "https://x.example?y", "https://x.example#y", "//x.example", "/ui"} {
		require.ErrorContains(t, webAddress(func(c *Config) *string { return &c.API.TemporalUI })(&Config{}, wrong),
			"must be an address like https://temporal.example.com", wrong)
	}
}

func TestThePageIsOffUnlessItIsSet(t *testing.T) {
	t.Chdir(t.TempDir())
	_, c := parse(t)
	a := &App{namespace: "team a"}
	require.Nil(t, a.page(c.API))
	_, c = parse(t, "--http-page", "true")
	require.Equal(t, &api.WebPage{}, a.page(c.API))
	_, c = parse(t, "--http-page", "true", "--temporal-ui-url", "https://temporal.example.com/")
	require.Equal(t, &api.WebPage{TemporalUI: "https://temporal.example.com/namespaces/team%20a"}, a.page(c.API))
}

func TestPlainMayStandInPlaceOfTheFirstCodecKey(t *testing.T) {
	t.Chdir(t.TempDir())
	_, c := parse(t)
	require.Empty(t, c.Codec.Keys, "off")
	one := "0123456789abcdef0123456789abcdef"
	t.Setenv("TWTR_TEMPORAL_CODEC_KEYS", "plain,"+one)
	_, c = parse(t)
	require.Equal(t, []string{"plain", one}, c.Codec.Keys)
	for wrong, want := range map[string]string{
		"plain":         "must be of keys with at least 32 bytes each, not 5",
		one + ",plain":  "must be of keys with at least 32 bytes each, not 5",
		"plain,plain":   "must be of keys with at least 32 bytes each, not 5",
		one + "," + one: "has a key twice",
	} {
		require.EqualError(t, parseCodecKeys(&Config{}, wrong), want, wrong)
	}
}

func TestTheURLOfEventsIsThatOfNATSAndHoldsNoSecret(t *testing.T) {
	t.Chdir(t.TempDir())
	_, c := parse(t)
	require.Empty(t, c.Events.URL, "off")
	_, c = parse(t, "--events-url", "nats://a:4222, tls://b.example.com")
	require.Equal(t, "nats://a:4222,tls://b.example.com", c.Events.URL)
	for wrong, want := range map[string]string{
		"nats:4222":                `must be like nats://host:4222 or tls://host:4222, not "nats:4222"`,
		"https://nats":             `must be like nats://host:4222 or tls://host:4222, not "https://nats"`,
		"nats://twtr:hush@a:4222":  "must not hold a user or a password: they are settings of their own",
		"nats://a:4222,nats://b@c": "must not hold a user or a password: they are settings of their own",
	} {
		require.EqualError(t, parseEventsURL(&Config{}, wrong), want)
	}
}

func TestEverySettingReachesTheConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s := NewSettings(flags)
	before, err := s.Parse()
	require.NoError(t, err)
	for _, row := range settings {
		value := map[string]string{
			"store": "cassandra", "cassandra.tls": "true", "cassandra.tls_verify_host": "false", "cassandra.tls_ca": "/dev/null",
			"cassandra.tls_cert": "/dev/null", "cassandra.tls_key": "/dev/null", "http.addr": ":1", "ops.addr": ":2", "ops.pprof": "true",
			"http.trusted_proxies": "10.0.0.0/8", "http.cors_origins": "https://app.example.com", "auth.keys": "k:0123456789abcdef0123456789abcdef",
			"seal.key": "0123456789abcdef0123456789abcdef", "log.level": "debug", "users.name_hold": "1234h",
			"temporal.codec_keys": "0123456789abcdef0123456789abcdef", "codec.token": "0123456789abcdef0123456789abcdef",
			"codec.addr": ":3", "events.url": "nats://nats:4222", "events.credentials": "/dev/null", "events.tls_ca": "/dev/null",
			"events.tls_cert": "/dev/null", "events.tls_key": "/dev/null", "events.max_age": "1234h", "codec.ui_origins": "https://temporal.example.com",
			"http.page": "true", "temporal.ui_url": "https://temporal.example.com",
		}[row.key]
		if value == "" {
			value = "1234"
		}
		after := before
		require.NoError(t, row.parse(&after, value), row.key)
		require.NotEqual(t, before, after, row.key)
	}
}
