package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/fsnotify/fsnotify"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/api"
	"github.com/twtr-dev/twtr/store/cassandra"
	"github.com/twtr-dev/twtr/workers"
)

// setting is one row of the list of all settings. Key a.b_c is flag --a-b-c, environment variable TWTR_A_B_C, and a.b_c in
// twtr.yaml; they win over each other in this order.
type setting struct {
	key    string
	def    string
	help   string
	secret bool   // never printed
	alias  string // environment variable that is read if ours isn't set: the one that the Temporal Worker Controller sets
}

// What is a list is written with commas, in YAML also as a list.
var settings = []setting{
	{key: "store", def: "sqlite", help: "store engine: sqlite or cassandra"},
	{key: "sqlite.path", def: ".twtr/twtr.db", help: "file of the SQLite store"},
	{key: "cassandra.hosts", def: "127.0.0.1", help: "Cassandra hosts, host or host:port, comma separated"},
	{key: "cassandra.keyspace", def: "twtr", help: "Cassandra keyspace"},
	{key: "cassandra.replication", def: "{'class': 'SimpleStrategy', 'replication_factor': 1}", help: "replication of a keyspace that migrate makes"},
	{key: "cassandra.datacenter", help: "the Cassandra data center to prefer; empty for none"},
	{key: "cassandra.username", help: "Cassandra user; empty for none"},
	{key: "cassandra.password", help: "Cassandra password", secret: true},
	{key: "http.addr", def: ":3002", help: "address the API listens at"},
	{key: "http.trusted_proxies", help: "addresses or networks (CIDR) of the proxies in front, whose X-Forwarded-For is believed; comma separated; empty for none"},
	{key: "auth.keys", help: "keys of access tokens, kid:secret, comma separated; the first signs, all verify; secrets of at least 32 bytes", secret: true},
	{key: "seal.key", help: "secret, at least 32 bytes, that encrypts what is secret in a workflow; the same in API and workers", secret: true},
	{key: "feed.max_items", def: "1000", help: "how many items a feed keeps, the newest; 100 at least"},
	{key: "feed.rows_per_second", def: "0", help: "how many feeds a second each worker process writes; 0 for no limit; read again while it runs when the settings file changes"},
	{key: "ratelimit.signups", def: "10", help: "how many sign-ups a minute one address may make at each API process; 0 for no limit"},
	{key: "ratelimit.logins", def: "30", help: "how many logins a minute; the same"},
	{key: "ratelimit.tweets", def: "60", help: "how many tweets and deletions a minute one user may make at each API process; 0 for no limit"},
	{key: "ratelimit.follows", def: "120", help: "how many follows and unfollows a minute; the same"},
	{key: "worker.deployment_name", alias: "TEMPORAL_DEPLOYMENT_NAME", help: "Temporal worker deployment that a worker is a version of; empty: unversioned"},
	{key: "worker.build_id", alias: "TEMPORAL_WORKER_BUILD_ID", help: "which version of it; set together with worker.deployment_name"},
	{key: "worker.max_pollers", def: "16", help: "how many polls of each kind a worker has waiting at Temporal at most; it has more than two only while they bring work"},
	{key: "worker.max_activities", def: "1000", help: "how many activities a worker runs at a time at most"},
	{key: "worker.max_workflow_tasks", def: "1000", help: "how many workflow tasks a worker runs at a time at most"},
	{key: "worker.cached_workflows", def: "10000", help: "how many workflows that have not ended a worker process keeps in memory at most; others are read again from Temporal"},
	{key: "worker.addr", help: "address a worker serves /healthz, /readyz and /metrics at; empty: none"},
	{key: "log.level", def: "info", help: "least level that is logged: debug, info, warn or error"},
}

func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

func (s setting) env() string { return "TWTR_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_")) }

// EnvironmentVariables are those that the binary reads for its settings, by the settings' keys.
func EnvironmentVariables() map[string]string {
	names := map[string]string{}
	for _, s := range settings {
		names[s.key] = s.env()
	}
	return names
}

// Settings are the values in force.
type Settings struct{ viper *viper.Viper }

// NewSettings adds a flag for each setting, and one for the file that they can be in.
func NewSettings(flags *pflag.FlagSet) *Settings {
	v := viper.New()
	flags.String("config", "", "settings file (default ./twtr.yaml, if there is one)")
	for _, s := range settings {
		names := []string{s.env()}
		if s.alias != "" {
			names = append(names, s.alias)
		}
		flags.String(s.flag(), s.def, s.help+" ["+strings.Join(names, ", ")+"]")
		// These fail only without a flag or a name, and both are given.
		_ = v.BindPFlag(s.key, flags.Lookup(s.flag()))
		_ = v.BindEnv(append([]string{s.key}, names...)...)
	}
	_ = v.BindPFlag("config", flags.Lookup("config"))
	return &Settings{v}
}

// SetDefault gives a setting another default.
func (s *Settings) SetDefault(key, value string) {
	if !s.viper.IsSet(key) || s.get(key) == "" {
		s.viper.Set(key, value)
	}
}

// Read reads the settings file.
func (s *Settings) Read() error {
	file := s.viper.GetString("config")
	if file == "" {
		file = "twtr.yaml"
		// By its whole name: viper would also take one without the ending, which the binary itself is.
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	s.viper.SetConfigFile(file)
	s.viper.SetConfigType("yaml")
	if err := s.viper.ReadInConfig(); err != nil {
		return usageError{fmt.Errorf("settings file %s: %w", file, err)}
	}
	for _, key := range s.viper.AllKeys() {
		known := key == "config" || slices.ContainsFunc(settings, func(s setting) bool { return s.key == key })
		if !known {
			return usageError{fmt.Errorf("settings file %s: there is no setting %q", file, key)}
		}
	}
	return nil
}

func (s *Settings) get(key string) string {
	if list, ok := s.viper.Get(key).([]any); ok {
		words := make([]string, len(list))
		for i, item := range list {
			words[i] = fmt.Sprint(item)
		}
		return strings.Join(words, ",")
	}
	return s.viper.GetString(key)
}

func (s *Settings) list(key string) []string {
	return strings.FieldsFunc(s.get(key), func(r rune) bool { return r == ',' || r == ' ' })
}

// Store is the engine to use.
func (s *Settings) Store() string { return s.get("store") }

// HTTPAddr is the address the API listens at.
func (s *Settings) HTTPAddr() string { return s.get("http.addr") }

func (s *Settings) cassandra() cassandra.Config {
	return cassandra.Config{
		Hosts:       s.list("cassandra.hosts"),
		Keyspace:    s.get("cassandra.keyspace"),
		Replication: s.get("cassandra.replication"),
		Datacenter:  s.get("cassandra.datacenter"),
		Username:    s.get("cassandra.username"),
		Password:    s.get("cassandra.password"),
	}
}

func (s *Settings) authKeys() ([]api.Key, error) {
	var keys []api.Key
	for _, text := range s.list("auth.keys") {
		key, err := api.ParseKey(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("auth.keys: %w", err)}
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, usageError{errors.New("auth.keys is not set: access tokens need a secret of your own (TWTR_AUTH_KEYS=kid:secret)")}
	}
	return keys, nil
}

func (s *Settings) sealKey() (string, error) {
	key := s.get("seal.key")
	if len(key) < 32 {
		return "", usageError{errors.New("seal.key is not set, or has less than 32 bytes: workflows need a secret of your own (TWTR_SEAL_KEY)")}
	}
	return key, nil
}

func (s *Settings) maxFeedItems() (int, error) {
	return s.number("feed.max_items", twtr.BackfillTweets)
}

func (s *Settings) feedRate() (int, error) {
	return s.number("feed.rows_per_second", 0)
}

// watch calls changed each time the settings file, if there is one, is written anew. From then on the settings may be read
// only there.
func (s *Settings) watch(changed func()) {
	if s.viper.ConfigFileUsed() == "" {
		return
	}
	s.viper.OnConfigChange(func(fsnotify.Event) { changed() })
	s.viper.WatchConfig()
}

// number is a setting that must be a number, and least at least.
func (s *Settings) number(key string, least int) (int, error) {
	n, err := strconv.Atoi(s.get(key))
	if err != nil || n < least {
		return 0, usageError{fmt.Errorf("%s must be a number from %d on, not %q", key, least, s.get(key))}
	}
	return n, nil
}

// api are the settings of the API alone, without its connections.
func (s *Settings) api() (c api.Config, err error) {
	if c.AuthKeys, err = s.authKeys(); err != nil {
		return c, err
	}
	if c.SealKey, err = s.sealKey(); err != nil {
		return c, err
	}
	for key, limit := range map[string]*int{
		"ratelimit.signups": &c.RateLimits.SignUps, "ratelimit.logins": &c.RateLimits.Logins,
		"ratelimit.tweets": &c.RateLimits.Tweets, "ratelimit.follows": &c.RateLimits.Follows,
	} {
		if *limit, err = s.number(key, 0); err != nil {
			return c, err
		}
	}
	c.TrustedProxies = s.list("http.trusted_proxies")
	for _, proxy := range c.TrustedProxies {
		_, addrErr := netip.ParseAddr(proxy)
		_, prefixErr := netip.ParsePrefix(proxy)
		if addrErr != nil && prefixErr != nil {
			return c, usageError{fmt.Errorf("http.trusted_proxies: %q is neither an address nor a network like 10.0.0.0/8", proxy)}
		}
	}
	return c, nil
}

// version is the worker deployment version that a worker belongs to; zero: it is unversioned.
// workerOptions are what the settings say of how a worker runs.
func (s *Settings) workerOptions() (o workers.Options, err error) {
	if o.Version, err = s.version(); err != nil {
		return o, err
	}
	for key, to := range map[string]*int{
		"worker.max_pollers": &o.MaxPollers, "worker.max_activities": &o.MaxActivities, "worker.max_workflow_tasks": &o.MaxWorkflowTasks,
	} {
		// With fewer the SDK's pollers would starve either their sticky task queue or the one that all share.
		if *to, err = s.number(key, 2); err != nil {
			return o, err
		}
	}
	return o, nil
}

// cachedWorkflows is for the whole process, which is how the SDK has it.
func (s *Settings) cachedWorkflows() (int, error) {
	return s.number("worker.cached_workflows", 1)
}

func (s *Settings) version() (v worker.WorkerDeploymentVersion, err error) {
	v = worker.WorkerDeploymentVersion{DeploymentName: s.get("worker.deployment_name"), BuildID: s.get("worker.build_id")}
	switch {
	case v.DeploymentName == "" && v.BuildID == "":
		return v, nil
	case v.DeploymentName == "" || v.BuildID == "":
		return v, usageError{errors.New("worker.deployment_name and worker.build_id must be set together, or neither")}
	case strings.ContainsAny(v.DeploymentName, ".:"): // Temporal would refuse each of the worker's polls
		return v, usageError{fmt.Errorf("worker.deployment_name must have no . and no :, unlike %q", v.DeploymentName)}
	}
	return v, nil
}

func (s *Settings) logLevel() (level slog.Level, err error) {
	if err := level.UnmarshalText([]byte(s.get("log.level"))); err != nil {
		return level, usageError{fmt.Errorf("log.level must be debug, info, warn or error, not %q", s.get("log.level"))}
	}
	return level, nil
}

// print writes what is in force, a setting a line, without secrets.
func (s *Settings) print(write func(key, value string)) {
	for _, row := range settings {
		value := s.get(row.key)
		if row.secret && value != "" {
			value = "******"
		}
		write(row.key, value)
	}
}

// usageError is the fault of whoever started the process, who can mend it; the exit code is 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
