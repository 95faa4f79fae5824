package server

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"text/template"

	"railiance.stack/lab/k3s/internal/config"
	"railiance.stack/lab/k3s/internal/pki"
)

const (
	containerdEtc = agentEtc + "/containerd"
	certsDir      = containerdEtc + "/certs.d"
	containerdLog = config.AgentDir + "/containerd/containerd.log"
	sandboxImage  = "docker.io/rancher/mirrored-pause:3.6"
	// largeLog is the size from which the log of earlier starts is put aside.
	largeLog = 16 << 20
)

var containerdConfig = template.Must(template.New("config.toml").Parse(`# Written by k3s at its start.
version = 2
root = "{{.Root}}"
state = "{{.State}}"

[grpc]
  address = "{{.Socket}}"

[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  stream_server_port = "10010"
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  sandbox_image = "{{.Sandbox}}"
  # A server in a container may not lower the score that it was started with.
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{{.Bin}}"
  conf_dir = "{{.CNI}}"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{{.Certs}}"
{{.Logins}}`))

// configureContainerd writes containerd's configuration and what it is to know about registries.
func configureContainerd(registries config.RegistryConfig, bin string) error {
	var content bytes.Buffer
	if err := containerdConfig.Execute(&content, map[string]string{
		"Root": config.AgentDir + "/containerd", "State": filepath.Dir(config.ContainerdSocket), "Socket": config.ContainerdSocket,
		"Sandbox": sandboxImage, "Bin": bin, "CNI": cniDir, "Certs": certsDir, "Logins": registries.Logins(),
	}); err != nil {
		return err
	}
	if err := pki.WriteFile(containerdEtc+"/config.toml", content.Bytes(), 0o600); err != nil {
		return err
	}
	// Anew, so that a registry that was taken out of registries.yaml is forgotten.
	if err := os.RemoveAll(certsDir); err != nil {
		return err
	}
	for host, toml := range registries.Hosts() {
		directory := filepath.Join(certsDir, host)
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return err
		}
		if err := pki.WriteFile(filepath.Join(directory, "hosts.toml"), []byte(toml), 0o600); err != nil {
			return err
		}
	}
	return os.MkdirAll(certsDir, 0o755)
}

// startContainerd starts containerd and waits until it listens.
func startContainerd(ctx context.Context, all *children, bin string) error {
	if info, err := os.Stat(containerdLog); err == nil && info.Size() > largeLog {
		if err := os.Rename(containerdLog, containerdLog+".1"); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(containerdLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	arguments := []string{"--config", containerdEtc + "/config.toml"}
	if err := all.start(filepath.Join(bin, "containerd"), stageBase, log, arguments...); err != nil {
		return err
	}
	return poll(ctx, "containerd to listen", func(context.Context) error {
		connection, err := net.Dial("unix", config.ContainerdSocket)
		if err != nil {
			return fmt.Errorf("%w (see %s)", err, containerdLog)
		}
		return connection.Close()
	})
}
