package server

import (
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"railiance.stack/lab/k3s/internal/config"
	"railiance.stack/lab/k3s/internal/pki"
)

// The components that come with k3s. A file is named as `disable` names its component.
//
//go:embed packaged/*.yaml
var packagedFiles embed.FS

// writePackaged puts the manifests of the packaged components where the server applies manifests from, and takes those
// of disabled components away. It returns the disabled files: what they brought before is to go.
func writePackaged(told config.Config, directory string) (disabled []string, err error) {
	entries, err := packagedFiles.ReadDir("packaged")
	if err != nil {
		return nil, err
	}
	values := strings.NewReplacer(
		"%{CLUSTER_DNS}%", told.ClusterDNS,
		"%{CLUSTER_DOMAIN}%", told.ClusterDomain,
		"%{DEFAULT_LOCAL_STORAGE_PATH}%", config.StorageDir,
	)
	for _, entry := range entries {
		path := filepath.Join(directory, entry.Name())
		if told.Disabled(strings.TrimSuffix(entry.Name(), ".yaml")) {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			disabled = append(disabled, entry.Name())
			continue
		}
		if skipped(path) {
			continue
		}
		content, err := packagedFiles.ReadFile("packaged/" + entry.Name())
		if err != nil {
			return nil, err
		}
		if err := pki.WriteFile(path, []byte(values.Replace(string(content))), 0o600); err != nil {
			return nil, err
		}
	}
	return disabled, nil
}

// skipped tells whether a file "<manifest>.skip" asks to leave the manifest alone.
func skipped(path string) bool {
	_, err := os.Stat(path + ".skip")
	return err == nil
}
