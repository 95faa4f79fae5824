package server

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"railiance.stack/lab/k3s/internal/config"
)

func TestPackagedManifests(t *testing.T) {
	directory := t.TempDir()
	told := config.Config{ClusterDNS: "10.43.0.10", ClusterDomain: "cluster.local"}
	if _, err := writePackaged(told, directory); err != nil {
		t.Fatal(err)
	}
	files, err := manifests(directory)
	if err != nil || len(files) != 4 {
		t.Fatalf("%q %v", files, err)
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "%{") {
			t.Errorf("%s holds a place that was not filled", path)
		}
		if _, err := decode(content); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if strings.Contains(string(content), "name: cluster-admin") {
			t.Errorf("%s asks for everything", path)
		}
	}

	told.Disable = []string{"traefik"}
	disabled, err := writePackaged(told, directory)
	if err != nil || !slices.Equal(disabled, []string{"traefik.yaml"}) {
		t.Errorf("%q %v", disabled, err)
	}
	if err := os.WriteFile(filepath.Join(directory, "coredns.yaml.skip"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var names []string
	files, err = manifests(directory)
	for _, path := range files {
		names = append(names, filepath.Base(path))
	}
	if err != nil || !slices.Equal(names, []string{"helmchartconfig.yaml", "local-storage.yaml"}) {
		t.Errorf("%q %v", names, err)
	}
}

func TestDecodeTakesListsApartAndKeepsTheOrder(t *testing.T) {
	objects, err := decode([]byte(`
# nothing
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}
---
{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c"}}
`))
	var names []string
	for _, one := range objects {
		names = append(names, one.GetKind()+" "+one.GetName())
	}
	if err != nil || !slices.Equal(names, []string{"ConfigMap a", "ConfigMap b", "Secret c"}) {
		t.Errorf("%q %v", names, err)
	}
	if _, err := decode([]byte("a: [")); err == nil {
		t.Error("broken text is taken")
	}
}
