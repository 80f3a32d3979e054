package cmd

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/worker"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/api"
	"github.com/twtr-dev/twtr/internal/codec"
	"github.com/twtr-dev/twtr/internal/events"
	"github.com/twtr-dev/twtr/store/cassandra"
	"github.com/twtr-dev/twtr/workers"
)

// Config is what the settings say, parsed and checked.
type Config struct {
	Store    StoreConfig
	API      APIConfig
	Workers  WorkersConfig
	Ops      OpsConfig
	Codec    CodecConfig
	Events   EventsConfig
	LogLevel slog.Level
	// Version is that of the program, for the metrics; "" if it is unknown.
	Version string
}

// StoreConfig says which store to use and where it is.
type StoreConfig struct {
	Engine     string // sqlite or cassandra
	SQLitePath string
	Cassandra  cassandra.Config
}

// APIConfig configures the API.
type APIConfig struct {
	Addr           string // to listen on
	TrustedProxies []string
	Origins        []string // of web pages that may call the API
	AuthKeys       []api.Key
	SealKeys       []string
	RateLimits     api.RateLimits
	Streams        api.StreamConfig
	Page           bool   // serve the web page
	TemporalUI     string // address of Temporal's Web UI, for its links; empty: none
}

// WorkersConfig configures the workers of one process.
type WorkersConfig struct {
	SealKeys          []string
	MaxFeedItems      int
	FeedRowsPerSecond int // 0: no limit
	NameHold          time.Duration
	CachedWorkflows   int
	Options           workers.Options

	settings *Settings // to read FeedRowsPerSecond again
}

// OpsConfig configures what a process serves for its operators.
type OpsConfig struct {
	Addr  string // of /healthz, /readyz and /metrics; empty: none
	Pprof bool   // and /debug/pprof/
}

// CodecConfig configures the encryption of payloads in Temporal, and the codec server.
type CodecConfig struct {
	Keys      []string // empty: no encryption
	Addr      string   // that the server listens on
	UIOrigins []string // of web pages that may call it
	Token     string   // that it requires; empty: none
}

// EventsConfig says where domain events are published.
type EventsConfig struct {
	URL string // of NATS; empty: nowhere
	events.Options
	Stream events.StreamConfig
}

// minEventAge is long enough for a subscriber that restarts.
const minEventAge = time.Hour

// minFeedItems is the smallest feed: a follow puts so many tweets into it.
const minFeedItems = twtr.BackfillTweets

// minNameHold is how long the store may take for writes of a later user those of the one it erased.
const minNameHold = time.Minute

// minSecret is the length of the shortest secret that encrypts, in bytes: as many as a key of the ciphers has.
const minSecret = 32

// Parse checks all settings and returns them typed. Those that are required must be set. It reports all that are wrong, in the order
// of the list.
func (s *Settings) Parse(required ...string) (Config, error) {
	c := Config{Version: s.version}
	c.Workers.settings = s
	var wrong []error
	for _, row := range settings {
		value := s.get(row.key)
		if value == "" && slices.Contains(required, row.key) {
			wrong = append(wrong, fmt.Errorf("%s is not set (%s): %s", row.key, row.env(), row.help))
		} else if err := row.parse(&c, value); err != nil {
			wrong = append(wrong, fmt.Errorf("%s %w", row.key, err))
		}
	}
	if len(wrong) == 0 {
		wrong = c.check()
	}
	if len(wrong) > 0 {
		return Config{}, usageError{errors.Join(wrong...)}
	}
	return c, nil
}

// check looks at settings that depend on each other.
func (c *Config) check() (wrong []error) {
	tls, version, nats := c.Store.Cassandra.TLS, c.Workers.Options.Version, c.Events
	for _, rule := range []struct {
		broken bool
		says   string
	}{
		{(tls.CertFile == "") != (tls.KeyFile == ""), "cassandra.tls_cert and cassandra.tls_key must be set together, or neither"},
		{!tls.Enabled && (tls.CAFile != "" || tls.CertFile != ""),
			"cassandra.tls_ca, cassandra.tls_cert and cassandra.tls_key need cassandra.tls to be true"},
		{(version.DeploymentName == "") != (version.BuildID == ""), "worker.deployment_name and worker.build_id must be set together, or neither"},
		{(nats.CertFile == "") != (nats.KeyFile == ""), "events.tls_cert and events.tls_key must be set together, or neither"},
		{(nats.Username == "") != (nats.Password == ""), "events.username and events.password must be set together, or neither"},
		{nats.Username != "" && nats.Credentials != "", "events.credentials and events.username exclude each other"},
		{c.Codec.Token == "" && !loopback(c.Codec.Addr), "codec.addr is an address that other machines may reach: set codec.token, too"},
	} {
		if rule.broken {
			wrong = append(wrong, errors.New(rule.says))
		}
	}
	return wrong
}

// parser writes a setting into the configuration. Its error continues a sentence that begins with the setting's key.
type parser func(c *Config, value string) error

func text(field func(*Config) *string) parser {
	return func(c *Config, value string) error {
		*field(c) = value
		return nil
	}
}

func list(field func(*Config) *[]string) parser {
	return func(c *Config, value string) error {
		if *field(c) = words(value); len(*field(c)) == 0 {
			return errors.New("must not be empty")
		}
		return nil
	}
}

func number(least int, field func(*Config) *int) parser {
	return func(c *Config, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < least {
			return fmt.Errorf("must be a whole number of at least %d, not %q", least, value)
		}
		*field(c) = n
		return nil
	}
}

func duration(least time.Duration, field func(*Config) *time.Duration) parser {
	return func(c *Config, value string) (err error) {
		if *field(c), err = time.ParseDuration(value); err != nil || *field(c) < least {
			return fmt.Errorf("must be a time like 720h or 30m, of at least %v, not %q", least, value)
		}
		return nil
	}
}

func boolean(field func(*Config) *bool) parser {
	return func(c *Config, value string) (err error) {
		if *field(c), err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("must be true or false, not %q", value)
		}
		return nil
	}
}

// file is one that must exist, unless it is empty.
func file(field func(*Config) *string) parser {
	return func(c *Config, value string) error {
		*field(c) = value
		if value == "" {
			return nil
		}
		if _, err := os.Stat(value); err != nil {
			return fmt.Errorf("must be a file: %w", err)
		}
		return nil
	}
}

// address is one to listen on, or empty.
func address(field func(*Config) *string) parser {
	return func(c *Config, value string) error {
		*field(c) = value
		if value == "" {
			return nil
		}
		if _, _, err := net.SplitHostPort(value); err != nil {
			return fmt.Errorf("must be host:port or :port, not %q", value)
		}
		return nil
	}
}

func parseEngine(c *Config, value string) error {
	if _, ok := engines[value]; !ok {
		return fmt.Errorf("must be sqlite or cassandra, not %q", value)
	}
	c.Store.Engine = value
	return nil
}

func parseEventsURL(c *Config, value string) error {
	urls := words(value)
	for _, text := range urls {
		u, err := url.Parse(text)
		if err == nil && u.User != nil {
			return errors.New("must not hold a user or a password: they are settings of their own")
		}
		if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" {
			return fmt.Errorf("must be like nats://host:4222 or tls://host:4222, not %q", text)
		}
	}
	c.Events.URL = strings.Join(urls, ",")
	return nil
}

// maxStreams leaves some of a process's connections to other requests.
const maxStreams = maxConnections - 1000

func parseStreams(c *Config, value string) error {
	if err := number(1, func(c *Config) *int { return &c.API.Streams.PerProcess })(c, value); err != nil {
		return err
	}
	if c.API.Streams.PerProcess > maxStreams {
		return fmt.Errorf("must be at most %d, not %q", maxStreams, value)
	}
	return nil
}

func parseProxies(c *Config, value string) error {
	c.API.TrustedProxies = words(value)
	for _, proxy := range c.API.TrustedProxies {
		_, addrErr := netip.ParseAddr(proxy)
		_, prefixErr := netip.ParsePrefix(proxy)
		if addrErr != nil && prefixErr != nil {
			return fmt.Errorf("must be addresses or networks like 10.0.0.0/8, not %q", proxy)
		}
	}
	return nil
}

// loopback reports whether only this machine reaches the address; nothing listens on an empty one.
func loopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	return addr == "" || host == "localhost" || err == nil && ip.IsLoopback()
}

func parseOrigins(c *Config, value string) error {
	c.API.Origins = words(value)
	if slices.Equal(c.API.Origins, []string{"*"}) {
		return nil
	}
	return checkOrigins(c.API.Origins, ", or * alone")
}

// webAddress is the address of a web page, without a slash at its end, or empty.
func webAddress(field func(*Config) *string) parser {
	return func(c *Config, value string) error {
		*field(c) = strings.TrimRight(value, "/")
		u, err := url.Parse(value)
		if value != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "") {
			return fmt.Errorf("must be an address like https://temporal.example.com, not %q", value)
		}
		return nil
	}
}

func parseUIOrigins(c *Config, value string) error {
	c.Codec.UIOrigins = words(value)
	return checkOrigins(c.Codec.UIOrigins, "")
}

// checkOrigins wants each origin as browsers write it (RFC 6454, 6.2), because it is compared with what they send.
func checkOrigins(origins []string, or string) error {
	for _, origin := range origins {
		u, err := url.Parse(origin)
		web := err == nil && (u.Scheme == "http" && u.Port() != "80" || u.Scheme == "https" && u.Port() != "443")
		if !web || u.Hostname() == "" || origin != u.Scheme+"://"+strings.ToLower(u.Host) || strings.Contains(origin, "*") {
			return fmt.Errorf("must be origins like https://app.example.com, in lower case, without a path and a default port%s, not %q", or, origin)
		}
	}
	return nil
}

func parseAuthKeys(c *Config, value string) error {
	for _, word := range words(value) {
		key, err := api.ParseKey(word)
		if err != nil {
			return fmt.Errorf("is wrong: %w", err)
		}
		if slices.ContainsFunc(c.API.AuthKeys, func(other api.Key) bool { return other.ID == key.ID }) {
			return fmt.Errorf("has two keys with the kid %q", key.ID)
		}
		c.API.AuthKeys = append(c.API.AuthKeys, key)
	}
	return nil
}

func parseSealKeys(c *Config, value string) error {
	keys := words(value)
	c.API.SealKeys, c.Workers.SealKeys = keys, keys
	return checkKeys(keys)
}

func parseCodecKeys(c *Config, value string) error {
	c.Codec.Keys = words(value)
	if len(c.Codec.Keys) > 1 && c.Codec.Keys[0] == codec.Plain {
		return checkKeys(c.Codec.Keys[1:])
	}
	return checkKeys(c.Codec.Keys)
}

func checkKeys(keys []string) error {
	for i, key := range keys {
		if len(key) < minSecret {
			return fmt.Errorf("must be of keys with at least %d bytes each, not %d", minSecret, len(key))
		}
		if slices.Contains(keys[:i], key) {
			return errors.New("has a key twice")
		}
	}
	return nil
}

func parseCodecToken(c *Config, value string) error {
	if c.Codec.Token = value; value != "" && len(value) < minSecret {
		return fmt.Errorf("must have at least %d bytes, not %d", minSecret, len(value))
	}
	return nil
}

func parseDeploymentName(c *Config, value string) error {
	if strings.ContainsAny(value, ".:") { // Temporal would refuse each of the worker's polls
		return fmt.Errorf("must not contain . or :, unlike %q", value)
	}
	c.Workers.Options.Version = worker.WorkerDeploymentVersion{DeploymentName: value}
	return nil
}

func parseLogLevel(c *Config, value string) error {
	if err := c.LogLevel.UnmarshalText([]byte(value)); err != nil {
		return fmt.Errorf("must be debug, info, warn or error, not %q", value)
	}
	return nil
}
