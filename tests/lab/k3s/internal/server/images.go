package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"railiance.stack/lab/k3s/internal/config"
	"railiance.stack/lab/k3s/internal/pki"
)

const (
	imagesRecord  = agentEtc + "/imported-images.json"
	imagesEvery   = time.Second
	importRetries = time.Minute
)

// fileState tells whether a file is still the one that was looked at before.
type fileState struct {
	Size     int64 `json:"size"`
	Modified int64 `json:"modified"`
}

// imported is what the server remembers of an archive.
type imported struct {
	fileState
	Images []string `json:"images"`
}

// images brings the archives of agent/images into containerd: those that are there at the start, and later those that
// appear or change. A file that is still being written is left alone until it keeps its size.
type images struct {
	directory string
	record    string
	run       func(ctx context.Context, arguments ...string) (string, error)

	done   map[string]imported
	seen   map[string]fileState
	failed map[string]failure
}

type failure struct {
	fileState
	again time.Time
}

func newImages(ctr string) *images {
	return &images{
		directory: config.ImagesDir, record: imagesRecord, run: ctrRunner(ctr),
		done: map[string]imported{}, seen: map[string]fileState{}, failed: map[string]failure{},
	}
}

func ctrRunner(ctr string) func(context.Context, ...string) (string, error) {
	return func(ctx context.Context, arguments ...string) (string, error) {
		arguments = append([]string{"--address", config.ContainerdSocket, "--namespace", config.ContainerdNamespace}, arguments...)
		cmd := exec.CommandContext(ctx, ctr, arguments...)
		var said, complained bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &complained
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(complained.String()))
		}
		return said.String(), nil
	}
}

// preload imports everything that is there at the start and has not been imported before.
func (i *images) preload(ctx context.Context) error {
	if err := i.recall(ctx); err != nil {
		return err
	}
	archives, err := i.archives()
	if err != nil {
		return err
	}
	i.seen = archives // a file that lay here before the server started is complete
	i.importNew(ctx, archives)
	return nil
}

// watch imports what appears afterwards.
func (i *images) watch(ctx context.Context) {
	every(ctx, imagesEvery, func(ctx context.Context) {
		archives, err := i.archives()
		if err != nil {
			warnf("images: %v", err)
			return
		}
		i.importNew(ctx, archives)
		i.seen = archives
	})
}

// recall reads what earlier starts have imported, and forgets the archives whose images containerd no longer has.
func (i *images) recall(ctx context.Context) error {
	content, err := os.ReadFile(i.record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, &i.done); err != nil {
		return fmt.Errorf("%s: %w", i.record, err)
	}
	said, err := i.run(ctx, "images", "list", "--quiet")
	if err != nil {
		return err
	}
	there := strings.Fields(said)
	for path, one := range i.done {
		if slices.ContainsFunc(one.Images, func(name string) bool { return !slices.Contains(there, name) }) {
			delete(i.done, path)
		}
	}
	return nil
}

// archives returns the image archives that are there now.
func (i *images) archives() (map[string]fileState, error) {
	entries, err := os.ReadDir(i.directory)
	if err != nil {
		return nil, err
	}
	found := map[string]fileState{}
	for _, entry := range entries {
		if !isArchive(entry.Name()) {
			continue
		}
		path := filepath.Join(i.directory, entry.Name())
		info, err := os.Stat(path) // it may be a link
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found[path] = fileState{info.Size(), info.ModTime().UnixNano()}
	}
	return found, nil
}

func isArchive(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.ContainsFunc([]string{".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"},
		func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

func (i *images) importNew(ctx context.Context, archives map[string]fileState) {
	for _, path := range sortedKeys(archives) {
		now := archives[path]
		if i.done[path].fileState == now || i.seen[path] != now {
			continue
		}
		if last := i.failed[path]; last.fileState == now && time.Now().Before(last.again) {
			continue
		}
		began := time.Now()
		names, err := i.load(ctx, path)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			warnf("import of images from %s: %v", path, err)
			i.failed[path] = failure{now, time.Now().Add(importRetries)}
			continue
		}
		logf("imported %s from %s in %.1fs", strings.Join(names, ", "), path, time.Since(began).Seconds())
		i.done[path] = imported{now, names}
		if err := i.remember(); err != nil {
			warnf("images: %v", err)
		}
	}
}

// unpacked finds the names in what `ctr images import` says: "unpacking docker.io/a/b:c (sha256:...)...done".
var unpacked = regexp.MustCompile(`(?m)^unpacking (\S+) \(sha256:`)

// load imports one archive and keeps the kubelet from collecting its images: nobody could pull them again.
func (i *images) load(ctx context.Context, path string) ([]string, error) {
	said, err := i.run(ctx, "images", "import", "--local", path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, match := range unpacked.FindAllStringSubmatch(said, -1) {
		if names = append(names, match[1]); strings.Contains(match[1], "@sha256:") {
			continue
		}
		if _, err := i.run(ctx, "images", "label", match[1], "io.cri-containerd.pinned=pinned", "io.cattle.k3s.pinned=pinned"); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no image with a name in it; ctr said %q", said)
	}
	return names, nil
}

func (i *images) remember() error {
	content, err := json.MarshalIndent(i.done, "", "  ")
	if err != nil {
		return err
	}
	return pki.WriteFile(i.record, content, 0o644)
}
