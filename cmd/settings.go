package cmd

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// setting is one row of the list of all settings. The key a.b_c stands for the flag --a-b-c, the environment variable
// TWTR_A_B_C and the key a.b_c in twtr.yaml; the first one that is set wins. A secret has no flag: every user of the machine
// can list the flags of a process.
type setting struct {
	key    string
	def    string
	help   string
	secret bool   // never printed
	alias  string // environment variable that is read if ours isn't set: the one that the Temporal Worker Controller sets
	parse  parser
}

// Lists are written with commas, in YAML also as lists.
var settings = []setting{
	{key: "store", def: "sqlite", help: "store engine: sqlite or cassandra", parse: parseEngine},
	{key: "sqlite.path", def: ".twtr/twtr.db", help: "file of the SQLite store", parse: text(func(c *Config) *string { return &c.Store.SQLitePath })},
	{key: "cassandra.hosts", def: "127.0.0.1", help: "Cassandra hosts, host or host:port, comma separated", parse: list(func(c *Config) *[]string { return &c.Store.Cassandra.Hosts })},
	{key: "cassandra.keyspace", def: "twtr", help: "Cassandra keyspace", parse: text(func(c *Config) *string { return &c.Store.Cassandra.Keyspace })},
	{key: "cassandra.replication", def: "{'class': 'SimpleStrategy', 'replication_factor': 1}", help: "replication of a keyspace that migrate creates", parse: text(func(c *Config) *string { return &c.Store.Cassandra.Replication })},
	{key: "cassandra.datacenter", help: "preferred Cassandra data center; empty: none", parse: text(func(c *Config) *string { return &c.Store.Cassandra.Datacenter })},
	{key: "cassandra.username", help: "Cassandra user; empty: no login", parse: text(func(c *Config) *string { return &c.Store.Cassandra.Username })},
	{key: "cassandra.password", help: "Cassandra password", secret: true, parse: text(func(c *Config) *string { return &c.Store.Cassandra.Password })},
	{key: "cassandra.tls", def: "false", help: "connect to Cassandra with TLS: true or false", parse: boolean(func(c *Config) *bool { return &c.Store.Cassandra.TLS.Enabled })},
	{key: "cassandra.tls_ca", help: "file with the certificate authorities that sign Cassandra's certificates (PEM); empty: the system's", parse: file(func(c *Config) *string { return &c.Store.Cassandra.TLS.CAFile })},
	{key: "cassandra.tls_cert", help: "file with the client certificate for Cassandra (PEM); empty: none", parse: file(func(c *Config) *string { return &c.Store.Cassandra.TLS.CertFile })},
	{key: "cassandra.tls_key", help: "file with the private key of the client certificate (PEM)", parse: file(func(c *Config) *string { return &c.Store.Cassandra.TLS.KeyFile })},
	{key: "cassandra.tls_verify_host", def: "true", help: "check that Cassandra's certificates are for the hosts connected to: true or false", parse: boolean(func(c *Config) *bool { return &c.Store.Cassandra.TLS.VerifyHost })},
	{key: "http.addr", def: ":3002", help: "address the API listens on", parse: address(func(c *Config) *string { return &c.API.Addr })},
	{key: "http.trusted_proxies", help: "addresses or networks (CIDR) of the proxies in front, whose X-Forwarded-For is trusted; comma separated; empty: none", parse: parseProxies},
	{key: "http.cors_origins", help: "origins of the web pages that may call the API from a browser, like https://app.example.com, comma separated, or * for all; empty: none", parse: parseOrigins},
	{key: "http.page", def: "false", help: "serve a page at / that is a small client of the API: true or false", parse: boolean(func(c *Config) *bool { return &c.API.Page })},
	{key: "auth.keys", help: "keys of access tokens, kid:secret, comma separated; the first signs, all verify; secrets of at least 32 bytes", secret: true, parse: parseAuthKeys},
	{key: "seal.key", help: "secrets of at least 32 bytes that encrypt what is secret in workflows, comma separated; the first encrypts, all decrypt; the same in the API and the workers", secret: true, parse: parseSealKeys},
	{key: "temporal.codec_keys", help: "secrets of at least 32 bytes that encrypt all payloads in Temporal, comma separated; the first encrypts, or none if it is the word plain; all decrypt; empty: no encryption", secret: true, parse: parseCodecKeys},
	{key: "temporal.ui_url", help: "address of the Temporal Web UI, like https://temporal.example.com; the page of http.page links to it; empty: no links", parse: webAddress(func(c *Config) *string { return &c.API.TemporalUI })},
	{key: "codec.addr", def: "127.0.0.1:8234", help: "address the codec server listens on; one that other machines reach needs codec.token", parse: address(func(c *Config) *string { return &c.Codec.Addr })},
	{key: "codec.ui_origins", help: "origins of the Temporal Web UI, like https://temporal.example.com, comma separated, whose pages may call the codec server; empty: none", parse: parseUIOrigins},
	{key: "codec.token", help: "bearer token that the codec server requires, of at least 32 bytes; empty: none", secret: true, parse: parseCodecToken},
	{key: "events.url", help: "NATS servers to publish domain events to, like nats://nats:4222 or tls://nats.example.com:4222, comma separated; the same in the API and the workers; empty: no events", parse: parseEventsURL},
	{key: "events.credentials", help: "file with credentials for NATS (.creds); empty: none", parse: file(func(c *Config) *string { return &c.Events.Credentials })},
	{key: "events.username", help: "NATS user; empty: no login", parse: text(func(c *Config) *string { return &c.Events.Username })},
	{key: "events.password", help: "NATS password", secret: true, parse: text(func(c *Config) *string { return &c.Events.Password })},
	{key: "events.tls_ca", help: "file with the certificate authorities that sign the certificates of NATS (PEM); empty: the system's", parse: file(func(c *Config) *string { return &c.Events.CAFile })},
	{key: "events.tls_cert", help: "file with the client certificate for NATS (PEM); empty: none", parse: file(func(c *Config) *string { return &c.Events.CertFile })},
	{key: "events.tls_key", help: "file with the private key of the client certificate (PEM)", parse: file(func(c *Config) *string { return &c.Events.KeyFile })},
	{key: "events.replicas", def: "1", help: "on how many NATS servers migrate lets the stream of events be: 1, 3 or 5", parse: number(1, func(c *Config) *int { return &c.Events.Stream.Replicas })},
	{key: "events.max_age", def: "168h", help: "how long the stream keeps an event; at least 1h", parse: duration(minEventAge, func(c *Config) *time.Duration { return &c.Events.Stream.MaxAge })},
	{key: "events.max_megabytes", def: "1024", help: "how much the stream keeps, in MiB; then the oldest events go first", parse: number(1, func(c *Config) *int { return &c.Events.Stream.MaxMegabytes })},
	{key: "feed.max_items", def: "1000", help: "how many items a feed keeps, the newest; at least 100", parse: number(minFeedItems, func(c *Config) *int { return &c.Workers.MaxFeedItems })},
	{key: rowsPerSecond, def: "0", help: "feed items per second that each worker process writes; 0: no limit; applied while running when the settings file changes", parse: number(0, func(c *Config) *int { return &c.Workers.FeedRowsPerSecond })},
	{key: "users.name_hold", def: "720h", help: "how long the name of a deleted user stays taken after all that was theirs is erased; at least 1m", parse: duration(minNameHold, func(c *Config) *time.Duration { return &c.Workers.NameHold })},
	{key: "ratelimit.signups", def: "10", help: "sign-ups per minute per client address, per API process; 0: no limit", parse: number(0, func(c *Config) *int { return &c.API.RateLimits.SignUps })},
	{key: "ratelimit.logins", def: "30", help: "logins per minute per client address, per API process; 0: no limit", parse: number(0, func(c *Config) *int { return &c.API.RateLimits.Logins })},
	{key: "ratelimit.tweets", def: "60", help: "tweets and deletions per minute per user, per API process; 0: no limit", parse: number(0, func(c *Config) *int { return &c.API.RateLimits.Tweets })},
	{key: "ratelimit.follows", def: "120", help: "follows and unfollows per minute per user, per API process; 0: no limit", parse: number(0, func(c *Config) *int { return &c.API.RateLimits.Follows })},
	{key: "ratelimit.reads", def: "600", help: "reads per minute per user or, without a token, per client address, per API process; 0: no limit", parse: number(0, func(c *Config) *int { return &c.API.RateLimits.Reads })},
	{key: "stream.per_user", def: "10", help: "live feeds that a user may have open at a time, per API process", parse: number(1, func(c *Config) *int { return &c.API.Streams.PerUser })},
	{key: "stream.per_process", def: "10000", help: "live feeds that an API process has open at a time; at most 11000, because it has 12000 connections", parse: parseStreams},
	{key: "worker.deployment_name", alias: "TEMPORAL_DEPLOYMENT_NAME", help: "Temporal worker deployment that this worker is a version of; empty: unversioned", parse: parseDeploymentName},
	{key: "worker.build_id", alias: "TEMPORAL_WORKER_BUILD_ID", help: "build ID of this worker; needs worker.deployment_name", parse: text(func(c *Config) *string { return &c.Workers.Options.Version.BuildID })},
	// With fewer than 2 the SDK would starve either the sticky task queue or the shared one.
	{key: "worker.max_pollers", def: "16", help: "maximum pollers of each kind; scales up from two while there is work", parse: number(2, func(c *Config) *int { return &c.Workers.Options.MaxPollers })},
	{key: "worker.max_activities", def: "1000", help: "maximum activities that a worker runs at a time", parse: number(2, func(c *Config) *int { return &c.Workers.Options.MaxActivities })},
	{key: "worker.max_workflow_tasks", def: "1000", help: "maximum workflow tasks that a worker runs at a time", parse: number(2, func(c *Config) *int { return &c.Workers.Options.MaxWorkflowTasks })},
	{key: "worker.cached_workflows", def: "4000", help: "maximum workflows that a worker process keeps in memory, of up to 64 KiB each; the state of others is rebuilt from their histories", parse: number(1, func(c *Config) *int { return &c.Workers.CachedWorkflows })},
	{key: "ops.addr", def: "127.0.0.1:3003", help: "address the API or a worker serves /healthz, /readyz and /metrics on; empty: none", parse: address(func(c *Config) *string { return &c.Ops.Addr })},
	{key: "ops.pprof", def: "false", help: "serve the Go profiles /debug/pprof/ on ops.addr, too: true or false", parse: boolean(func(c *Config) *bool { return &c.Ops.Pprof })},
	{key: "log.level", def: "info", help: "lowest level that is logged: debug, info, warn or error", parse: parseLogLevel},
}

// rowsPerSecond is the setting that [WorkersConfig] applies again when the settings file changes.
const rowsPerSecond = "feed.rows_per_second"

func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

func (s setting) env() string { return "TWTR_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_")) }

// envs are the environment variables that hold the setting; the first one that is set wins.
func (s setting) envs() []string {
	if s.alias == "" {
		return []string{s.env()}
	}
	return []string{s.env(), s.alias}
}

// EnvironmentVariables returns the environment variable of each setting, by the setting's key.
func EnvironmentVariables() map[string]string {
	names := map[string]string{}
	for _, s := range settings {
		names[s.key] = s.env()
	}
	return names
}

// Settings are the values in force, as text; [Settings.Parse] turns them into a [Config].
type Settings struct {
	flags    *pflag.FlagSet
	defaults map[string]string // in place of those of the list
	viper    *viper.Viper
	content  []byte // of the settings file, if there is one
	version  string // of the program
}

// NewSettings adds a flag for each setting that is no secret, and one for the settings file.
func NewSettings(flags *pflag.FlagSet) *Settings {
	flags.String("config", "", "settings file (default ./twtr.yaml, if it exists)")
	for _, s := range settings {
		if !s.secret {
			flags.String(s.flag(), s.def, s.help)
		}
	}
	return newSettings(flags, map[string]string{})
}

// flagError says of a secret that is given as a flag where it belongs, and of an unknown flag which one is meant.
func flagError(c *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	name := unknown.GetSpecifiedName()
	for _, s := range settings {
		if s.secret && s.flag() == name {
			return fmt.Errorf("--%s: every user of the machine can list the flags of a process; set %s, or %s in the settings file", name, s.env(), s.key)
		}
	}
	var known []string
	c.Flags().VisitAll(func(flag *pflag.Flag) { known = append(known, "--"+flag.Name) }) // also those of its parents
	return fmt.Errorf("%w%s", err, didYouMean("--"+name, known))
}

func newSettings(flags *pflag.FlagSet, defaults map[string]string) *Settings {
	v := viper.New()
	for _, s := range settings {
		// These fail only without a flag, as a secret is, or a name.
		_ = v.BindPFlag(s.key, flags.Lookup(s.flag()))
		_ = v.BindEnv(append([]string{s.key}, s.envs()...)...)
	}
	_ = v.BindPFlag("config", flags.Lookup("config"))
	s := &Settings{flags: flags, defaults: defaults, viper: v}
	for key, value := range defaults {
		v.SetDefault(key, value)
	}
	return s
}

// SetDefault gives a setting another default.
func (s *Settings) SetDefault(key, value string) {
	s.defaults[key] = value
	s.viper.SetDefault(key, value)
	for _, row := range settings {
		if flag := s.flags.Lookup(row.flag()); row.key == key && flag != nil {
			flag.DefValue = value // in the help
		}
	}
}

// Read reads the settings file, if there is one, and refuses all names in it, and in the environment, that are no settings.
func (s *Settings) Read() error {
	err := checkEnvironment()
	file := s.file()
	if file == "" {
		return err
	}
	content, readErr := os.ReadFile(file)
	if readErr != nil {
		return errors.Join(err, usageError{fmt.Errorf("settings file: %w", readErr)})
	}
	return errors.Join(err, s.readFile(file, content))
}

func checkEnvironment() (err error) {
	var known []string
	for _, s := range settings {
		known = append(known, s.env())
	}
	for _, variable := range slices.Sorted(slices.Values(os.Environ())) {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "TWTR_") && !slices.Contains(known, name) && !ignored(name) {
			err = errors.Join(err, usageError{fmt.Errorf("environment variable %s: there is no such setting%s", name, hint(name, known))})
		}
	}
	return err
}

// hint names the setting that is meant or, if none resembles it, how to list all.
func hint(name string, known []string) string {
	return cmp.Or(didYouMean(name, known), "; `twtr help settings` lists all")
}

func (s *Settings) readFile(file string, content []byte) error {
	s.content = content
	s.viper.SetConfigFile(file)
	s.viper.SetConfigType("yaml")
	if err := s.viper.ReadConfig(bytes.NewReader(content)); err != nil {
		return usageError{fmt.Errorf("settings file %s: %s", file, oneLine(err))}
	}
	known := []string{"config"}
	for _, s := range settings {
		known = append(known, s.key)
	}
	var err error
	for _, key := range slices.Sorted(slices.Values(s.viper.AllKeys())) {
		if !slices.Contains(known, key) {
			err = errors.Join(err, usageError{fmt.Errorf("settings file %s: there is no setting %q%s", file, key, hint(key, known))})
		}
	}
	return err
}

// file is the settings file; "" if there is none.
func (s *Settings) file() string {
	if file := s.viper.GetString("config"); file != "" {
		return file
	}
	// By its whole name: viper would also take a file without the extension, such as the binary itself.
	if _, err := os.Stat("twtr.yaml"); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return "twtr.yaml"
}

var (
	// Kubernetes adds these for each Service of a namespace, for instance for one that is named twtr-api.
	serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT(_|$)`)
	// These configure the scripts and tests of this repository, which run the binary with their own environment.
	development = regexp.MustCompile(`^TWTR_(TEST_.*|BENCH_.*|RECORD_HISTORIES|CASSANDRA_DIR)$`)
)

// ignored reports whether a variable that begins with TWTR_ and is no setting has another purpose.
func ignored(variable string) bool {
	return serviceLink.MatchString(variable) || development.MatchString(variable)
}

// get returns a setting's value, without the line end of a file that it may have been read from.
func (s *Settings) get(key string) string {
	if items, ok := s.viper.Get(key).([]any); ok {
		words := make([]string, len(items))
		for i, item := range items {
			words[i] = fmt.Sprint(item)
		}
		return strings.Join(words, ",")
	}
	return strings.Trim(s.viper.GetString(key), "\r\n")
}

// source says where a setting's value comes from.
func (s *Settings) source(row setting) string {
	if s.flags.Changed(row.flag()) {
		return "--" + row.flag()
	}
	for _, name := range row.envs() {
		if os.Getenv(name) != "" {
			return name
		}
	}
	if s.viper.InConfig(row.key) {
		return s.viper.ConfigFileUsed()
	}
	return "default"
}

// print writes each setting in force and its source, without secrets.
func (s *Settings) print(write func(key, value, source string)) {
	for _, row := range settings {
		value := s.get(row.key)
		if row.secret && value != "" {
			value = "******"
		}
		write(row.key, value, s.source(row))
	}
}

// reread returns the settings as they are with another content of the settings file. s stays as it is.
func (s *Settings) reread(content []byte) (*Settings, error) {
	fresh := newSettings(s.flags, s.defaults)
	return fresh, fresh.readFile(s.viper.ConfigFileUsed(), content)
}

// words splits a list at commas and white space.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

// oneLine is an error's text without its line breaks.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// usageError is an error in how the process was called or configured; the exit code is 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// deviation is what an audit that repairs nothing returns if the store is not what it should be; the exit code is 3.
type deviation struct{ error }
