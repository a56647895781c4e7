// Package torchtest has what tests of packages on top of pkg/internal/torch share.
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

// Main runs a package's tests and fails them when tensors are still alive at the end:
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

// Start gives an engine on the CPU that ends with the test. It has one thread, since
// go test runs packages side by side.
func Start(t testing.TB) *torch.Engine {
	t.Helper()
	engine, err := torch.Start(torch.CPU, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	return engine
}

// Tiny are the archives of testdata/models/tiny: real ones with random weights, whose
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

// Resident is the process's memory in bytes.
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

// Threads is how many threads of the operating system the process has.
func Threads(t testing.TB) int {
	t.Helper()
	return status(t, "Threads:")
}

// Within waits until count gives no more than most, and fails the test where that doesn't come about: goroutines and
// threads go a moment after what they did is done.
func Within(t testing.TB, what string, most int, count func() int) {
	t.Helper()
	const patience = 30 * time.Second // of a busy machine
	n := count()
	for deadline := time.Now().Add(patience); n > most && time.Now().Before(deadline); n = count() {
		time.Sleep(time.Millisecond)
	}
	if n > most {
		t.Errorf("%d %s are left, %d may be", n, what, most)
	}
}

// NoMoreGoroutines waits until there are no more goroutines than before, and fails the test where some stay.
func NoMoreGoroutines(t testing.TB, before int) {
	t.Helper()
	Within(t, "goroutines", before, runtime.NumGoroutine)
}

// PeakGrowth is how much more memory than before the process has resident at the most while do runs, in KB.
func PeakGrowth(t testing.TB, do func()) int {
	t.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the peak is that from now on
		t.Fatal(err)
	}
	before := status(t, "VmHWM:")
	do()
	return status(t, "VmHWM:") - before
}

// status is a number of the process's /proc/self/status.
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
