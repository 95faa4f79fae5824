package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeContainerd stands in for containerd: it knows the images of the archives by the archives' content.
type fakeContainerd struct {
	images []string
	calls  []string
	broken bool
}

func (r *fakeContainerd) run(_ context.Context, arguments ...string) (string, error) {
	r.calls = append(r.calls, strings.Join(arguments[:2], " "))
	switch arguments[1] {
	case "list":
		return strings.Join(r.images, "\n"), nil
	case "import":
		if r.broken {
			return "", errors.New("unexpected EOF")
		}
		content, err := os.ReadFile(arguments[len(arguments)-1])
		if err != nil {
			return "", err
		}
		r.images = append(r.images, string(content))
		return "unpacking " + string(content) + " (sha256:0123)...done\n", nil
	}
	return "", nil
}

func (r *fakeContainerd) imports() int {
	count := 0
	for _, call := range r.calls {
		if call == "images import" {
			count++
		}
	}
	return count
}

func TestImages(t *testing.T) {
	ctx := context.Background()
	directory := t.TempDir()
	record := filepath.Join(t.TempDir(), "record.json")
	there := &fakeContainerd{}
	start := func() *images {
		made := newImages("")
		made.directory, made.record, made.run = directory, record, there.run
		if err := made.preload(ctx); err != nil {
			t.Fatal(err)
		}
		return made
	}
	put := func(name, image string) {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(image), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look := func(one *images) {
		archives, err := one.archives()
		if err != nil {
			t.Fatal(err)
		}
		one.importNew(ctx, archives)
		one.seen = archives
	}
	imports := func(want int, when string) {
		t.Helper()
		if got := there.imports(); got != want {
			t.Errorf("%s: %d imports, not %d", when, got, want)
		}
	}

	put("a.tar", "docker.io/library/a:1")
	put("notes.txt", "nothing")
	first := start()
	imports(1, "first start")
	if !slices.Contains(there.calls, "images label") {
		t.Error("the image is not kept from the garbage collector")
	}
	start()
	imports(1, "second start")

	put("b.tar", "docker.io/library/b:1")
	look(first)
	imports(1, "a file that may still grow")
	look(first)
	imports(2, "a file that has stopped growing")
	look(first)
	imports(2, "nothing new")

	there.images = there.images[:1]
	start()
	imports(3, "an image was removed")

	there.broken = true
	put("c.tar", "docker.io/library/c:1")
	look(first)
	look(first)
	imports(4, "a broken archive")
	look(first)
	imports(4, "a broken archive is not tried all the time")
}
