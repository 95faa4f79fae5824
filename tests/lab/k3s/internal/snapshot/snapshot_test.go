package snapshot

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func snapshotOf(content []byte) []byte {
	sum := sha256.Sum256(content)
	return append(bytes.Clone(content), sum[:]...)
}

func TestReceiveChecksTheSum(t *testing.T) {
	good := snapshotOf(bytes.Repeat([]byte("etcd"), 512))
	var copied bytes.Buffer
	if err := receive(&copied, iotest.OneByteReader(bytes.NewReader(good))); err != nil || !bytes.Equal(copied.Bytes(), good) {
		t.Errorf("a good snapshot: %v", err)
	}
	broken := bytes.Clone(good)
	broken[7] ^= 1
	for name, content := range map[string][]byte{"changed": broken, "cut": good[:len(good)-512], "empty": nil} {
		if err := receive(&bytes.Buffer{}, bytes.NewReader(content)); err == nil || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestList(t *testing.T) {
	directory := t.TempDir()
	for _, name := range []string{"on-demand-node1-1", ".incoming-2"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte("12345"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var output bytes.Buffer
	if err := list(directory, &output); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(output.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], "file://"+directory+"/on-demand-node1-1 5 ") {
		t.Errorf("%q", lines)
	}
}

func TestUnknownVerbsAreRefused(t *testing.T) {
	if err := Run([]string{"prune"}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "knows save and ls") {
		t.Errorf("%v", err)
	}
}
