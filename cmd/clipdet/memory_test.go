//go:build !race

// The race detector's own memory grows with the program's.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestMemoryOfALargePicture compares the peak of a process that does a picture of 16
// million pixels, and draws it, with the peak for a small one. 12 bytes a pixel is the
// bound.
func TestMemoryOfALargePicture(t *testing.T) {
	dir := t.TempDir()
	peak := func(width, height int) int64 {
		path := filepath.Join(dir, fmt.Sprintf("%d.jpg", width))
		if err := os.WriteFile(path, withOrientation(t, slope(width, height), 6), 0o644); err != nil {
			t.Fatal(err)
		}
		child := exec.Command(os.Args[0], "detect", "-q", "dog", "--models", tinyModels, "--proposals", "5", "--text-cache", "", "--pictures", "--overwrite", "-o", dir, path)
		child.Env = append(os.Environ(), asCommand+"=1")
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		usage, ok := child.ProcessState.SysUsage().(*syscall.Rusage)
		if !ok {
			t.Fatal("the peak of the memory isn't known")
		}
		return usage.Maxrss << 10
	}
	const width, height = 5000, 3200
	small, large := peak(60, 40), peak(width, height)
	if perPixel := float64(large-small) / (width * height); perPixel > 12 {
		t.Errorf("%.1f bytes a pixel at the peak, want 12 at most", perPixel)
	} else {
		t.Logf("%.1f bytes a pixel at the peak", perPixel)
	}
}
