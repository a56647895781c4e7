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
	if v := Version(); !Supported(v) {
		t.Errorf("version %q, want %s to %s with any suffix", v, OldestVersion, NewestVersion)
	}
	if _, err := Library("libnone.so"); err == nil || !strings.Contains(err.Error(), "libnone.so") {
		t.Errorf("a library that isn't there gives %v, want an error that names it", err)
	}
}

func TestSupportedVersions(t *testing.T) {
	for version, want := range map[string]bool{
		"2.1.0": true, "2.1.2+cu121": true, "2.6.0": true, "2.10.0+cpu": true, "2.11.0+cu130": true, SetupVersion: true, OldestVersion: true, NewestVersion: true,
		"2.0.1": false, "2.12.0": false, "2.110.0": false, "1.13.1": false, "3.1.0": false, "2": false, "": false, "v2.1.2": false,
	} {
		if got := Supported(version); got != want {
			t.Errorf("%q: got %t, want %t", version, got, want)
		}
	}
}

func TestDriverNeeded(t *testing.T) {
	for version, want := range map[string]string{
		"2.1.2+cu118": "450.80.02", "2.1.2+cu121": "525.60.13", "2.1.2": "525.60.13", "2.8.0": "525.60.13", "2.11.0+cu128": "525.60.13",
		"2.11.0": "580.65.06", "2.11.0+cu130": "580.65.06",
	} {
		if got := DriverNeeded(version); got != want {
			t.Errorf("libtorch %s: driver %s, want %s", version, got, want)
		}
	}
}
