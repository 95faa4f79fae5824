package pki

import (
	"os"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig returns a kubeconfig that names the files: for programs on this node.
func Kubeconfig(server, authorityFile, base string) ([]byte, error) {
	return encode(
		&api.Cluster{Server: server, CertificateAuthority: authorityFile},
		&api.AuthInfo{ClientCertificate: base + ".crt", ClientKey: base + ".key"},
	)
}

// PortableKubeconfig returns a kubeconfig that holds everything itself: for people.
func PortableKubeconfig(server string, authority *Authority, base string) ([]byte, error) {
	certificate, err := os.ReadFile(base + ".crt")
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(base + ".key")
	if err != nil {
		return nil, err
	}
	return encode(
		&api.Cluster{Server: server, CertificateAuthorityData: authority.PEM()},
		&api.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key},
	)
}

func encode(cluster *api.Cluster, user *api.AuthInfo) ([]byte, error) {
	const name = "default" // of the cluster, the user and the context, as k3s calls them
	config := api.NewConfig()
	config.Clusters[name] = cluster
	config.AuthInfos[name] = user
	config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return clientcmd.Write(*config)
}
