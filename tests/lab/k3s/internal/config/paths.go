package config

import "path/filepath"

// The files of k3s, where its users expect them.
const (
	DataDir       = "/var/lib/rancher/k3s"
	ServerDir     = DataDir + "/server"
	AgentDir      = DataDir + "/agent"
	DatabaseDir   = ServerDir + "/db"
	SnapshotsDir  = DatabaseDir + "/snapshots"
	ManifestsDir  = ServerDir + "/manifests"
	CredentialDir = ServerDir + "/cred"
	TLSDir        = ServerDir + "/tls"
	ImagesDir     = AgentDir + "/images"
	StorageDir    = DataDir + "/storage"

	Dir        = "/etc/rancher/k3s"
	File       = Dir + "/config.yaml"
	Registries = Dir + "/registries.yaml"
	Kubeconfig = Dir + "/k3s.yaml"

	RunDir              = "/run/k3s"
	ContainerdSocket    = RunDir + "/containerd/containerd.sock"
	ContainerdNamespace = "k8s.io"
)

// TLS returns the path of a file of the server's PKI.
func TLS(name string) string { return filepath.Join(TLSDir, name) }
