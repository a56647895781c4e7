package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
)

// TestLockedModels verifies that locked models work in every command that takes models,
// and in none after a change of one byte.
func TestLockedModels(t *testing.T) {
	t.Setenv("CLIPDET_HOME", t.TempDir())
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "trusted.json")
	if err := os.CopyFS(dir, os.DirFS(tinyModels)); err != nil {
		t.Fatal(err)
	}
	picture, err := filepath.Abs("../../testdata/images/scene-020.jpg")
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(dir, "lock.json")
	code, stdout, stderr := clipdet(t, "models", "lock", dir)
	if code != exit.CodeDone || stderr != "" || strings.Count(stdout, `"sha256"`) != 3 {
		t.Fatalf("lock: exit code %d, stderr %q, want 0, nothing and three files in\n%s", code, stderr, stdout)
	}
	// A second name of the file shows whether it is overwritten or replaced.
	earlier := filepath.Join(t.TempDir(), "earlier.json")
	if err := errors.Join(os.WriteFile(elsewhere, []byte("earlier"), 0o600), os.Link(elsewhere, earlier)); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{beside, elsewhere} {
		code, printed, stderr := clipdet(t, "models", "lock", dir, "--out", out)
		written, err := os.ReadFile(out)
		if code != exit.CodeDone || printed != "" || string(written) != stdout {
			t.Fatalf("lock --out: exit code %d, stdout %q, stderr %q, want 0, nothing and the same file (%v)", code, printed, stderr, err)
		}
	}
	if data, err := os.ReadFile(earlier); string(data) != "earlier" {
		t.Errorf("lock --out wrote into the earlier file (%q, %v), so that a failure would leave half of it", data, err)
	}
	commands := [][]string{
		{"detect", "-q", "dog", "--proposals", "5", "--models", beside, "--text-cache", "", picture},
		{"detect", "-q", "dog", "--proposals", "5", "--models", dir, "--lock", elsewhere, "--text-cache", "", picture},
		{"models", "verify", beside, "--device", "cpu"},
		{"doctor", "--models", dir, "--lock", elsewhere, "--device", "cpu"},
	}
	for _, args := range commands {
		if code, stdout, stderr := clipdet(t, args...); code != exit.CodeDone {
			t.Errorf("%q: exit code %d, want 0: %s%s", args, code, stdout, stderr)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, imageFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, imageFile), flipWeight(t, data), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range commands {
		code, stdout, stderr := clipdet(t, args...)
		if said := stdout + stderr; code != exit.CodeSetup || !strings.Contains(said, "not those of the lock file") || !strings.Contains(said, imageFile) {
			t.Errorf("%q after a change: exit code %d, want %d and the file's name: %s", args, code, exit.CodeSetup, said)
		}
	}
}
