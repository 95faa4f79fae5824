package main

import (
	"embed"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"railiance.stack/lab/k3s/internal/config"
	"railiance.stack/lab/k3s/internal/payload"
)

// The directory exists in every checkout, the archive in it after the build has put it there.
//
//go:embed all:embed
var embedded embed.FS

// unpackRuntime puts the container runtime that this program carries on the disk and returns its directory.
func unpackRuntime() (string, error) {
	file, err := embedded.Open("embed/runtime.tar.gz")
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("this k3s was built without its container runtime; build it with build.sh")
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	archive, seeks := file.(io.ReadSeeker)
	if !seeks {
		return "", errors.New("an embedded file cannot be read twice")
	}
	return payload.Extract(archive, config.DataDir)
}

// ctr replaces this process by containerd's client, pointed at the server's containerd.
func ctr(args []string) error {
	bin, err := unpackRuntime()
	if err != nil {
		return err
	}
	environment := os.Environ()
	for name, value := range map[string]string{
		"CONTAINERD_ADDRESS": config.ContainerdSocket, "CONTAINERD_NAMESPACE": config.ContainerdNamespace,
	} {
		if os.Getenv(name) == "" {
			environment = append(environment, name+"="+value)
		}
	}
	return syscall.Exec(filepath.Join(bin, "ctr"), append([]string{"ctr"}, args...), environment)
}

// defaultKubeconfig makes the server's kubeconfig the one that kubectl uses when its user has not chosen any.
func defaultKubeconfig() {
	if os.Getenv("KUBECONFIG") != "" {
		return
	}
	file, err := os.Open(config.Kubeconfig)
	if errors.Is(err, fs.ErrPermission) {
		os.Stderr.WriteString("Unable to read " + config.Kubeconfig +
			", please start server with --write-kubeconfig-mode or --write-kubeconfig-group to modify kube config permissions\n")
	}
	if err != nil {
		return
	}
	file.Close()
	os.Setenv("KUBECONFIG", config.Kubeconfig)
}
