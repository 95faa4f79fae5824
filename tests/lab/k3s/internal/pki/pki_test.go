package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func authority(t *testing.T, base string) *Authority {
	t.Helper()
	made, err := EnsureAuthority(base, "test-ca")
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func ensure(t *testing.T, authority *Authority, base string, leaf Leaf) string {
	t.Helper()
	if err := authority.Ensure(base, leaf); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(base + ".crt")
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestCertificatesVerifyAndKeysArePrivate(t *testing.T) {
	directory := t.TempDir()
	ca := authority(t, directory+"/ca")
	ensure(t, ca, directory+"/server", Leaf{CommonName: "server", Names: []string{"node1", "192.0.2.1"}})
	pair, err := tls.LoadX509KeyPair(directory+"/server.crt", directory+"/server.key")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.PEM())
	for _, name := range []string{"node1", "192.0.2.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "node2", Roots: pool}); err == nil {
		t.Error("the certificate is good for node2, too")
	}
	for _, key := range []string{"ca.key", "server.key"} {
		if info, err := os.Stat(filepath.Join(directory, key)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v %v", key, info.Mode(), err)
		}
	}
}

func TestEnsureKeepsWhatIsGoodAndReplacesWhatIsNot(t *testing.T) {
	directory := t.TempDir()
	ca := authority(t, directory+"/ca")
	base := directory + "/leaf"
	leaf := Leaf{CommonName: "system:admin", Organizations: []string{"system:masters"}}
	first := ensure(t, ca, base, leaf)
	if ensure(t, authority(t, directory+"/ca"), base, leaf) != first {
		t.Error("a good certificate was replaced")
	}
	other := leaf
	other.Organizations = []string{"system:nodes"}
	second := ensure(t, ca, base, other)
	if second == first {
		t.Error("the organization changed, the certificate did not")
	}
	if ensure(t, authority(t, directory+"/other-ca"), base, other) == second {
		t.Error("the authority changed, the certificate did not")
	}
	third := ensure(t, ca, base, other)
	if err := os.WriteFile(base+".key", []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if ensure(t, ca, base, other) == third {
		t.Error("the key is gone, the certificate stayed")
	}
}

func TestAnAuthorityWithoutItsKeyIsAnError(t *testing.T) {
	base := t.TempDir() + "/ca"
	authority(t, base)
	if err := os.Remove(base + ".key"); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureAuthority(base, "test-ca"); err == nil || !strings.Contains(err.Error(), "has lost its key") {
		t.Errorf("%v", err)
	}
}

func TestPortableKubeconfigHoldsEverythingAndVerifies(t *testing.T) {
	directory := t.TempDir()
	ca := authority(t, directory+"/ca")
	ensure(t, ca, directory+"/admin", Leaf{CommonName: "system:admin", Organizations: []string{"system:masters"}})
	content, err := PortableKubeconfig("https://127.0.0.1:6443", ca, directory+"/admin")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(content), directory) || strings.Contains(string(content), "insecure") {
		t.Errorf("not portable or not safe:\n%s", content)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:6443" || string(config.CAData) != string(ca.PEM()) || len(config.KeyData) == 0 {
		t.Errorf("%+v", config)
	}
}

func TestKubeconfigNamesFiles(t *testing.T) {
	content, err := Kubeconfig("https://127.0.0.1:6443", "/tls/server-ca.crt", "/tls/client")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"certificate-authority: /tls/server-ca.crt", "client-certificate: /tls/client.crt", "client-key: /tls/client.key"} {
		if !strings.Contains(string(content), line) {
			t.Errorf("%q is missing in\n%s", line, content)
		}
	}
}

func TestTokenIsMadeOnce(t *testing.T) {
	directory := t.TempDir()
	ca := authority(t, directory+"/ca")
	path := directory + "/token"
	if err := EnsureToken(path, "", ca); err != nil {
		t.Fatal(err)
	}
	first, _ := os.ReadFile(path)
	if err := EnsureToken(path, "other", ca); err != nil {
		t.Fatal(err)
	}
	second, _ := os.ReadFile(path)
	if info, _ := os.Stat(path); string(first) != string(second) || info.Mode() != 0o600 || !strings.Contains(string(first), "::server:") {
		t.Errorf("%v %s %s", info.Mode(), first, second)
	}
}
