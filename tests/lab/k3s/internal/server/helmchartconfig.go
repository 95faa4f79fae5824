package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// traefikConfig changes the packaged Traefik as a HelmChartConfig asks for. There is no Helm in here: what k3s gives to
// Traefik's chart as values is read by hand, as far as values goes.
type traefikConfig struct {
	dynamic dynamic.Interface
	told    string
}

// values is the part of the chart's values that has an effect.
type values struct {
	AdditionalArguments []string              `json:"additionalArguments"`
	Ports               map[string]portValues `json:"ports"`
}

type portValues struct {
	Transport struct {
		RespondingTimeouts map[string]any `json:"respondingTimeouts"`
	} `json:"transport"`
	HTTP struct {
		Redirections struct {
			EntryPoint *redirection `json:"entryPoint"`
		} `json:"redirections"`
	} `json:"http"`
}

type redirection struct {
	To        string `json:"to"`
	Scheme    string `json:"scheme"`
	Permanent bool   `json:"permanent"`
}

var helmChartConfigs = schema.GroupVersionResource{Group: "helm.cattle.io", Version: "v1", Resource: "helmchartconfigs"}

// change adds the arguments to Traefik's container when the file is Traefik's.
func (t *traefikConfig) change(ctx context.Context, name string, objects []*unstructured.Unstructured) error {
	if name != "traefik.yaml" {
		return nil
	}
	found, err := t.dynamic.Resource(helmChartConfigs).Namespace(metav1.NamespaceSystem).Get(ctx, "traefik", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // neither the object nor, at first, its kind
	}
	if err != nil {
		return err
	}
	content, _, err := unstructured.NestedString(found.Object, "spec", "valuesContent")
	if err != nil {
		return err
	}
	arguments, err := traefikArguments(content)
	if err != nil {
		if t.told != err.Error() {
			t.told = err.Error()
			warnf("HelmChartConfig traefik has no effect: %v", err)
		}
		return nil // Traefik itself must not wait for it
	}
	for _, one := range objects {
		if one.GetKind() == "Deployment" {
			return addArguments(one, arguments)
		}
	}
	return nil
}

func addArguments(deployment *unstructured.Unstructured, arguments []string) error {
	path := []string{"spec", "template", "spec", "containers"}
	containers, _, err := unstructured.NestedSlice(deployment.Object, path...)
	if err != nil || len(containers) == 0 {
		return fmt.Errorf("Deployment %s has no containers: %w", deployment.GetName(), err)
	}
	container, isMap := containers[0].(map[string]any)
	if !isMap {
		return fmt.Errorf("Deployment %s: a container is no mapping", deployment.GetName())
	}
	all, _, err := unstructured.NestedStringSlice(container, "args")
	if err != nil {
		return err
	}
	if err := unstructured.SetNestedStringSlice(container, append(all, arguments...), "args"); err != nil {
		return err
	}
	return unstructured.SetNestedSlice(deployment.Object, containers, path...)
}

// traefikArguments translates the chart's values into Traefik's arguments. A value that would have an effect with the
// chart and has none here is an error.
func traefikArguments(content string) ([]string, error) {
	var told values
	if err := yaml.UnmarshalStrict([]byte(content), &told); err != nil {
		return nil, err
	}
	arguments := slices.Clone(told.AdditionalArguments)
	for _, port := range slices.Sorted(maps.Keys(told.Ports)) {
		prefix := "--entryPoints." + port
		timeouts := told.Ports[port].Transport.RespondingTimeouts
		for _, name := range slices.Sorted(maps.Keys(timeouts)) {
			arguments = append(arguments, fmt.Sprintf("%s.transport.respondingTimeouts.%s=%v", prefix, name, timeouts[name]))
		}
		if to := told.Ports[port].HTTP.Redirections.EntryPoint; to != nil {
			// By number, for the entry point's own port is not the one that the world sees.
			target := strings.NewReplacer("websecure", ":443", "web", ":80").Replace(to.To)
			redirect := prefix + ".http.redirections.entryPoint"
			arguments = append(arguments, redirect+".to="+target)
			if to.Scheme != "" {
				arguments = append(arguments, redirect+".scheme="+to.Scheme)
			}
			arguments = append(arguments, fmt.Sprintf("%s.permanent=%t", redirect, to.Permanent))
		}
	}
	return arguments, nil
}
