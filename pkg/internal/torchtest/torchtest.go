// Package torchtest has helpers for tests of the packages on top of pkg/internal/torch.
package torchtest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// Main runs a package's tests, and fails if tensors are still alive after them:
//
//	func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	if n := torch.Live(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d tensors are still alive after all tests\n", n)
		return 1
	}
	return code
}

// Start returns an engine on the CPU, which is closed after the test. It has one thread,
// since go test runs packages side by side.
func Start(t testing.TB) *torch.Engine {
	t.Helper()
	engine, err := torch.Start(torch.CPU, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	return engine
}

// Tiny returns the archives of testdata/models/tiny. They have random weights; their
// answers mean nothing and are always the same.
func Tiny(t testing.TB) archive.Files {
	t.Helper()
	files, err := archive.Dir(Testdata(t, "models", "tiny")).Resolve(t.Context(), archive.Auto)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Testdata returns the path of a file or folder of testdata.
func Testdata(t testing.TB, names ...string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(append([]string{filepath.Dir(here), "..", "..", "..", "testdata"}, names...)...)
}

// Resident returns the resident memory of the process in bytes.
func Resident(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// Threads returns the number of threads of the operating system that the process has.
func Threads(t testing.TB) int {
	t.Helper()
	return status(t, "Threads:")
}

// Within waits until count returns at most most, and fails the test if it doesn't.
// Goroutines and threads end a moment after their work is done.
func Within(t testing.TB, what string, most int, count func() int) {
	t.Helper()
	const patience = 30 * time.Second // for a busy machine
	n := count()
	for deadline := time.Now().Add(patience); n > most && time.Now().Before(deadline); n = count() {
		time.Sleep(time.Millisecond)
	}
	if n > most {
		t.Errorf("%d %s are left, %d may be", n, what, most)
	}
}

// NoMoreGoroutines waits until there are no more goroutines than before, and fails the
// test if some remain.
func NoMoreGoroutines(t testing.TB, before int) {
	t.Helper()
	Within(t, "goroutines", before, runtime.NumGoroutine)
}

// PeakGrowth returns by how many KB the resident memory of the process grows at most
// while do runs.
func PeakGrowth(t testing.TB, do func()) int {
	t.Helper()
	// This resets VmHWM, the peak of the resident memory.
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	before := status(t, "VmHWM:")
	do()
	return status(t, "VmHWM:") - before
}

// Peak returns the largest resident memory of the process, in KB, since its start or the
// latest PeakGrowth.
func Peak(t testing.TB) int {
	t.Helper()
	return status(t, "VmHWM:")
}

// status returns a number of /proc/self/status.
func status(t testing.TB, name string) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), name)
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
