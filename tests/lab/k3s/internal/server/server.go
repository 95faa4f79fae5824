// Package server is `k3s server`: it prepares the node, starts the upstream components and looks after them.
package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/version"

	"railiance.stack/lab/k3s/internal/config"
)

var errStopped = errors.New("told to end")

// Run is the command. unpack puts the container runtime on the disk and returns the directory of its programs.
func Run(arguments []string, unpack func() (string, error)) error {
	notify := takeNotifier()
	if os.Geteuid() != 0 {
		return errors.New("the server must run as root")
	}
	told, err := config.Load(config.File, arguments)
	if err != nil {
		return err
	}
	registries, err := config.LoadRegistries(config.Registries)
	if err != nil {
		return err
	}
	logf("Starting k3s %s (lab)", version.Get().GitVersion)
	if len(told.Without) > 0 {
		warnf("without effect in the lab: %s", strings.Join(told.Without, ", "))
	}
	debug.SetGCPercent(collectorPercent)
	made := &node{told: told, notify: notify}
	if err := made.prepare(registries, unpack); err != nil {
		return err
	}

	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	made.children = newChildren()
	go func() {
		select {
		case <-signals:
			cancel(errStopped)
		case err := <-made.children.failed:
			cancel(err)
		}
	}()
	if err := made.serve(ctx); err != nil && ctx.Err() == nil {
		cancel(err)
	}
	<-ctx.Done()
	cause := context.Cause(ctx)
	logf("ending: %v", cause)
	if err := notify("STOPPING=1"); err != nil {
		warnf("systemd: %v", err)
	}
	made.children.stop()
	made.loops.Wait()
	if errors.Is(cause, errStopped) {
		return nil
	}
	return cause
}

// node is the one node, with everything on it.
type node struct {
	told     config.Config
	notify   func(string) error
	address  string
	bin      string
	disabled []string
	children *children
	loops    sync.WaitGroup
}

// prepare writes every file that the components read.
func (n *node) prepare(registries config.RegistryConfig, unpack func() (string, error)) error {
	n.address = n.told.NodeIP
	if n.address == "" {
		address, err := utilnet.ChooseHostInterface()
		if err != nil {
			return fmt.Errorf("find the node's address (node-ip tells it): %w", err)
		}
		n.address = address.String()
	}
	var err error
	if n.bin, err = unpack(); err != nil {
		return err
	}
	// containerd looks for its shim and for runc there.
	if err := os.Setenv("PATH", n.bin+":"+os.Getenv("PATH")); err != nil {
		return err
	}
	for _, step := range []func() error{
		directories,
		sysctls,
		programs,
		func() error { return credentials(n.told, n.address) },
		func() error { return network(n.told.ClusterCIDR) },
		func() error { return kubeletConfig(n.told) },
		func() error { return configureContainerd(registries, n.bin) },
		func() (err error) { n.disabled, err = writePackaged(n.told, config.ManifestsDir); return err },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// serve starts everything in an order in which each part finds what it needs, and tells systemd when it is done.
func (n *node) serve(ctx context.Context) error {
	began := time.Now()
	client, err := clientConfig()
	if err != nil {
		return err
	}
	typed, err := kubernetes.NewForConfig(client)
	if err != nil {
		return err
	}
	if err := n.startDatastoreAndAPI(); err != nil {
		return err
	}
	if err := startContainerd(ctx, n.children, n.bin); err != nil {
		return err
	}
	archives := newImages(filepath.Join(n.bin, "ctr"))
	preloaded := make(chan error, 1)
	go func() { preloaded <- archives.preload(ctx) }()

	if err := apiReady(ctx, typed); err != nil {
		return err
	}
	logf("the API server is ready after %.1fs", time.Since(began).Seconds())
	if err := n.startControllers(); err != nil {
		return err
	}
	if err := n.startLoops(ctx, client, typed); err != nil {
		return err
	}
	// With the images there before the first pod, no pod waits in a back-off for one.
	if err := <-preloaded; err != nil {
		return err
	}
	n.loops.Go(func() { archives.watch(ctx) })
	if err := n.children.start(program("kubelet"), stageClients, os.Stderr, kubeletArguments(n.told, n.address)...); err != nil {
		return err
	}
	if err := kubeletHealthy(ctx); err != nil {
		return err
	}
	if err := nodeRegistered(ctx, typed, n.told); err != nil {
		return err
	}
	logf("k3s is up and running after %.1fs", time.Since(began).Seconds())
	return n.notify("READY=1")
}

func (n *node) startDatastoreAndAPI() error {
	etcd := withUsers(etcdArguments(), n.told, "etcd")
	if err := n.children.start(program("etcd"), stageBase, os.Stderr, etcd...); err != nil {
		return err
	}
	_, err := os.Stat(encryptionFile)
	encrypted := err == nil
	if encrypted && !n.told.SecretsEncryption {
		warnf("secrets-encryption was on before and stays on: Secrets in the datastore need it")
	}
	return n.children.start(program("kube-apiserver"), stageAPI, os.Stderr, apiServerArguments(n.told, n.address, encrypted)...)
}

func (n *node) startControllers() error {
	for _, one := range []struct {
		name      string
		arguments []string
	}{
		{"kube-controller-manager", controllerManagerArguments(n.told)},
		{"kube-scheduler", schedulerArguments(n.told)},
		{"kube-proxy", proxyArguments(n.told)},
	} {
		if err := n.children.start(program(one.name), stageClients, os.Stderr, one.arguments...); err != nil {
			return err
		}
	}
	return nil
}

// startLoops starts what this program does itself.
func (n *node) startLoops(ctx context.Context, client *rest.Config, typed kubernetes.Interface) error {
	manifests, err := newDeployer(client, n.told.NodeName, config.ManifestsDir, n.disabled)
	if err != nil {
		return err
	}
	traefik := &traefikConfig{dynamic: manifests.dynamic}
	manifests.change = func(name string, objects []*unstructured.Unstructured) error {
		return traefik.change(ctx, name, objects)
	}
	n.loops.Go(func() { manifests.run(ctx) })
	if !n.told.Disabled("servicelb") {
		balancer := &loadBalancer{client: typed, address: n.address, told: map[string]string{}}
		n.loops.Go(func() { balancer.run(ctx) })
	}
	return nil
}
