package bench

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/clipdet/clipdet/pkg/device"
)

// machine is the machine that the figures are of.
type machine struct {
	CPU     string   `json:"cpu"`
	Cores   int      `json:"cores"`   // usable by this process
	Threads int      `json:"threads"` // of one operation
	Memory  int64    `json:"memory_bytes"`
	Device  string   `json:"device"` // name of the measured device
	GPU     *gpuName `json:"gpu"`    // nil: no GPU was measured
}

type gpuName struct {
	Name   string `json:"name"`
	Memory int64  `json:"memory_bytes"`
}

func thisMachine(name string, threads int) machine {
	m := machine{CPU: device.CPU(), Cores: runtime.GOMAXPROCS(0), Threads: threads, Device: name}
	if threads == 0 {
		m.Threads = device.Threads()
	}
	m.Memory = bytesOf(procFile("/proc/meminfo")["MemTotal"])
	if name != "cpu" {
		m.GPU = &gpuName{Name: "unknown"}
		if gpu, err := device.Inspect(name); err == nil {
			m.GPU = &gpuName{gpu.Name, gpu.Memory}
		}
	}
	return m
}

// procFile reads a file of lines "name: value". It returns no values if the file can't be
// read.
func procFile(path string) map[string]string {
	values := map[string]string{}
	file, err := os.Open(path)
	if err != nil {
		return values
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return values
}

// bytesOf returns the bytes of "123 kB", or 0 for any other text.
func bytesOf(text string) int64 {
	var kB int64
	if n, _ := fmt.Sscanf(text, "%d kB", &kB); n != 1 {
		return 0
	}
	return kB << 10
}

// memory is the resident memory of this process in bytes.
type memory struct{ now, peak int64 }

func hostMemory() memory {
	status := procFile("/proc/self/status")
	return memory{bytesOf(status["VmRSS"]), bytesOf(status["VmHWM"])}
}

// gpuInUse returns the bytes that all programs use of a GPU, or 0 if name is no GPU.
func gpuInUse(name string) int64 {
	gpu, err := device.Inspect(name)
	if err != nil {
		return 0
	}
	return gpu.InUse
}
