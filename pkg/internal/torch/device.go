package torch

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sugarme/gotch/libtch"
)

// Device is where tensors live: [CPU], or CUDA(n). It is a value; nothing in the
// process has a current device.
type Device struct {
	cuda  int  // 0 is the CPU, n+1 is GPU n, so that the zero value is valid
	asGPU bool // whether the CPU does its work in the way of a GPU
}

// CPU is the host. It is the zero Device.
var CPU = Device{}

// CPUAsGPU is the CPU, which does its work in the way of a GPU: for tests of that way, and
// of what it uploads, downloads and waits for.
var CPUAsGPU = Device{asGPU: true}

// CUDA is GPU number n, from 0.
func CUDA(n int) Device { return Device{cuda: n + 1} }

// IsCUDA says whether d is a GPU.
func (d Device) IsCUDA() bool { return d.cuda > 0 }

// LikeGPU reports whether work on d is done in the way of a GPU: as much together as the
// memory holds, in few operations, and nothing waits in between.
func (d Device) LikeGPU() bool { return d.IsCUDA() || d.asGPU }

// String gives "cpu" or "cuda:n", which ParseDevice reads.
func (d Device) String() string {
	if !d.IsCUDA() {
		return "cpu"
	}
	return "cuda:" + strconv.Itoa(d.cuda-1)
}

// code is libtch's number of the device.
func (d Device) code() int32 { return int32(d.cuda - 1) }

// CUDADevices is the number of GPUs that libtorch can use: 0 without a driver, and
// 0 where the program is linked to the CPU variant.
func CUDADevices() int { return max(0, int(libtch.AtcCudaDeviceCount())) }

// ParseDevice reads "cpu", "cuda" (the first GPU), "cuda:N" or "auto" (the first
// GPU where there is one, else the CPU; "" is the same). It fails with ErrDevice
// when the name is none of these or this process has no such GPU.
func ParseDevice(name string) (Device, error) {
	count := CUDADevices()
	switch {
	case name == "cpu":
		return CPU, nil
	case name == "auto" || name == "":
		if count > 0 {
			return CUDA(0), nil
		}
		return CPU, nil
	case name == "cuda":
		name = "cuda:0"
	}
	number, ok := strings.CutPrefix(name, "cuda:")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 0 {
		return Device{}, fmt.Errorf("%w: %q is not a device; write auto, cpu or cuda:N", ErrDevice, name)
	}
	if n >= count {
		return Device{}, fmt.Errorf("%w: %s was asked for and libtorch sees %d GPUs; use cpu, "+
			"or build with CLIPDET_CUDA=1 on a machine with an NVIDIA driver", ErrDevice, name, count)
	}
	return CUDA(n), nil
}
