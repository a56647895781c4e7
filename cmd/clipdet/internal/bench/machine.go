package bench

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/clipdet/clipdet/pkg/device"
)

// machine is what the figures are of.
type machine struct {
	CPU     string   `json:"cpu"`
	Cores   int      `json:"cores"`   // that this process may use
	Threads int      `json:"threads"` // of one operation
	Memory  int64    `json:"memory_bytes"`
	Device  string   `json:"device"` // that was measured
	GPU     *gpuName `json:"gpu"`    // nil: nothing was measured on one
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

// procFile reads a file of lines "name: value"; what can't be read is missing.
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

// bytesOf reads "123 kB"; it is 0 for anything else.
func bytesOf(text string) int64 {
	var kB int64
	if n, _ := fmt.Sscanf(text, "%d kB", &kB); n != 1 {
		return 0
	}
	return kB << 10
}

// memory is what this process has of the host's, in bytes.
type memory struct{ now, peak int64 }

func hostMemory() memory {
	status := procFile("/proc/self/status")
	return memory{bytesOf(status["VmRSS"]), bytesOf(status["VmHWM"])}
}

// gpuInUse is what all programs have of a GPU, in bytes; 0 where there is none.
func gpuInUse(name string) int64 {
	gpu, err := device.Inspect(name)
	if err != nil {
		return 0
	}
	return gpu.InUse
}
