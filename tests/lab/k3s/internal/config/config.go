// Package config reads what k3s is told: config.yaml, config.yaml.d, the command line and registries.yaml.
package config

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Config is everything that the stand-in knows how to do differently.
type Config struct {
	NodeName, NodeIP       string
	NodeLabels, NodeTaints []string
	WriteKubeconfig        string
	WriteKubeconfigMode    fs.FileMode
	WriteKubeconfigGroup   string
	TLSSANs                []string
	Disable                []string
	SecretsEncryption      bool
	ClusterInit            bool
	ClusterCIDR            string
	ServiceCIDR            string
	ClusterDNS             string
	ClusterDomain          string
	Token                  string
	// Arguments holds the additional arguments of the components ("kubelet" -> ["max-pods=200"]).
	Arguments map[string][]string
	// Without lists the settings that k3s has and the stand-in accepts without doing anything about them.
	Without []string
}

// Disabled tells whether the packaged component is switched off.
func (c Config) Disabled(component string) bool { return slices.Contains(c.Disable, component) }

// packaged are the components that `disable` may name.
var packaged = []string{"coredns", "servicelb", "traefik", "local-storage", "metrics-server", "runtimes"}

// Load reads the file, the files in the directory beside it (config.yaml.d) and the arguments of `k3s server`, later
// ones winning. A setting that k3s does not have is an error, as it is in k3s.
func Load(file string, arguments []string) (Config, error) {
	told, arguments, err := fromArguments(arguments)
	if err != nil {
		return Config{}, err
	}
	if other := told.text("config"); other != "" {
		file = other
	}
	settings, err := fromFiles(file)
	if err != nil {
		return Config{}, err
	}
	if len(arguments) > 0 {
		return Config{}, fmt.Errorf("unexpected argument %q", arguments[0])
	}
	for name, values := range told {
		settings[name] = values
	}
	return interpret(settings)
}

func interpret(settings settings) (Config, error) {
	config := Config{
		NodeName:             settings.text("node-name"),
		NodeIP:               settings.text("node-ip"),
		NodeLabels:           settings["node-label"],
		NodeTaints:           settings["node-taint"],
		WriteKubeconfig:      settings.textOr("write-kubeconfig", Kubeconfig),
		WriteKubeconfigGroup: settings.text("write-kubeconfig-group"),
		TLSSANs:              settings.split("tls-san"),
		Disable:              settings.split("disable"),
		ClusterCIDR:          settings.textOr("cluster-cidr", "10.42.0.0/16"),
		ServiceCIDR:          settings.textOr("service-cidr", "10.43.0.0/16"),
		ClusterDomain:        settings.textOr("cluster-domain", "cluster.local"),
		Token:                settings.text("token"),
		Arguments:            map[string][]string{},
	}
	for name := range settings {
		kind, known := kinds[name]
		if !known {
			return Config{}, fmt.Errorf("%q is not a setting of the k3s server that this stand-in knows; see its README", name)
		}
		if kind == without || kind == withoutFlag {
			config.Without = append(config.Without, name)
		}
		if component, ok := strings.CutSuffix(name, "-arg"); ok {
			config.Arguments[component] = settings[name]
		}
	}
	sort.Strings(config.Without)
	for _, component := range config.Disable {
		if !slices.Contains(packaged, component) {
			return Config{}, fmt.Errorf("disable: %q is not one of %s", component, strings.Join(packaged, ", "))
		}
	}
	var err error
	for name, field := range map[string]*bool{
		"secrets-encryption": &config.SecretsEncryption, "cluster-init": &config.ClusterInit,
	} {
		if *field, err = strconv.ParseBool(settings.textOr(name, "false")); err != nil {
			return Config{}, fmt.Errorf("%s: %q is neither true nor false", name, settings.text(name))
		}
	}
	mode, err := strconv.ParseUint(settings.textOr("write-kubeconfig-mode", "0600"), 8, 12)
	if err != nil {
		return Config{}, fmt.Errorf("write-kubeconfig-mode: %q is no octal mode", settings.text("write-kubeconfig-mode"))
	}
	config.WriteKubeconfigMode = fs.FileMode(mode)
	if file := settings.text("token-file"); file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return Config{}, fmt.Errorf("token-file: %w", err)
		}
		config.Token = strings.TrimSpace(string(content))
	}
	return config, config.complete(settings.text("cluster-dns"))
}

// complete fills in what follows from the host and from other settings.
func (c *Config) complete(dns string) error {
	if c.NodeName == "" {
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		c.NodeName = name
	}
	c.NodeName = strings.ToLower(c.NodeName)
	if _, _, err := net.ParseCIDR(c.ClusterCIDR); err != nil {
		return fmt.Errorf("cluster-cidr: %w", err)
	}
	address, err := HostOf(c.ServiceCIDR, 10)
	if err != nil {
		return fmt.Errorf("service-cidr: %w", err)
	}
	if c.ClusterDNS = dns; dns == "" {
		c.ClusterDNS = address.String()
	}
	return nil
}

// HostOf returns the address with this number in an IPv4 network: 10 of 10.43.0.0/16 is 10.43.0.10.
func HostOf(cidr string, number byte) (net.IP, error) {
	_, network, err := net.ParseCIDR(cidr)
	if err != nil {
		return nil, err
	}
	address := network.IP.To4()
	if ones, bits := network.Mask.Size(); address == nil || bits-ones < 8 {
		return nil, fmt.Errorf("%s is no IPv4 network of at least 256 addresses", cidr)
	}
	address[3] += number
	return address, nil
}
