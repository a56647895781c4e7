package torch

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// Library returns the path of a library, such as "libtorch_cpu.so", that the system's
// linker has mapped into this process. That is the library that runs.
func Library(name string) (string, error) {
	file, err := os.Open("/proc/self/maps")
	if err != nil {
		return "", err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if at := strings.IndexByte(lines.Text(), '/'); at >= 0 && filepath.Base(lines.Text()[at:]) == name {
			return lines.Text()[at:], nil
		}
	}
	return "", cmp.Or(lines.Err(), fmt.Errorf("no %s among the mapped files", name))
}

// The releases of libtorch that clipdet supports, as setup-libtorch.sh does.
const (
	OldestVersion = "2.1"
	NewestVersion = "2.11"
	// SetupVersion is the release that setup-libtorch.sh installs by default.
	SetupVersion = "2.11.0"
)

// Supported reports whether clipdet supports a version of libtorch, such as
// "2.1.2+cu121".
func Supported(version string) bool {
	major, minor, ok := release(version)
	_, oldest, _ := release(OldestVersion)
	_, newest, _ := release(NewestVersion)
	return ok && major == 2 && oldest <= minor && minor <= newest
}

// release returns the first two numbers of a version.
func release(version string) (major, minor int, ok bool) {
	n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor) // n is the number of numbers
	return major, minor, n == 2
}

// DriverNeeded returns the oldest NVIDIA driver for Linux that runs the CUDA of a version
// of libtorch, by the table "CUDA Toolkit and Minimum Required Driver Version for CUDA
// Minor Version Compatibility" in NVIDIA's release notes of CUDA 11.8, 12.9 and 13.0. A
// version that doesn't name its CUDA has the CUDA of PyPI's wheels.
func DriverNeeded(version string) string {
	_, local, _ := strings.Cut(version, "+")
	_, minor, _ := release(version)
	switch {
	case strings.HasPrefix(local, "cu11"):
		return "450.80.02"
	case strings.HasPrefix(local, "cu12"), !strings.HasPrefix(local, "cu") && minor < 11:
		return "525.60.13"
	}
	return "580.65.06"
}

var versionNumber = regexp.MustCompile(`\d+\.\d+\.\d+[+\w]*`)

// Version returns the version of the libtorch that runs, such as "2.1.2" or
// "2.1.2+cu121", or "" if it is unknown. libtch has no function for it, so Version reads
// a file near the library: build-version in libtorch's own packages, version.py in
// torch's wheels.
var Version = sync.OnceValue(func() string {
	library, err := Library("libtorch_cpu.so")
	if err != nil {
		return ""
	}
	for _, name := range []string{"build-version", "version.py"} {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(library), "..", name))
		if err != nil {
			continue
		}
		if v := versionNumber.Find(data); v != nil {
			return string(v)
		}
	}
	return ""
})
