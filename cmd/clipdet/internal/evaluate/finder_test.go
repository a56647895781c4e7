package evaluate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFinderThatCannotLook has a directory that is so deep that its path is too long.
// Every search must fail, not only the first.
func TestFinderThatCannotLook(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	deep := strings.Repeat(strings.Repeat("d", 200)+"/", 25)
	if err := errors.Join(root.MkdirAll(deep, 0o755), root.WriteFile("a.png", nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	find := finder{dir: dir}
	for _, name := range []string{"x/a.png", "x/a.png", "x/b.png"} {
		if path, err := find.find(name); !errors.Is(err, syscall.ENAMETOOLONG) {
			t.Errorf("%s: got %q and %v, want what kept it from looking", name, path, err)
		}
	}
}

func TestFinder(t *testing.T) {
	t.Chdir(t.TempDir())
	outside := filepath.Join(t.TempDir(), "secret.png")
	if err := errors.Join(os.MkdirAll("pictures/below", 0o755), os.WriteFile(outside, nil, 0o644),
		os.WriteFile("pictures/twice.png", nil, 0o644), os.WriteFile("pictures/below/twice.png", nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	up, err := filepath.Rel("pictures", outside)
	if err != nil {
		up = outside
	}
	for i, name := range []string{up, "../secret.png", outside, "a/../../secret.png", "twice.png", "other/twice.png"} {
		find := finder{dir: "pictures"}
		path, err := find.find(name)
		switch {
		case i < 4 && (err == nil || !strings.Contains(err.Error(), "leads out")):
			t.Errorf("%s: got %q (%v), want a refusal", name, path, err)
		case i == 4 && path != "pictures/twice.png":
			t.Errorf("%s: got %q (%v)", name, path, err)
		case i == 5 && (err == nil || !strings.Contains(err.Error(), "may be")):
			t.Errorf("%s: got %q (%v), want both places named", name, path, err)
		}
	}
}
