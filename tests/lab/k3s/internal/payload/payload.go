// Package payload unpacks the programs that k3s carries.
package payload

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Extract unpacks the archive (a tar.gz whose programs lie in bin/) below dataDir and returns the directory of the
// programs, <dataDir>/data/<hash>/bin. What an earlier start has unpacked is used as it is. The link data/current
// follows the newest.
func Extract(archive io.ReadSeeker, dataDir string) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, archive); err != nil {
		return "", err
	}
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	root := filepath.Join(dataDir, "data")
	target := filepath.Join(root, hex.EncodeToString(sum.Sum(nil)))
	if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) {
		if err := unpack(archive, root, target); err != nil {
			return "", fmt.Errorf("unpack the container runtime: %w", err)
		}
	} else if err != nil {
		return "", err
	}
	if err := link(filepath.Base(target), filepath.Join(root, "current")); err != nil {
		return "", err
	}
	return filepath.Join(target, "bin"), nil
}

// unpack writes beside the target and renames, so that a directory with the target's name is always complete.
func unpack(archive io.Reader, root, target string) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(root, ".incoming-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	unzipped, err := gzip.NewReader(archive)
	if err != nil {
		return err
	}
	packed := tar.NewReader(unzipped)
	for {
		header, err := packed.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(header.Name) {
			return fmt.Errorf("%q leads out of the archive", header.Name)
		}
		if err := write(packed, header, filepath.Join(work, header.Name)); err != nil {
			return err
		}
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	if err := os.Rename(work, target); err != nil && !errors.Is(err, os.ErrExist) {
		return err // another k3s command may have been quicker: then the target is there
	}
	return nil
}

func write(content io.Reader, header *tar.Header, path string) error {
	switch header.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(path, 0o755)
	case tar.TypeReg:
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, header.FileInfo().Mode().Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content)
		return errors.Join(err, file.Close())
	}
	return fmt.Errorf("%s is neither a file nor a directory", header.Name)
}

// link points the symbolic link at the target, in one step for those who read it.
func link(target, path string) error {
	if now, err := os.Readlink(path); err == nil && now == target {
		return nil
	}
	work := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Symlink(target, work); err != nil {
		return err
	}
	return os.Rename(work, path)
}
