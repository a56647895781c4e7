package doctor

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/device"
)

// says fails the test unless f has a fix if and only if problem is set, and its text has
// the parts.
func says(t *testing.T, name string, f finding, problem bool, parts ...string) {
	t.Helper()
	if (f.fix != "") != problem {
		t.Errorf("%s: problem is %t, want %t: %v", name, f.fix != "", problem, f)
	}
	for _, part := range parts {
		if !strings.Contains(f.String(), part) {
			t.Errorf("%s: no %q in: %v", name, part, f)
		}
	}
}

func TestDoctorKnowsLibtorch(t *testing.T) {
	for version, problem := range map[string]bool{"2.1.2": false, "2.1.0+cpu": false, "2.10.0": false, "2.11.0+cu130": false, "2.12.0": true, "2.0.1": true, "1.13.1": true, "": true} {
		says(t, version, libtorchFinding(device.Libtorch{Version: version, Dir: "/opt/torch/lib"}), problem, "/opt/torch/lib", version)
	}
}

func TestDriverVersion(t *testing.T) {
	for module, want := range map[string]string{
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.57.02  Tue Jul 13 16:14:05 UTC 2021\nGCC version:  gcc version 9.3.0\n":                     "470.57.02",
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  525.60.13  Wed Nov 30 06:39:21 UTC 2022\nGCC version:  gcc version 11.3.0\n":                    "525.60.13",
		"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.10  Release Build  (root@host)  Thu Jan 23\nGCC version:  gcc version 12.2.0\n": "570.86.10",
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54  Tue Jul 13\n":                                                                           "535.54",
		"GCC version:  gcc version 12.2.0\n": "",
		"":                                   "",
	} {
		if got := driverVersion(module); got != want {
			t.Errorf("%q: version %q, want %q", module, got, want)
		}
	}
}

func TestOlder(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"470.57.02", "525.60.13", true}, {"525.60.13", "525.60.13", false}, {"525.60.2", "525.60.13", true}, {"525.105.17", "525.60.13", false},
		{"1000.1", "525.60.13", false}, {"525.60", "525.60.13", true}, {"99.99.99", "525.60.13", true},
	} {
		if got := older(test.a, test.b); got != test.want {
			t.Errorf("%s older than %s: got %t, want %t", test.a, test.b, got, test.want)
		}
	}
}

func TestDoctorKnowsTheDevice(t *testing.T) {
	gone := fmt.Errorf("%w: cuda:0 was asked for and libtorch sees 0 GPUs", detect.ErrDevice)
	tests := []struct {
		name    string
		m       deviceFacts
		problem bool
		says    []string
	}{
		{"no GPU", deviceFacts{asked: "auto", device: "cpu"}, false, []string{"cpu is used", "0 GPUs (this is the CPU variant)"}},
		{"a GPU asked for and no driver", deviceFacts{asked: "cuda:0", err: gone}, true, []string{"cuda:0 was asked for", "install an NVIDIA driver"}},
		{"a GPU", deviceFacts{asked: "auto", device: "cuda:0", gpus: 1, hasDriver: true, driver: "535.104.05", libtorch: device.Libtorch{Version: "2.1.2+cu121", CUDA: true}}, false, []string{"cuda:0 is used"}},
		{"too old a driver", deviceFacts{asked: "auto", hasDriver: true, driver: "470.57.02", libtorch: device.Libtorch{Version: "2.1.2+cu121", CUDA: true}}, true,
			[]string{"the NVIDIA driver 470.57.02 is too old for libtorch 2.1.2+cu121", "install driver 525.60.13 or later"}},
		{"too old a driver, the GPU asked for", deviceFacts{asked: "cuda", err: gone, hasDriver: true, driver: "470.57.02", libtorch: device.Libtorch{Version: "2.1.2+cu121", CUDA: true}}, true, []string{"525.60.13"}},
		{"too old a driver, CPU asked for", deviceFacts{asked: "cpu", device: "cpu", hasDriver: true, driver: "470.57.02", libtorch: device.Libtorch{Version: "2.1.2+cu121", CUDA: true}}, false, []string{"cpu is used"}},
		{"the same driver as before, and a newer CUDA", deviceFacts{asked: "auto", hasDriver: true, driver: "570.86.10", libtorch: device.Libtorch{Version: "2.11.0+cu130", CUDA: true}}, true,
			[]string{"570.86.10 is too old for libtorch 2.11.0+cu130", "install driver 580.65.06 or later"}},
		{"the same driver with an older CUDA", deviceFacts{asked: "auto", hasDriver: true, driver: "470.57.02", libtorch: device.Libtorch{Version: "2.1.2+cu118", CUDA: true}}, true, []string{"nvidia-smi"}},
		{"a driver that sees no GPU", deviceFacts{asked: "auto", hasDriver: true, driver: "535.104.05", libtorch: device.Libtorch{Version: "2.1.2+cu121", CUDA: true}}, true, []string{"CUDA_VISIBLE_DEVICES"}},
		{"a driver of unknown version", deviceFacts{asked: "auto", hasDriver: true, libtorch: device.Libtorch{Version: "2.1.2+cu121", CUDA: true}}, true, []string{"nvidia-smi"}},
		{"the CPU variant beside a driver", deviceFacts{asked: "auto", hasDriver: true, driver: "535.104.05", libtorch: device.Libtorch{Version: "2.1.2"}}, true, []string{"CLIPDET_CUDA=1"}},
		{"a GPU too many", deviceFacts{asked: "cuda:3", err: errors.New("cuda:3 was asked for"), gpus: 2, hasDriver: true, driver: "535.104.05", libtorch: device.Libtorch{CUDA: true}}, true, []string{"one of the 2 GPUs"}},
	}
	for _, test := range tests {
		says(t, test.name, deviceFinding(test.m), test.problem, test.says...)
	}
}

func TestReadMemory(t *testing.T) {
	const gib = 1 << 30
	type files map[string]string
	machine := files{
		"proc/meminfo":     "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\nHugePages_Total:       0\n",
		"proc/self/status": "Name:\tclipdet\nVmPeak:\t 3145728 kB\nVmSize:\t 1048576 kB\n",
		"proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units\nMax address space         unlimited            unlimited            bytes\n",
		"proc/self/cgroup": "0::/\n",
	}
	tests := []struct {
		name  string
		more  files
		free  int64
		limit string
	}{
		{"the machine's", nil, 8 * gib, ""},
		{"no limit written", files{"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "123\n"}, 8 * gib, ""},
		{"a container's", files{"sys/fs/cgroup/memory.max": "1073741824\n", "sys/fs/cgroup/memory.current": "536870912\n", "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 268435456\n"},
			gib - gib/4, "the control group's limit"},
		{"a group's, and that above it", files{"proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "4294967296\n", "sys/fs/cgroup/a/b/memory.current": "0\n",
			"sys/fs/cgroup/a/memory.max": "2147483648\n", "sys/fs/cgroup/a/memory.current": "1073741824\n"}, gib, "the control group's limit"},
		{"of version 1", files{"proc/self/cgroup": "5:devices:/x\n4:memory:/x\n0::/\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "2147483648\n", "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "1073741824\n"}, gib, "the control group's limit"},
		{"more in use than allowed", files{"sys/fs/cgroup/memory.max": "1024\n", "sys/fs/cgroup/memory.current": "4096\n"}, 0, "the control group's limit"},
		{"the address space's", files{"proc/self/limits": "Max address space         2147483648           unlimited            bytes\n"}, gib, "ulimit -v"},
		{"what can't be read", files{"proc/self/cgroup": "nonsense\n0::/\n", "sys/fs/cgroup/memory.max": "much\n", "proc/self/limits": "Max address space of mine\n"}, 8 * gib, ""},
	}
	for _, test := range tests {
		root := fstest.MapFS{}
		for _, set := range []files{machine, test.more} {
			for name, text := range set {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
		}
		got, err := readMemory(root)
		if err != nil || got != (freeMemory{test.free, 16 * gib, test.limit}) {
			t.Errorf("%s: got %+v (%v), want %d bytes by %q", test.name, got, err, test.free, test.limit)
		}
	}
	if _, err := readMemory(fstest.MapFS{}); err == nil {
		t.Error("no /proc gives no error")
	}
	if got, err := readMemory(os.DirFS("/")); err != nil || got.free <= 0 || got.total == math.MaxInt64 {
		t.Errorf("this machine: %+v (%v)", got, err)
	}
}

func TestDoctorKnowsMemory(t *testing.T) {
	const gib = 1 << 30
	says(t, "enough", memoryFinding(freeMemory{2 * gib, 4 * gib, ""}, 0), false, "2.0 of 4.0 GiB are free, and 1.0 are needed")
	says(t, "too little for large models", memoryFinding(freeMemory{2 * gib, 4 * gib, ""}, 2*gib), true, "3.0 are needed", "fix: free 1.0 GiB")
	says(t, "too little in a group", memoryFinding(freeMemory{0, 4 * gib, "the control group's limit"}, 0), true, "raise the control group's limit by 1.0 GiB")
}
