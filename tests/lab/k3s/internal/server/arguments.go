package server

import (
	"strings"

	"railiance.stack/lab/k3s/internal/config"
)

// collectorPercent makes the garbage collectors trade some time for memory: the lab's node is small.
const collectorPercent = 60

func etcdArguments() []string {
	return []string{
		"--name=node",
		"--data-dir=" + config.DatabaseDir + "/etcd",
		"--listen-client-urls=https://127.0.0.1:2379", "--advertise-client-urls=https://127.0.0.1:2379",
		"--listen-peer-urls=https://127.0.0.1:2380", "--initial-advertise-peer-urls=https://127.0.0.1:2380",
		"--initial-cluster=node=https://127.0.0.1:2380",
		"--client-cert-auth", "--trusted-ca-file=" + config.TLS("etcd/server-ca.crt"),
		"--cert-file=" + config.TLS("etcd/server-client.crt"), "--key-file=" + config.TLS("etcd/server-client.key"),
		"--peer-client-cert-auth", "--peer-trusted-ca-file=" + config.TLS("etcd/peer-ca.crt"),
		"--peer-cert-file=" + config.TLS("etcd/peer-server-client.crt"), "--peer-key-file=" + config.TLS("etcd/peer-server-client.key"),
		// Every short connection of the API server's, of which its start makes many, would be a warning.
		"--log-level=error",
	}
}

func apiServerArguments(told config.Config, nodeIP string, encrypted bool) []string {
	issuer := "https://kubernetes.default.svc." + told.ClusterDomain
	arguments := []string{
		"--advertise-address=" + nodeIP,
		"--allow-privileged=true",
		"--anonymous-auth=false",
		"--api-audiences=" + issuer + ",k3s",
		"--authorization-mode=Node,RBAC",
		"--bind-address=0.0.0.0", "--secure-port=6443",
		"--client-ca-file=" + config.TLS("client-ca.crt"),
		"--enable-admission-plugins=NodeRestriction",
		"--etcd-servers=https://127.0.0.1:2379",
		"--etcd-cafile=" + config.TLS("etcd/server-ca.crt"),
		"--etcd-certfile=" + config.TLS("etcd/client.crt"), "--etcd-keyfile=" + config.TLS("etcd/client.key"),
		"--kubelet-certificate-authority=" + config.TLS("server-ca.crt"),
		"--kubelet-client-certificate=" + config.TLS("client-kube-apiserver.crt"),
		"--kubelet-client-key=" + config.TLS("client-kube-apiserver.key"),
		"--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
		"--profiling=false",
		"--proxy-client-cert-file=" + config.TLS("client-auth-proxy.crt"),
		"--proxy-client-key-file=" + config.TLS("client-auth-proxy.key"),
		"--requestheader-allowed-names=system:auth-proxy",
		"--requestheader-client-ca-file=" + config.TLS("request-header-ca.crt"),
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + config.TLS("service.key"),
		"--service-account-signing-key-file=" + config.TLS("service.key"),
		"--service-cluster-ip-range=" + told.ServiceCIDR,
		"--tls-cert-file=" + config.TLS("serving-kube-apiserver.crt"),
		"--tls-private-key-file=" + config.TLS("serving-kube-apiserver.key"),
	}
	if encrypted {
		arguments = append(arguments, "--encryption-provider-config="+encryptionFile)
	}
	return withUsers(arguments, told, "kube-apiserver")
}

func controllerManagerArguments(told config.Config) []string {
	arguments := []string{
		"--allocate-node-cidrs=true",
		"--authentication-kubeconfig=" + controllerKubeconfig,
		"--authorization-kubeconfig=" + controllerKubeconfig,
		"--bind-address=127.0.0.1",
		"--cluster-cidr=" + told.ClusterCIDR,
		"--controllers=*,tokencleaner",
		"--kubeconfig=" + controllerKubeconfig,
		"--leader-elect=false",
		"--profiling=false",
		"--root-ca-file=" + config.TLS("server-ca.crt"),
		"--service-account-private-key-file=" + config.TLS("service.key"),
		"--service-cluster-ip-range=" + told.ServiceCIDR,
		"--use-service-account-credentials=true",
	}
	for signer, authority := range map[string]string{
		"kube-apiserver-client": "client-ca", "kubelet-client": "client-ca", "kubelet-serving": "server-ca", "legacy-unknown": "server-ca",
	} {
		arguments = append(arguments,
			"--cluster-signing-"+signer+"-cert-file="+config.TLS(authority+".crt"),
			"--cluster-signing-"+signer+"-key-file="+config.TLS(authority+".key"))
	}
	return withUsers(arguments, told, "kube-controller-manager")
}

func schedulerArguments(told config.Config) []string {
	return withUsers([]string{
		"--authentication-kubeconfig=" + schedulerKubeconfig,
		"--authorization-kubeconfig=" + schedulerKubeconfig,
		"--bind-address=127.0.0.1",
		"--kubeconfig=" + schedulerKubeconfig,
		"--leader-elect=false",
		"--profiling=false",
	}, told, "kube-scheduler")
}

func kubeletArguments(told config.Config, nodeIP string) []string {
	arguments := []string{
		"--config=" + kubeletConfigFile,
		"--hostname-override=" + told.NodeName,
		"--kubeconfig=" + kubeletKubeconfig,
		"--node-ip=" + nodeIP,
	}
	if len(told.NodeLabels) > 0 {
		arguments = append(arguments, "--node-labels="+strings.Join(told.NodeLabels, ","))
	}
	if len(told.NodeTaints) > 0 {
		arguments = append(arguments, "--register-with-taints="+strings.Join(told.NodeTaints, ","))
	}
	return withUsers(arguments, told, "kubelet")
}

func proxyArguments(told config.Config) []string {
	return withUsers([]string{
		"--cluster-cidr=" + told.ClusterCIDR,
		// 0 leaves the kernel's own values alone: a server in a container may not change them.
		"--conntrack-max-per-core=0",
		"--conntrack-tcp-timeout-close-wait=0s", "--conntrack-tcp-timeout-established=0s",
		"--healthz-bind-address=127.0.0.1",
		"--hostname-override=" + told.NodeName,
		"--kubeconfig=" + proxyKubeconfig,
		"--proxy-mode=iptables",
	}, told, "kube-proxy")
}

// withUsers adds what the user wants of the component; the last of two equal options wins.
func withUsers(arguments []string, told config.Config, component string) []string {
	for _, argument := range told.Arguments[component] {
		arguments = append(arguments, "--"+strings.TrimPrefix(argument, "--"))
	}
	return arguments
}
