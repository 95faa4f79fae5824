package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"railiance.stack/lab/k3s/internal/config"
	"railiance.stack/lab/k3s/internal/pki"
)

const (
	agentEtc          = config.AgentDir + "/etc"
	kubeletConfigFile = agentEtc + "/kubelet.yaml"
	cniDir            = agentEtc + "/cni/net.d"
)

// directories makes the places of the server's files. Those with keys are root's alone.
func directories() error {
	for path, mode := range map[string]fs.FileMode{
		config.Dir: 0o755, config.DataDir: 0o755, config.ServerDir: 0o700, config.AgentDir: 0o755,
		config.DatabaseDir: 0o700, config.DatabaseDir + "/etcd": 0o700, config.SnapshotsDir: 0o700,
		config.TLSDir: 0o700, config.TLSDir + "/etcd": 0o700, config.CredentialDir: 0o700, config.ManifestsDir: 0o700,
		config.ImagesDir: 0o755, config.StorageDir: 0o701, cniDir: 0o755, podManifests: 0o755, certsDir: 0o755,
		filepath.Dir(containerdLog): 0o755, filepath.Dir(config.ContainerdSocket): 0o755, programDir: 0o755,
	} {
		if err := os.MkdirAll(path, mode); err != nil {
			return err
		}
	}
	return nil
}

// sysctls sets what pods and their network need of the kernel.
func sysctls() error {
	for name, least := range map[string]int{
		"net/ipv4/ip_forward":                1,
		"net/bridge/bridge-nf-call-iptables": 1, // so that pods of one bridge reach each other through a Service
		"fs/inotify/max_user_instances":      1024,
		"fs/inotify/max_user_watches":        65536,
	} {
		if err := atLeast(filepath.Join("/proc/sys", name), least); err != nil {
			return fmt.Errorf("kernel setting %s: %w", strings.ReplaceAll(name, "/", "."), err)
		}
	}
	return nil
}

func atLeast(path string, least int) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(content))); err != nil || now >= least {
		return err
	}
	return os.WriteFile(path, []byte(strconv.Itoa(least)), 0)
}

// network writes the configuration of the pods' network: one bridge, for there is one node.
func network(clusterCIDR string) error {
	_, cluster, err := net.ParseCIDR(clusterCIDR)
	if err != nil {
		return err
	}
	type object = map[string]any
	content, err := json.MarshalIndent(object{
		"cniVersion": "1.0.0",
		"name":       "cbr0",
		"plugins": []object{
			{
				"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
				"ipam": object{
					"type":    "host-local",
					"dataDir": config.RunDir + "/cni", // addresses are given anew after a reboot, as the pods are
					"ranges":  [][]object{{{"subnet": firstNodeNetwork(cluster)}}},
					"routes":  []object{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	return pki.WriteFile(filepath.Join(cniDir, "10-bridge.conflist"), content, 0o644)
}

// firstNodeNetwork returns the network that the controller manager gives to the first node.
func firstNodeNetwork(cluster *net.IPNet) string { return cluster.IP.String() + "/24" }

// kubeletConfig writes the kubelet's configuration file.
func kubeletConfig(told config.Config) error {
	type object = map[string]any
	content, err := yaml.Marshal(object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": object{
			"anonymous": object{"enabled": false},
			"webhook":   object{"enabled": true},
			"x509":      object{"clientCAFile": config.TLS("client-ca.crt")},
		},
		"authorization":            object{"mode": "Webhook"},
		"cgroupDriver":             "cgroupfs",
		"clusterDNS":               []string{told.ClusterDNS},
		"clusterDomain":            told.ClusterDomain,
		"containerRuntimeEndpoint": "unix://" + config.ContainerdSocket,
		// The disk is the machine's below the lab: shares of it say nothing about this node, and what others fill must
		// not make the kubelet throw images or pods away.
		"evictionHard":                object{"imagefs.available": "500Mi", "nodefs.available": "500Mi"},
		"imageGCHighThresholdPercent": 100,
		// The machine below the lab may have cgroup v1, and the server has swap.
		"failCgroupV1":        false,
		"failSwapOn":          false,
		"healthzBindAddress":  "127.0.0.1",
		"resolvConf":          "/etc/resolv.conf",
		"serializeImagePulls": false,
		"staticPodPath":       podManifests,
		"tlsCertFile":         kubeletServing + ".crt",
		"tlsPrivateKeyFile":   kubeletServing + ".key",
	})
	if err != nil {
		return err
	}
	return pki.WriteFile(kubeletConfigFile, content, 0o600)
}

// programs makes a link to this program under the name of each component, so that `ps` and the journal tell them apart.
func programs() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"} {
		path := program(name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink(self, path); err != nil {
			return err
		}
	}
	return nil
}

const (
	programDir   = config.RunDir + "/bin"
	podManifests = config.AgentDir + "/pod-manifests"
)

func program(name string) string { return filepath.Join(programDir, name) }
