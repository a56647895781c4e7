package device

import (
	"path/filepath"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// The versions of libtorch that clipdet works with, and the one that setup-libtorch.sh
// gets unless it is given another.
const (
	OldestLibtorch = torch.OldestVersion
	NewestLibtorch = torch.NewestVersion
	SetupLibtorch  = torch.SetupVersion
)

// Libtorch describes the libtorch of this process.
type Libtorch struct {
	Version string // such as "2.11.0+cpu"; "" if it can't be read
	Dir     string // the folder of its libraries
	CUDA    bool   // whether its CUDA part is loaded
}

// RunningLibtorch returns the libtorch of this process: what the system's linker mapped,
// which needs /proc.
func RunningLibtorch() (Libtorch, error) {
	library, err := torch.Library("libtorch_cpu.so")
	_, noCUDA := torch.Library("libtorch_cuda.so")
	return Libtorch{torch.Version(), filepath.Dir(library), noCUDA == nil}, err
}

// Supported reports whether clipdet works with the version.
func (l Libtorch) Supported() bool { return torch.Supported(l.Version) }

// DriverNeeded returns the oldest NVIDIA driver for Linux that runs the CUDA of the
// version, such as "580.65.06".
func (l Libtorch) DriverNeeded() string { return torch.DriverNeeded(l.Version) }
