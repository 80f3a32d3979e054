package temporalclient

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
)

// Setting is a part of the connection to Temporal, and where it comes from. A secret's value is masked.
type Setting struct{ Name, Value, Source string }

// masked stands for a secret that is set.
const masked = "******"

// Settings returns the settings of the connection to Temporal that are in force, and an error if they are wrong.
func Settings() ([]Setting, error) {
	p, err := load()
	if err != nil {
		return nil, fmt.Errorf("the TEMPORAL_* settings: %w", err)
	}
	found := []Setting{
		p.setting("address", "TEMPORAL_ADDRESS", client.DefaultHostPort, func(c envconfig.ClientConfigProfile) string { return c.Address }),
		p.setting("namespace", "TEMPORAL_NAMESPACE", client.DefaultNamespace, func(c envconfig.ClientConfigProfile) string { return c.Namespace }),
		p.setting("api_key", "TEMPORAL_API_KEY", "", func(c envconfig.ClientConfigProfile) string { return mask(c.APIKey) }),
		p.tls(),
	}
	for _, s := range []Setting{
		p.setting("authority", "TEMPORAL_CLIENT_AUTHORITY", "", func(c envconfig.ClientConfigProfile) string { return c.Authority }),
		p.tlsSetting("client_cert_path", func(c envconfig.ClientConfigTLS) string { return c.ClientCertPath }),
		p.tlsSetting("client_cert_data", func(c envconfig.ClientConfigTLS) string { return mask(string(c.ClientCertData)) }),
		p.tlsSetting("client_key_path", func(c envconfig.ClientConfigTLS) string { return c.ClientKeyPath }),
		p.tlsSetting("client_key_data", func(c envconfig.ClientConfigTLS) string { return mask(string(c.ClientKeyData)) }),
		p.tlsSetting("server_ca_cert_path", func(c envconfig.ClientConfigTLS) string { return c.ServerCACertPath }),
		p.tlsSetting("server_ca_cert_data", func(c envconfig.ClientConfigTLS) string { return mask(string(c.ServerCACertData)) }),
		p.tlsSetting("server_name", func(c envconfig.ClientConfigTLS) string { return c.ServerName }),
		p.tlsSetting("disable_host_verification", func(c envconfig.ClientConfigTLS) string {
			return strings.TrimPrefix(strconv.FormatBool(c.DisableHostVerification), "false")
		}),
	} {
		if s.Value != "" { // rarely any of these is set
			found = append(found, s)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.merged.GRPCMeta)) { // headers may be credentials
		variable := "TEMPORAL_GRPC_META_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
		found = append(found, p.setting("grpc_meta."+key, variable, "", func(c envconfig.ClientConfigProfile) string { return mask(c.GRPCMeta[key]) }))
	}
	_, err = Options("", slog.New(slog.DiscardHandler), nil)
	return found, err
}

// profile is one of temporal.toml, and the same with the environment applied to it.
type profile struct {
	inFile, merged envconfig.ClientConfigProfile
	file           string
}

func load() (p profile, err error) {
	if p.inFile, err = envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{DisableEnv: true}); err != nil {
		return p, err
	}
	p.file = fmt.Sprintf("%s, profile %s", cmp.Or(os.Getenv("TEMPORAL_CONFIG_FILE"), envconfig.DefaultConfigFilePath()),
		cmp.Or(os.Getenv("TEMPORAL_PROFILE"), envconfig.DefaultConfigFileProfile))
	p.merged, err = envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{})
	return p, err
}

// setting says what a part of the profile is and where it comes from.
func (p profile) setting(name, variable, def string, of func(envconfig.ClientConfigProfile) string) Setting {
	s := Setting{Name: name, Value: cmp.Or(of(p.merged), def), Source: "default"}
	switch {
	case of(p.merged) == "":
	case os.Getenv(variable) != "":
		s.Source = variable
	case of(p.inFile) != "":
		s.Source = p.file
	}
	return s
}

func (p profile) tlsSetting(name string, of func(envconfig.ClientConfigTLS) string) Setting {
	return p.setting("tls."+name, "TEMPORAL_TLS_"+strings.ToUpper(name), "", func(c envconfig.ClientConfigProfile) string {
		if c.TLS == nil {
			return ""
		}
		return of(*c.TLS)
	})
}

// tls says whether the connection is encrypted. Without a word about it, an API key or another setting of TLS turns it on.
func (p profile) tls() Setting {
	s := Setting{Name: "tls", Value: "false", Source: "default"}
	switch {
	case os.Getenv("TEMPORAL_TLS") != "":
		s.Source = "TEMPORAL_TLS"
	case p.inFile.TLS != nil:
		s.Source = p.file
	case p.merged.TLS != nil:
		s.Source = "TEMPORAL_TLS_*"
	case p.merged.APIKey != "":
		s.Source = "api_key"
	}
	if p.merged.TLS != nil && !p.merged.TLS.Disabled || p.merged.TLS == nil && p.merged.APIKey != "" {
		s.Value = "true"
	}
	return s
}

func mask(secret string) string {
	if secret == "" {
		return ""
	}
	return masked
}
