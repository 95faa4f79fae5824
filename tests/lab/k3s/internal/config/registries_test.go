package config

import (
	"strings"
	"testing"
)

const sample = `
mirrors:
  docker.io:
    endpoint: ["https://mirror.example.org:5000/v2", "http://10.0.0.5:5001"]
  "*":
    endpoint: [cache.example.org]
configs:
  gitea.example.org:
    auth: {username: bot, password: 'a "quoted" \ word'}
    tls: {ca_file: /etc/railiance/ca.crt}
  mirror.example.org:5000:
    tls: {ca_file: /ca.pem, cert_file: /client.pem, key_file: /client.key}
  plain.example.org:
    auth: {auth: dTpw}
`

func parsed(t *testing.T) RegistryConfig {
	t.Helper()
	registries, err := ParseRegistries([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	return registries
}

func TestHosts(t *testing.T) {
	const first = "# Written by k3s from registries.yaml at its start.\n"
	want := map[string]string{
		"docker.io": first + `server = "https://registry-1.docker.io"
capabilities = ["pull", "resolve", "push"]

[host."https://mirror.example.org:5000/v2"]
  capabilities = ["pull", "resolve"]
  override_path = true
  ca = ["/ca.pem"]
  client = [["/client.pem", "/client.key"]]

[host."http://10.0.0.5:5001"]
  capabilities = ["pull", "resolve"]
`,
		"_default": first + `
[host."https://cache.example.org"]
  capabilities = ["pull", "resolve"]
`,
		"gitea.example.org": first + `server = "https://gitea.example.org"
capabilities = ["pull", "resolve", "push"]
ca = ["/etc/railiance/ca.crt"]
`,
		"mirror.example.org:5000": first + `server = "https://mirror.example.org:5000"
capabilities = ["pull", "resolve", "push"]
ca = ["/ca.pem"]
client = [["/client.pem", "/client.key"]]
`,
	}
	got := parsed(t).Hosts()
	if len(got) != len(want) {
		t.Errorf("%d files, not %d", len(got), len(want))
	}
	for host, content := range want {
		if got[host] != content {
			t.Errorf("%s:\n%s\nnot\n%s", host, got[host], content)
		}
	}
}

func TestLogins(t *testing.T) {
	want := `
[plugins."io.containerd.grpc.v1.cri".registry.configs."gitea.example.org".auth]
  username = "bot"
  password = "a \"quoted\" \\ word"

[plugins."io.containerd.grpc.v1.cri".registry.configs."plain.example.org".auth]
  auth = "dTpw"
`
	if got := parsed(t).Logins(); got != want {
		t.Errorf("%s\nnot\n%s", got, want)
	}
}

func TestParseRegistriesRefusesWhatItCannotDo(t *testing.T) {
	for content, want := range map[string]string{
		"configs: {a: {tls: {insecure_skip_verify: true}}}":  "configs.a.tls.insecure_skip_verify is not for this lab",
		"mirrors: {a: {rewrite: {x: y}}}":                    "mirrors.a.rewrite works with k3s's own build",
		"mirrors: {a: {endpoint: ['ftp://mirror.example']}}": `mirrors.a.endpoint: "ftp://mirror.example" is no address`,
		"mirrors: [a]": "cannot unmarshal",
	} {
		if _, err := ParseRegistries([]byte(content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not %q", content, err, want)
		}
	}
}

func TestWithoutAFileThereAreNoRegistries(t *testing.T) {
	registries, err := LoadRegistries(t.TempDir() + "/registries.yaml")
	if err != nil || len(registries.Hosts()) != 0 || registries.Logins() != "" {
		t.Errorf("%v %v", registries, err)
	}
}
