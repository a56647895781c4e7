package torch

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sugarme/gotch/libtch"
)

// Device is the place of tensors: [CPU], which is the zero Device, or CUDA(n). The
// process has no current device.
type Device struct {
	cuda  int  // n+1 for GPU n
	asGPU bool // whether the CPU works in the way of a GPU
}

// CPU is the host. It is the zero Device.
var CPU = Device{}

// CPUAsGPU is the CPU, which works in the way of a GPU: for tests of that way, and of
// what it uploads and downloads.
var CPUAsGPU = Device{asGPU: true}

// CUDA returns GPU number n, from 0.
func CUDA(n int) Device { return Device{cuda: n + 1} }

// IsCUDA reports whether d is a GPU.
func (d Device) IsCUDA() bool { return d.cuda > 0 }

// LikeGPU reports whether work on d is done in the way of a GPU: as much together as the
// memory holds, in few operations, and without a wait in between.
func (d Device) LikeGPU() bool { return d.IsCUDA() || d.asGPU }

// String returns "cpu" or "cuda:n", which ParseDevice reads.
func (d Device) String() string {
	if !d.IsCUDA() {
		return "cpu"
	}
	return "cuda:" + strconv.Itoa(d.cuda-1)
}

// code returns libtch's number of the device.
func (d Device) code() int32 { return int32(d.cuda - 1) }

// CUDADevices returns the number of GPUs that libtorch can use. It is 0 without a driver,
// and 0 if the program is linked to the CPU variant.
func CUDADevices() int { return max(0, int(libtch.AtcCudaDeviceCount())) }

// ParseDevice reads "cpu", "cuda" (the first GPU), "cuda:N", or "auto" or "" (the first
// GPU if there is one, else the CPU). It fails with ErrDevice if the name is none of
// these, or if this process has no such GPU.
func ParseDevice(name string) (Device, error) {
	n, err := gpuNumber(name)
	if err != nil {
		return Device{}, err
	}
	count := CUDADevices()
	switch {
	case n < 0, count == 0 && (name == "auto" || name == ""):
		return CPU, nil
	case n >= count:
		return Device{}, fmt.Errorf("%w: %s was asked for and libtorch sees %d GPUs; use cpu, "+
			"or build with CLIPDET_CUDA=1 on a machine with an NVIDIA driver", ErrDevice, name, count)
	}
	return CUDA(n), nil
}

// CheckDevice fails with ErrDevice if ParseDevice can't read a name. It doesn't look
// whether the device is there.
func CheckDevice(name string) error {
	_, err := gpuNumber(name)
	return err
}

// gpuNumber returns the number of the GPU that a name asks for, or -1 for the CPU.
func gpuNumber(name string) (int, error) {
	switch name {
	case "cpu":
		return -1, nil
	case "auto", "", "cuda":
		return 0, nil
	}
	number, ok := strings.CutPrefix(name, "cuda:")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 0 {
		return 0, fmt.Errorf("%w: %q is not a device; write auto, cpu or cuda:N", ErrDevice, name)
	}
	return n, nil
}
