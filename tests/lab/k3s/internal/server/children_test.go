package server

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheEndOfAChildIsTold(t *testing.T) {
	all := newChildren()
	defer all.stop()
	if err := all.start("/bin/sh", stageClients, os.Stderr, "-c", "exit 3"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-all.failed:
		if !strings.Contains(err.Error(), "exit status 3") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody told")
	}
}

func TestStopEndsTheStagesInOrder(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	all := newChildren()
	record := filepath.Join(t.TempDir(), "ends")
	for stage, name := range []string{"client", "api", "base"} {
		ready := filepath.Join(t.TempDir(), name)
		script := `trap 'echo ` + name + ` >>"$0"; exit 0' TERM; : >` + ready + `; while :; do sleep 0.05; done`
		if err := all.start(sh, stage, os.Stderr, "-c", script, record); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(ready); err == nil {
				break
			} else if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	all.stop()
	if content, err := os.ReadFile(record); err != nil || string(content) != "client\napi\nbase\n" {
		t.Errorf("%q %v", content, err)
	}
	if len(all.failed) != 0 {
		t.Error("an end that was wanted was told as a failure")
	}
	if all.start(sh, 0, os.Stderr, "-c", "true") == nil {
		t.Error("a stopped server starts processes")
	}
}
