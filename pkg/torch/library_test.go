package torch

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestVersionIsThatOfTheMappedLibrary(t *testing.T) {
	path, err := Library("libtorch_cpu.so")
	if err != nil || !filepath.IsAbs(path) {
		t.Errorf("libtorch_cpu.so is mapped from %q (%v), want a whole path", path, err)
	}
	if v := Version(); !strings.HasPrefix(v, "2.1.") {
		t.Errorf("version %q, want 2.1 with any suffix", v)
	}
	if _, err := Library("libnone.so"); err == nil || !strings.Contains(err.Error(), "libnone.so") {
		t.Errorf("a library that isn't there gives %v, want an error that names it", err)
	}
}
