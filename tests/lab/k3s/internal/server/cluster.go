package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"railiance.stack/lab/k3s/internal/config"
)

// clientConfig returns how this program itself talks to the API server.
func clientConfig() (*rest.Config, error) {
	made, err := clientcmd.BuildConfigFromFlags("", adminKubeconfig)
	if err != nil {
		return nil, err
	}
	made.QPS, made.Burst = 50, 100
	made.UserAgent = "k3s-supervisor"
	return made, nil
}

// apiReady waits until the API server says that it is ready, its default roles included.
func apiReady(ctx context.Context, client kubernetes.Interface) error {
	return poll(ctx, "the API server to be ready", func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// kubeletHealthy waits until the kubelet works: the node's object may be one of an earlier start.
func kubeletHealthy(ctx context.Context) error {
	return poll(ctx, "the kubelet to be healthy", func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:10248/healthz", nil)
		if err != nil {
			return err
		}
		answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	})
}

// nodeRegistered waits for the node's object and gives it the roles that a node may not give itself.
func nodeRegistered(ctx context.Context, client kubernetes.Interface, told config.Config) error {
	if err := poll(ctx, "the kubelet to register the node", func(ctx context.Context) error {
		_, err := client.CoreV1().Nodes().Get(ctx, told.NodeName, metav1.GetOptions{})
		return err
	}); err != nil {
		return err
	}
	labels := map[string]string{
		"node-role.kubernetes.io/control-plane": "true",
		"node.kubernetes.io/instance-type":      "k3s",
	}
	if told.ClusterInit {
		labels["node-role.kubernetes.io/etcd"] = "true"
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}})
	if err != nil {
		return err
	}
	if _, err := client.CoreV1().Nodes().Patch(ctx, told.NodeName, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("label the node: %w", err)
	}
	return nil
}

func sortedKeys[V any](values map[string]V) []string { return slices.Sorted(maps.Keys(values)) }
