package torch

// #cgo LDFLAGS: -ldl
// #include "gpu.h"
import "C"

import (
	"fmt"

	"github.com/sugarme/gotch/libtch"
)

// GPU describes a GPU as its driver does. InUse is the memory that all programs use now,
// including memory that libtorch has taken before, since it gives none back.
type GPU struct {
	Name   string
	Memory int64 // bytes
	InUse  int64 // bytes
}

// GPU returns the driver's description of d. It fails with ErrDevice if d is no GPU or
// the driver doesn't answer.
func (d Device) GPU() (GPU, error) {
	if !d.IsCUDA() {
		return GPU{}, fmt.Errorf("%w: %v is no GPU", ErrDevice, d)
	}
	var name [256]C.char
	var total, free C.size_t
	if failed := C.gpu_look(C.int(d.code()), &name[0], C.int(len(name)), &total, &free); failed != nil {
		return GPU{}, fmt.Errorf("%w: %v: %s", ErrDevice, d, C.GoString(failed))
	}
	return GPU{Name: C.GoString(&name[0]), Memory: int64(total), InUse: int64(total - free)}, nil
}

// Autotune sets whether cuDNN times its algorithms for each new shape of a convolution. It
// is a setting of the process.
func Autotune(on bool) {
	n := 0
	if on {
		n = 1
	}
	libtch.AtcSetBenchmarkCudnn(n)
}

// Capability returns the compute capability of the GPU d, such as 9 and 0. It fails with
// the errors of [Device.GPU].
func (d Device) Capability() (major, minor int, err error) {
	if !d.IsCUDA() {
		return 0, 0, fmt.Errorf("%w: %v is no GPU", ErrDevice, d)
	}
	var x, y C.int
	if failed := C.gpu_capability(C.int(d.code()), &x, &y); failed != nil {
		return 0, 0, fmt.Errorf("%w: %v: %s", ErrDevice, d, C.GoString(failed))
	}
	return int(x), int(y), nil
}
