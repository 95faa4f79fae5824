package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// kind says how a setting is written and whether it has an effect here.
type kind int

const (
	text kind = iota
	flag
	list
	without     // a setting of k3s that changes nothing here
	withoutFlag // the same, written without a value on the command line
)

var kinds = map[string]kind{
	"config":                      text,
	"node-name":                   text,
	"node-ip":                     text,
	"node-label":                  list,
	"node-taint":                  list,
	"write-kubeconfig":            text,
	"write-kubeconfig-mode":       text,
	"write-kubeconfig-group":      text,
	"tls-san":                     list,
	"disable":                     list,
	"secrets-encryption":          flag,
	"cluster-init":                flag,
	"cluster-cidr":                text,
	"service-cidr":                text,
	"cluster-dns":                 text,
	"cluster-domain":              text,
	"token":                       text,
	"token-file":                  text,
	"etcd-arg":                    list,
	"kube-apiserver-arg":          list,
	"kube-controller-manager-arg": list,
	"kube-scheduler-arg":          list,
	"kube-proxy-arg":              list,
	"kubelet-arg":                 list,

	"debug":                         withoutFlag,
	"disable-cloud-controller":      withoutFlag,
	"disable-helm-controller":       withoutFlag,
	"disable-network-policy":        withoutFlag,
	"embedded-registry":             withoutFlag,
	"etcd-disable-snapshots":        withoutFlag,
	"etcd-expose-metrics":           withoutFlag,
	"etcd-snapshot-retention":       without,
	"etcd-snapshot-schedule-cron":   without,
	"flannel-backend":               without,
	"kube-cloud-controller-manager": without,
	"prefer-bundled-bin":            withoutFlag,
	"protect-kernel-defaults":       withoutFlag,
	"v":                             without,
}

// settings holds the values of each setting by its name.
type settings map[string][]string

func (s settings) text(name string) string {
	if values := s[name]; len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

func (s settings) textOr(name, otherwise string) string {
	if value := s.text(name); value != "" {
		return value
	}
	return otherwise
}

// split returns a list whose entries may themselves be written "a,b".
func (s settings) split(name string) []string {
	var all []string
	for _, value := range s[name] {
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

// fromArguments reads "--name value", "--name=value" and "--flag"; it returns the settings and what is none.
func fromArguments(arguments []string) (settings, []string, error) {
	found := settings{}
	var rest []string
	for len(arguments) > 0 {
		argument := arguments[0]
		arguments = arguments[1:]
		if argument == "-c" {
			argument = "--config"
		}
		name, isSetting := strings.CutPrefix(argument, "--")
		if !isSetting {
			rest = append(rest, argument)
			continue
		}
		name, value, hasValue := strings.Cut(name, "=")
		switch what := kinds[name]; {
		case hasValue:
		case what == flag || what == withoutFlag:
			value = "true"
		case len(arguments) == 0:
			return nil, nil, fmt.Errorf("--%s wants a value", name)
		default:
			value, arguments = arguments[0], arguments[1:]
		}
		found[name] = append(found[name], value)
	}
	return found, rest, nil
}

// fromFiles reads the file and the *.yaml files of the directory "<file>.d" in the order of their names. A file that
// does not exist says nothing.
func fromFiles(file string) (settings, error) {
	more, err := filepath.Glob(file + ".d/*.y*ml")
	if err != nil {
		return nil, err
	}
	slices.Sort(more)
	merged := settings{}
	for _, path := range append([]string{file}, more...) {
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := merged.merge(content); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return merged, nil
}

// merge takes the settings of one file over those of the files before; "name+" adds to a list instead of replacing it.
func (s settings) merge(content []byte) error {
	var document map[string]any
	if err := yaml.Unmarshal(content, &document); err != nil {
		return err
	}
	for _, written := range slices.Sorted(maps.Keys(document)) {
		name, adds := strings.CutSuffix(written, "+")
		values, err := valuesOf(document[written])
		if err != nil {
			return fmt.Errorf("%s: %w", written, err)
		}
		if adds {
			values = append(slices.Clone(s[name]), values...)
		}
		s[name] = values
	}
	return nil
}

func valuesOf(value any) ([]string, error) {
	switch value := value.(type) {
	case nil:
		return nil, nil
	case []any:
		var values []string
		for _, one := range value {
			inner, err := valuesOf(one)
			if err != nil {
				return nil, err
			}
			values = append(values, inner...)
		}
		return values, nil
	case map[string]any:
		return nil, errors.New("a mapping where a value or a list belongs")
	default:
		return []string{fmt.Sprint(value)}, nil
	}
}
