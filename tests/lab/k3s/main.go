// Command k3s stands in for the k3s binary in the lab: the same files, the same commands, upstream Kubernetes inside.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"k8s.io/component-base/version"

	"railiance.stack/lab/k3s/internal/server"
	"railiance.stack/lab/k3s/internal/snapshot"
)

const usage = `Usage: k3s COMMAND [ARGUMENTS]

  server          run the Kubernetes server and its node
  kubectl         talk to the cluster
  ctr             talk to containerd
  etcd-snapshot   save or list snapshots of the datastore
  --version       show the version
`

func main() {
	os.Exit(run(filepath.Base(os.Args[0]), os.Args))
}

// run chooses the command by the name that the program was started with, as /usr/local/bin/kubectl -> k3s, or by the
// first argument. It returns the exit code.
func run(name string, args []string) int {
	if component, ok := components[name]; ok {
		return component(args)
	}
	switch name {
	case "kubectl":
		return kubectl(args)
	case "ctr":
		return report(ctr(args[1:]))
	}
	if len(args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	switch args[1] {
	case "server":
		return report(server.Run(args[2:], unpackRuntime))
	case "kubectl", "ctr":
		return run(args[1], args[1:])
	case "etcd-snapshot":
		return report(snapshot.Run(args[2:], os.Stdout))
	case "-v", "--version":
		fmt.Printf("k3s version %s (lab)\ngo version %s\n", version.Get().GitVersion, runtime.Version())
		return 0
	case "-h", "--help", "help":
		fmt.Print(usage)
		return 0
	}
	return report(fmt.Errorf("%q is not a command of the lab's stand-in for k3s; see its README", args[1]))
}

func report(err error) int {
	if err != nil {
		fmt.Fprintf(os.Stderr, "k3s: %v\n", err)
		return 1
	}
	return 0
}
