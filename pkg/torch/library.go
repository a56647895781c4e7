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

// Library gives the file from which this process has a library, such as
// "libtorch_cpu.so": what the system's linker mapped is what really runs.
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

var versionNumber = regexp.MustCompile(`\d+\.\d+\.\d+[+\w]*`)

// Version is that of the libtorch that runs, such as "2.1.2" or "2.1.2+cu121", and ""
// where it can't be seen. libtch has no function for it, so it is read from beside the
// library: build-version in libtorch's own packages, version.py in torch's wheels.
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
