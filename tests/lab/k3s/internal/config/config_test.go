package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// written puts the files into a directory and returns the path of config.yaml in it.
func written(t *testing.T, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(directory, "config.yaml")
}

func TestLoadReadsFilesInOrderAndArgumentsLast(t *testing.T) {
	file := written(t, map[string]string{
		"config.yaml": `
node-name: Node1
write-kubeconfig-mode: "0644"
tls-san: [a.example.org, b.example.org]
disable: traefik,servicelb
secrets-encryption: true
kubelet-arg:
  - max-pods=100
`,
		"config.yaml.d/10-more.yaml":  "tls-san+: [c.example.org]\nkubelet-arg+: eviction-hard=nodefs.available<5%\n",
		"config.yaml.d/20-other.yaml": "disable: [local-storage]\nflannel-backend: none\n",
		"config.yaml.d/readme.txt":    "not: read\n",
	})
	config, err := Load(file, []string{"--cluster-init", "--node-ip", "192.0.2.7", "--kube-proxy-arg=v=2"})
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []struct {
		name      string
		got, want any
	}{
		{"node name", config.NodeName, "node1"},
		{"address", config.NodeIP, "192.0.2.7"},
		{"mode", config.WriteKubeconfigMode.String(), "-rw-r--r--"},
		{"names", config.TLSSANs, []string{"a.example.org", "b.example.org", "c.example.org"}},
		{"disable", config.Disable, []string{"local-storage"}},
		{"encryption", config.SecretsEncryption, true},
		{"etcd", config.ClusterInit, true},
		{"kubelet", config.Arguments["kubelet"], []string{"max-pods=100", "eviction-hard=nodefs.available<5%"}},
		{"kube-proxy", config.Arguments["kube-proxy"], []string{"v=2"}},
		{"without effect", config.Without, []string{"flannel-backend"}},
		{"dns", config.ClusterDNS, "10.43.0.10"},
	} {
		if !reflect.DeepEqual(check.got, check.want) {
			t.Errorf("%s: %#v, not %#v", check.name, check.got, check.want)
		}
	}
}

func TestLoadWithoutAFileIsTheDefault(t *testing.T) {
	config, err := Load(filepath.Join(t.TempDir(), "config.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if config.WriteKubeconfigMode != 0o600 || config.WriteKubeconfig != "/etc/rancher/k3s/k3s.yaml" {
		t.Errorf("kubeconfig: %v %v", config.WriteKubeconfig, config.WriteKubeconfigMode)
	}
	if hostname, _ := os.Hostname(); config.NodeName != strings.ToLower(hostname) {
		t.Errorf("node name: %q", config.NodeName)
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, test := range []struct{ name, content, want string }{
		{"an unknown setting", "node-nmae: x\n", `"node-nmae" is not a setting of the k3s server`},
		{"an unknown component", "disable: [treafik]\n", `disable: "treafik" is not one of coredns`},
		{"a mode that is none", "write-kubeconfig-mode: rw\n", `write-kubeconfig-mode: "rw" is no octal mode`},
		{"a mapping", "tls-san: {a: b}\n", "tls-san: a mapping where a value or a list belongs"},
		{"a half truth", "cluster-init: perhaps\n", `cluster-init: "perhaps" is neither true nor false`},
		{"a network that is none", "service-cidr: 10.43.0.0\n", "service-cidr: invalid CIDR address"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Load(written(t, map[string]string{"config.yaml": test.content}), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, not %q", err, test.want)
			}
		})
	}
}

func TestTokenComesFromItsFile(t *testing.T) {
	file := written(t, map[string]string{"config.yaml": "", "token": "secret\n"})
	config, err := Load(file, []string{"--token-file", filepath.Join(filepath.Dir(file), "token")})
	if err != nil || config.Token != "secret" {
		t.Errorf("%q %v", config.Token, err)
	}
}
