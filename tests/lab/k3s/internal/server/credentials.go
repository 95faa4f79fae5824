package server

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"railiance.stack/lab/k3s/internal/config"
	"railiance.stack/lab/k3s/internal/pki"
)

const (
	apiServer      = "https://127.0.0.1:6443"
	encryptionFile = config.CredentialDir + "/encryption-config.json"
)

// Kubeconfigs of the programs on this node.
var (
	adminKubeconfig      = filepath.Join(config.CredentialDir, "admin.kubeconfig")
	controllerKubeconfig = filepath.Join(config.CredentialDir, "controller.kubeconfig")
	schedulerKubeconfig  = filepath.Join(config.CredentialDir, "scheduler.kubeconfig")
	kubeletKubeconfig    = filepath.Join(config.AgentDir, "kubelet.kubeconfig")
	proxyKubeconfig      = filepath.Join(config.AgentDir, "kubeproxy.kubeconfig")
	kubeletServing       = filepath.Join(config.AgentDir, "serving-kubelet")
)

// credentials makes the cluster's PKI: one authority for servers, one for clients, one for the aggregation layer and
// two for etcd, as k3s has them, and what they sign.
func credentials(told config.Config, nodeIP string) error {
	authorities := map[string]*pki.Authority{}
	for path, name := range map[string]string{
		"server-ca": "k3s-server-ca", "client-ca": "k3s-client-ca", "request-header-ca": "k3s-request-header-ca",
		"etcd/server-ca": "etcd-server-ca", "etcd/peer-ca": "etcd-peer-ca",
	} {
		authority, err := pki.EnsureAuthority(config.TLS(path), name)
		if err != nil {
			return err
		}
		authorities[path] = authority
	}
	first, err := config.HostOf(told.ServiceCIDR, 1)
	if err != nil {
		return err
	}
	serving := append([]string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + told.ClusterDomain,
		"localhost", told.NodeName, "127.0.0.1", "::1", nodeIP, first.String(),
	}, told.TLSSANs...)
	loopback := []string{"localhost", "127.0.0.1", "::1"}
	masters := []string{"system:masters"}
	for _, one := range []struct {
		authority, base string
		leaf            pki.Leaf
	}{
		{"server-ca", config.TLS("serving-kube-apiserver"), pki.Leaf{CommonName: "kube-apiserver", Names: serving}},
		{"server-ca", kubeletServing, pki.Leaf{CommonName: told.NodeName, Names: []string{told.NodeName, "localhost", "127.0.0.1", nodeIP}}},
		{"client-ca", config.TLS("client-admin"), pki.Leaf{CommonName: "system:admin", Organizations: masters}},
		{"client-ca", config.TLS("client-supervisor"), pki.Leaf{CommonName: "system:k3s-supervisor", Organizations: masters}},
		{"client-ca", config.TLS("client-kube-apiserver"), pki.Leaf{CommonName: "system:apiserver", Organizations: masters}},
		{"client-ca", config.TLS("client-controller"), pki.Leaf{CommonName: "system:kube-controller-manager"}},
		{"client-ca", config.TLS("client-scheduler"), pki.Leaf{CommonName: "system:kube-scheduler"}},
		{"client-ca", config.TLS("client-kube-proxy"), pki.Leaf{CommonName: "system:kube-proxy"}},
		{"client-ca", config.TLS("client-kubelet"), pki.Leaf{CommonName: "system:node:" + told.NodeName, Organizations: []string{"system:nodes"}}},
		{"request-header-ca", config.TLS("client-auth-proxy"), pki.Leaf{CommonName: "system:auth-proxy"}},
		{"etcd/server-ca", config.TLS("etcd/server-client"), pki.Leaf{CommonName: "etcd-server", Names: loopback, Both: true}},
		{"etcd/server-ca", config.TLS("etcd/client"), pki.Leaf{CommonName: "etcd-client"}},
		{"etcd/peer-ca", config.TLS("etcd/peer-server-client"), pki.Leaf{CommonName: "etcd-peer", Names: loopback, Both: true}},
	} {
		if err := authorities[one.authority].Ensure(one.base, one.leaf); err != nil {
			return err
		}
	}
	if err := pki.EnsureServiceKey(config.TLS("service.key")); err != nil {
		return err
	}
	if err := tokens(told.Token, authorities["server-ca"]); err != nil {
		return err
	}
	if told.SecretsEncryption {
		if err := encryption(encryptionFile); err != nil {
			return err
		}
	}
	return kubeconfigs(told, authorities["server-ca"])
}

func tokens(wanted string, authority *pki.Authority) error {
	token := filepath.Join(config.ServerDir, "token")
	if err := pki.EnsureToken(token, wanted, authority); err != nil {
		return err
	}
	if err := os.Symlink(token, filepath.Join(config.ServerDir, "node-token")); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func kubeconfigs(told config.Config, authority *pki.Authority) error {
	for path, base := range map[string]string{
		adminKubeconfig:      "client-supervisor",
		controllerKubeconfig: "client-controller",
		schedulerKubeconfig:  "client-scheduler",
		kubeletKubeconfig:    "client-kubelet",
		proxyKubeconfig:      "client-kube-proxy",
	} {
		content, err := pki.Kubeconfig(apiServer, authority.CertFile, config.TLS(base))
		if err != nil {
			return err
		}
		if err := pki.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	content, err := pki.PortableKubeconfig(apiServer, authority, config.TLS("client-admin"))
	if err != nil {
		return err
	}
	if err := pki.WriteFile(told.WriteKubeconfig, content, told.WriteKubeconfigMode); err != nil {
		return err
	}
	return giveTo(told.WriteKubeconfig, told.WriteKubeconfigGroup)
}

// giveTo makes the file the group's; without a group it is root's.
func giveTo(path, group string) error {
	number := 0
	if group != "" {
		found, err := user.LookupGroup(group)
		if err != nil {
			return fmt.Errorf("write-kubeconfig-group: %w", err)
		}
		if number, err = strconv.Atoi(found.Gid); err != nil {
			return err
		}
	}
	return os.Chown(path, 0, number)
}

// encryption makes the key that Secrets are encrypted with in the datastore. What was written before it stays readable.
func encryption(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	type object = map[string]any
	content, err := json.MarshalIndent(object{
		"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
		"resources": []object{{
			"resources": []string{"secrets"},
			"providers": []object{
				{"aescbc": object{"keys": []object{{"name": "aescbckey", "secret": base64.StdEncoding.EncodeToString(key)}}}},
				{"identity": object{}},
			},
		}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return pki.WriteFile(path, content, 0o600)
}
