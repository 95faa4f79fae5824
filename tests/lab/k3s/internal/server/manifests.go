package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

const (
	manifestsEvery = time.Second
	manifestsRetry = 5 * time.Second
	// recordName is the ConfigMap in kube-system that remembers what was applied. It lies in the datastore, so that it
	// is restored together with what it tells of.
	recordName = "k3s-addons"
)

// deployer applies the manifests of a directory by server-side apply, again when they change.
type deployer struct {
	directory string
	manager   string
	dynamic   dynamic.Interface
	mapper    meta.ResettableRESTMapper
	client    kubernetes.Interface
	// disabled are the names of files whose objects are to go.
	disabled []string
	// change adapts the objects of a file before they are applied.
	change func(name string, objects []*unstructured.Unstructured) error

	record map[string]addon
	failed map[string]failed
}

// addon is what the server remembers of a manifest.
type addon struct {
	Hash    string   `json:"hash"`
	Objects []object `json:"objects"`
}

type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

type failed struct {
	hash  string
	again time.Time
}

func newDeployer(client *rest.Config, node, directory string, disabled []string) (*deployer, error) {
	typed, err := kubernetes.NewForConfig(client)
	if err != nil {
		return nil, err
	}
	untyped, err := dynamic.NewForConfig(client)
	if err != nil {
		return nil, err
	}
	return &deployer{
		directory: directory, manager: "deploy@" + node, disabled: disabled,
		client: typed, dynamic: untyped,
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(typed.Discovery())),
		change: func(string, []*unstructured.Unstructured) error { return nil },
		failed: map[string]failed{},
	}, nil
}

func (d *deployer) run(ctx context.Context) {
	every(ctx, manifestsEvery, func(ctx context.Context) {
		if err := d.look(ctx); err != nil && ctx.Err() == nil {
			warnf("manifests: %v", err)
		}
	})
}

// look brings the cluster to what the directory says now.
func (d *deployer) look(ctx context.Context) error {
	if d.record == nil {
		if err := d.recall(ctx); err != nil {
			return err
		}
		if err := d.removeDisabled(ctx); err != nil {
			return err
		}
	}
	files, err := manifests(d.directory)
	if err != nil {
		return err
	}
	for _, path := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, err := filepath.Rel(d.directory, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		objects, err := decode(content)
		if err == nil {
			err = d.change(name, objects)
		}
		hash := hashOf(content, objects)
		last := d.failed[name]
		if d.record[name].Hash == hash || (last.hash == hash && time.Now().Before(last.again)) {
			continue
		}
		if err == nil {
			err = d.deploy(ctx, name, hash, objects)
		}
		if err != nil {
			if last.hash != hash {
				warnf("manifest %s is not applied yet: %v", path, err)
			}
			d.failed[name] = failed{hash, time.Now().Add(manifestsRetry)}
			continue
		}
		delete(d.failed, name)
		logf("applied manifest %s", path)
	}
	return nil
}

// hashOf identifies what is to be applied: the objects as they are after every change, or the text that is none.
func hashOf(content []byte, objects []*unstructured.Unstructured) string {
	sum := sha256.New()
	sum.Write(content)
	for _, one := range objects {
		text, err := json.Marshal(one.Object)
		if err != nil {
			continue // then it cannot be applied either, and that is where it is told
		}
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// manifests returns the files to apply, in the order of their names.
func manifests(directory string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") // as the files that are not completely written
		if entry.IsDir() || hidden || skipped(path) {
			return nil
		}
		if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
			found = append(found, path)
		}
		return nil
	})
	return found, err
}

// decode reads the documents of a manifest; a List gives its items.
func decode(content []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	var objects []*unstructured.Unstructured
	for {
		one := &unstructured.Unstructured{}
		err := decoder.Decode(&one.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(one.Object) == 0 {
			continue
		}
		if !one.IsList() {
			objects = append(objects, one)
			continue
		}
		items, err := one.ToList()
		if err != nil {
			return nil, err
		}
		for index := range items.Items {
			objects = append(objects, &items.Items[index])
		}
	}
}

// deploy applies all objects and removes those that the manifest has named before and no longer names.
func (d *deployer) deploy(ctx context.Context, name, hash string, objects []*unstructured.Unstructured) error {
	now := addon{Hash: hash}
	var problems []error
	for _, one := range objects {
		resource, err := d.resource(one.GroupVersionKind(), one)
		if err == nil {
			_, err = resource.Apply(ctx, one.GetName(), one, metav1.ApplyOptions{FieldManager: d.manager, Force: true})
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s %s: %w", one.GetKind(), one.GetName(), err))
			continue
		}
		now.Objects = append(now.Objects, object{one.GetAPIVersion(), one.GetKind(), one.GetNamespace(), one.GetName()})
	}
	if err := errors.Join(problems...); err != nil {
		d.mapper.Reset() // the kind may come with a definition that another manifest has just brought
		return err
	}
	for _, old := range d.record[name].Objects {
		if !slices.Contains(now.Objects, old) {
			if err := d.remove(ctx, old); err != nil {
				return err
			}
		}
	}
	return d.remember(ctx, name, &now)
}

// resource returns where the object lives, and gives it the default namespace when it needs one and has none.
func (d *deployer) resource(kind schema.GroupVersionKind, one *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	mapping, err := d.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return d.dynamic.Resource(mapping.Resource), nil
	}
	if one.GetNamespace() == "" {
		one.SetNamespace(metav1.NamespaceDefault)
	}
	return d.dynamic.Resource(mapping.Resource).Namespace(one.GetNamespace()), nil
}

func (d *deployer) remove(ctx context.Context, old object) error {
	one := &unstructured.Unstructured{}
	one.SetNamespace(old.Namespace)
	resource, err := d.resource(schema.FromAPIVersionAndKind(old.APIVersion, old.Kind), one)
	if meta.IsNoMatchError(err) {
		return nil // the kind is gone, and its objects with it
	}
	if err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	err = resource.Delete(ctx, old.Name, metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s %s: %w", old.Kind, old.Name, err)
	}
	logf("deleted %s %s", old.Kind, old.Name)
	return nil
}

func (d *deployer) removeDisabled(ctx context.Context) error {
	for _, name := range d.disabled {
		for _, old := range d.record[name].Objects {
			if err := d.remove(ctx, old); err != nil {
				return err
			}
		}
		if err := d.remember(ctx, name, nil); err != nil {
			return err
		}
	}
	return nil
}

func (d *deployer) recall(ctx context.Context) error {
	found, err := d.client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, recordName, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	record := map[string]addon{}
	for key, text := range found.Data {
		var one addon
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			return fmt.Errorf("ConfigMap %s, %s: %w", recordName, key, err)
		}
		record[strings.ReplaceAll(key, "__", "/")] = one
	}
	d.record = record
	return nil
}

// remember writes down what was applied for the file, or that nothing is there any more.
func (d *deployer) remember(ctx context.Context, name string, now *addon) error {
	if _, known := d.record[name]; now == nil && !known {
		return nil
	}
	if now == nil {
		delete(d.record, name)
	} else {
		d.record[name] = *now
	}
	data := map[string]string{}
	for file, one := range d.record {
		text, err := json.Marshal(one)
		if err != nil {
			return err
		}
		data[strings.ReplaceAll(file, "/", "__")] = string(text)
	}
	record := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: recordName, Namespace: metav1.NamespaceSystem}, Data: data,
	}
	maps := d.client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	_, err := maps.Update(ctx, record, metav1.UpdateOptions{FieldManager: d.manager})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(ctx, record, metav1.CreateOptions{FieldManager: d.manager})
	}
	return err
}
