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

// TestFinderTakesNamesOfOtherSystems has names as tools of other systems write them.
func TestFinderTakesNamesOfOtherSystems(t *testing.T) {
	t.Chdir(t.TempDir())
	const composed, apart = "caf\u00e9.png", "the\u0301.png" // each file in one form
	for _, name := range []string{"train/a b.png", "train/100%.png", "train/" + composed, "train/" + apart, "val/B.JPG", `val/odd\name.png`} {
		path := filepath.Join("pictures", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	find := finder{dir: "pictures"}
	for name, want := range map[string]string{
		"train/a b.png":                  "train/a b.png",
		`train\a b.png`:                  "train/a b.png",
		`C:\data\train\a b.png`:          "train/a b.png",
		"train/a%20b.png":                "train/a b.png",
		`train\a%20b.png`:                "train/a b.png",
		"train/100%.png":                 "train/100%.png",
		here + "/pictures/train/a b.png": "train/a b.png",
		"/home/someone/train/a b.png":    "train/a b.png",
		"../images/a b.png":              "train/a b.png",
		"train/cafe\u0301.png":           "train/" + composed,
		"train/th\u00e9.png":             "train/" + apart,
		"elsewhere/cafe\u0301.png":       "train/" + composed,
		"val/b.jpg":                      "val/B.JPG",
		`val/odd\name.png`:               `val/odd\name.png`,
		"http://a.example/x/y/a%20b.png": "train/a b.png",
	} {
		if path, err := find.find(name); err != nil || path != filepath.Join("pictures", want) {
			t.Errorf("%s: got %q (%v), want %s", name, path, err, want)
		}
	}
}

func FuzzFinder(f *testing.F) {
	for _, name := range []string{"a.png", `x\a.png`, "%2e%2e/secret.png", "../secret.png", "/etc/passwd", "a%2F..%2F..%2Fsecret.png", "\x00", ".", ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		dir := t.TempDir()
		inside := filepath.Join(dir, "in")
		if err := errors.Join(os.Mkdir(inside, 0o755), os.WriteFile(filepath.Join(dir, "secret.png"), nil, 0o644),
			os.WriteFile(filepath.Join(inside, "a.png"), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		find := finder{dir: inside}
		path, err := find.find(name)
		if err != nil {
			return
		}
		if rest, err := filepath.Rel(inside, path); err != nil || !filepath.IsLocal(rest) {
			t.Fatalf("%q is found at %s, out of %s", name, path, inside)
		}
	})
}
