package payload

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func packed(t *testing.T, name, content string) *bytes.Reader {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(zipped)
	if err := archive.WriteHeader(&tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	if err := archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(buffer.Bytes())
}

func TestExtractUnpacksOnceAndFollowsTheNewest(t *testing.T) {
	directory := t.TempDir()
	first, err := Extract(packed(t, "bin/ctr", "one"), directory)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(first, "ctr")
	if info, err := os.Stat(program); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v %v", info, err)
	}
	before, _ := os.Stat(program)
	if again, err := Extract(packed(t, "bin/ctr", "one"), directory); err != nil || again != first {
		t.Errorf("%s %v", again, err)
	}
	if after, _ := os.Stat(program); !os.SameFile(before, after) {
		t.Error("the program was unpacked twice")
	}
	second, err := Extract(packed(t, "bin/ctr", "two"), directory)
	if err != nil || second == first {
		t.Errorf("%s %v", second, err)
	}
	if content, err := os.ReadFile(filepath.Join(directory, "data/current/bin/ctr")); err != nil || string(content) != "two" {
		t.Errorf("current: %q %v", content, err)
	}
}

func TestExtractLeavesNothingOfABrokenArchive(t *testing.T) {
	directory := t.TempDir()
	for want, archive := range map[string]*bytes.Reader{
		"leads out of the archive": packed(t, "bin/../../../ctr", "x"),
		"gzip: invalid header":     bytes.NewReader([]byte("no archive at all")),
	} {
		if _, err := Extract(archive, directory); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(directory, "data")); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", entries, err)
	}
}
