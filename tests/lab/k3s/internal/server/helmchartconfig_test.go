package server

import (
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestTraefikArguments(t *testing.T) {
	got, err := traefikArguments(`
additionalArguments: ["--accesslog=true"]
ports:
  websecure:
    transport:
      respondingTimeouts: {readTimeout: 600s, idleTimeout: 0}
  web:
    http:
      redirections:
        entryPoint: {to: websecure, scheme: https, permanent: true}
`)
	want := []string{
		"--accesslog=true",
		"--entryPoints.web.http.redirections.entryPoint.to=:443",
		"--entryPoints.web.http.redirections.entryPoint.scheme=https",
		"--entryPoints.web.http.redirections.entryPoint.permanent=true",
		"--entryPoints.websecure.transport.respondingTimeouts.idleTimeout=0",
		"--entryPoints.websecure.transport.respondingTimeouts.readTimeout=600s",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v", got, err)
	}
}

func TestTraefikArgumentsRefusesWhatItWouldIgnore(t *testing.T) {
	if _, err := traefikArguments("deployment: {replicas: 2}"); err == nil || !strings.Contains(err.Error(), `unknown field "deployment"`) {
		t.Errorf("%v", err)
	}
}

func TestArgumentsAreAddedToThePackagedTraefik(t *testing.T) {
	content, err := os.ReadFile("packaged/traefik.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := decode(content)
	if err != nil {
		t.Fatal(err)
	}
	index := slices.IndexFunc(objects, func(one *unstructured.Unstructured) bool { return one.GetKind() == "Deployment" })
	if index < 0 {
		t.Fatal("no Deployment")
	}
	if err := addArguments(objects[index], []string{"--accesslog=true"}); err != nil {
		t.Fatal(err)
	}
	containers, _, _ := unstructured.NestedSlice(objects[index].Object, "spec", "template", "spec", "containers")
	container, _ := containers[0].(map[string]any)
	all, _, _ := unstructured.NestedStringSlice(container, "args")
	if len(all) < 2 || all[len(all)-1] != "--accesslog=true" || all[0] != "--global.checkNewVersion=false" {
		t.Errorf("%q", all)
	}
}
