package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	kubectlcmd "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// components are the upstream programs inside this one. `k3s server` starts each as a process of its own, under its own
// name; that is all that they are for, they are not commands of k3s.
var components = map[string]func(args []string) int{
	"etcd": func(args []string) int {
		etcdmain.Main(args)
		return 0
	},
	"kube-apiserver":          upstream(apiserver.NewAPIServerCommand),
	"kube-controller-manager": upstream(controllers.NewControllerManagerCommand),
	"kube-scheduler":          upstream(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"kubelet":                 upstream(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }),
	"kube-proxy":              upstream(proxy.NewProxyCommand),
}

func upstream(command func() *cobra.Command) func(args []string) int {
	return func(args []string) int {
		made := command()
		made.SetArgs(args[1:])
		return cli.Run(made)
	}
}

// kubectl is upstream's, with the administrator's kubeconfig when the user names none.
func kubectl(args []string) int {
	defaultKubeconfig()
	os.Args = args // kubectl looks for plugins by its own arguments
	return cli.Run(kubectlcmd.NewDefaultKubectlCommand())
}
