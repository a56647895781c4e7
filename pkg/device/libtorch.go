package device

import (
	"fmt"
	"path/filepath"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// Libtorch describes the libtorch of this process.
type Libtorch struct {
	Version string // such as "2.11.0+cpu"; "" if it can't be read
	Dir     string // the directory of its libraries
	CUDA    bool   // whether its CUDA part is loaded
}

// RunningLibtorch returns the libtorch of this process, as mapped by the system's linker.
// It needs /proc.
func RunningLibtorch() (Libtorch, error) {
	library, err := torch.Library("libtorch_cpu.so")
	_, noCUDA := torch.Library("libtorch_cuda.so")
	return Libtorch{torch.Version(), filepath.Dir(library), noCUDA == nil}, err
}

// Problem returns what to do if clipdet doesn't work with the version, or "" if it does.
func (l Libtorch) Problem() string {
	if torch.Supported(l.Version) {
		return ""
	}
	return fmt.Sprintf("unset LD_LIBRARY_PATH, or build and run with ./setup-libtorch.sh, which gets libtorch %s; clipdet works with %s to %s",
		torch.SetupVersion, torch.OldestVersion, torch.NewestVersion)
}

// DriverNeeded returns the oldest NVIDIA driver for Linux that runs the version's CUDA,
// such as "580.65.06".
func (l Libtorch) DriverNeeded() string { return torch.DriverNeeded(l.Version) }
