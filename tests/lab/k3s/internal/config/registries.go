package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// RegistryConfig is /etc/rancher/k3s/registries.yaml.
type RegistryConfig struct {
	Mirrors map[string]struct {
		Endpoints []string          `yaml:"endpoint"`
		Rewrites  map[string]string `yaml:"rewrite"`
	} `yaml:"mirrors"`
	Configs map[string]struct {
		Auth *RegistryAuth `yaml:"auth"`
		TLS  *RegistryTLS  `yaml:"tls"`
	} `yaml:"configs"`
}

// RegistryAuth is how containerd logs in to a registry.
type RegistryAuth struct {
	Username      string `yaml:"username"`
	Password      string `yaml:"password"`
	Auth          string `yaml:"auth"`
	IdentityToken string `yaml:"identity_token"`
}

// RegistryTLS is whom containerd trusts as a registry, and how it shows itself to it.
type RegistryTLS struct {
	CAFile             string `yaml:"ca_file"`
	CertFile           string `yaml:"cert_file"`
	KeyFile            string `yaml:"key_file"`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify"`
}

// LoadRegistries reads the file; without a file there are no registries to know about.
func LoadRegistries(path string) (RegistryConfig, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return RegistryConfig{}, nil
	}
	if err != nil {
		return RegistryConfig{}, err
	}
	registries, err := ParseRegistries(content)
	if err != nil {
		return RegistryConfig{}, fmt.Errorf("%s: %w", path, err)
	}
	return registries, nil
}

// ParseRegistries reads the content of registries.yaml. What the stand-in cannot do is an error, not silence.
func ParseRegistries(content []byte) (RegistryConfig, error) {
	var registries RegistryConfig
	if err := yaml.Unmarshal(content, &registries); err != nil {
		return RegistryConfig{}, err
	}
	for host, mirror := range registries.Mirrors {
		if len(mirror.Rewrites) > 0 {
			return RegistryConfig{}, fmt.Errorf("mirrors.%s.rewrite works with k3s's own build of containerd only", host)
		}
		for _, endpoint := range mirror.Endpoints {
			if _, err := endpointURL(endpoint); err != nil {
				return RegistryConfig{}, fmt.Errorf("mirrors.%s.endpoint: %w", host, err)
			}
		}
	}
	for host, config := range registries.Configs {
		if config.TLS != nil && config.TLS.InsecureSkipVerify {
			return RegistryConfig{}, fmt.Errorf("configs.%s.tls.insecure_skip_verify is not for this lab: name the registry's ca_file", host)
		}
	}
	return registries, nil
}

// Hosts returns the content of containerd's hosts.toml by the directory below certs.d that it belongs to.
func (r RegistryConfig) Hosts() map[string]string {
	files := map[string]string{}
	hosts := slices.Concat(slices.Collect(maps.Keys(r.Mirrors)), slices.Collect(maps.Keys(r.Configs)))
	for _, host := range hosts {
		mirror := r.Mirrors[host]
		if _, mirrored := r.Mirrors[host]; !mirrored && r.Configs[host].TLS == nil {
			continue // authentication alone is no matter of hosts.toml
		}
		var toml strings.Builder
		toml.WriteString("# Written by k3s from registries.yaml at its start.\n")
		directory := host
		if host == "*" {
			directory = "_default"
		} else {
			fmt.Fprintf(&toml, "server = %s\ncapabilities = [\"pull\", \"resolve\", \"push\"]\n", quote(defaultEndpoint(host)))
			r.writeTLS(&toml, host, "")
		}
		for _, endpoint := range mirror.Endpoints {
			address, err := endpointURL(endpoint)
			if err != nil {
				continue // ParseRegistries has refused it
			}
			fmt.Fprintf(&toml, "\n[host.%s]\n  capabilities = [\"pull\", \"resolve\"]\n", quote(strings.TrimSuffix(address.String(), "/")))
			if address.Path != "" && address.Path != "/" {
				toml.WriteString("  override_path = true\n")
			}
			r.writeTLS(&toml, address.Host, "  ")
		}
		files[directory] = toml.String()
	}
	return files
}

func (r RegistryConfig) writeTLS(toml *strings.Builder, host, indent string) {
	tls := r.Configs[host].TLS
	if tls == nil {
		return
	}
	if tls.CAFile != "" {
		fmt.Fprintf(toml, "%sca = [%s]\n", indent, quote(tls.CAFile))
	}
	if tls.CertFile != "" && tls.KeyFile != "" {
		fmt.Fprintf(toml, "%sclient = [[%s, %s]]\n", indent, quote(tls.CertFile), quote(tls.KeyFile))
	}
}

// Logins returns the part of containerd's configuration that holds the credentials of the registries.
func (r RegistryConfig) Logins() string {
	var toml strings.Builder
	for _, host := range slices.Sorted(maps.Keys(r.Configs)) {
		auth := r.Configs[host].Auth
		if auth == nil {
			continue
		}
		fmt.Fprintf(&toml, "\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.%s.auth]\n", quote(host))
		for _, entry := range []struct{ name, value string }{
			{"username", auth.Username}, {"password", auth.Password}, {"auth", auth.Auth}, {"identitytoken", auth.IdentityToken},
		} {
			if entry.value != "" {
				fmt.Fprintf(&toml, "  %s = %s\n", entry.name, quote(entry.value))
			}
		}
	}
	return toml.String()
}

// endpointURL reads an endpoint; without a scheme it is https.
func endpointURL(endpoint string) (*url.URL, error) {
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	address, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	if address.Host == "" || (address.Scheme != "https" && address.Scheme != "http") {
		return nil, fmt.Errorf("%q is no address of a registry", endpoint)
	}
	return address, nil
}

func defaultEndpoint(host string) string {
	if host == "docker.io" {
		host = "registry-1.docker.io"
	}
	return "https://" + host
}

// quote writes a TOML string. What JSON escapes in one, TOML escapes the same way.
func quote(value string) string {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err) // a string always has a JSON form
	}
	return strings.TrimSuffix(text.String(), "\n")
}
