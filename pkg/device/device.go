// Package device describes the devices that a detector may run on, and the libtorch that
// runs in this process. A doctor and a benchmark need it; a program that detects doesn't.
//
// Devices are named as in detect.Options.Device: "auto" (the first GPU if there is one,
// else the CPU), "cpu" or "cuda:N". All functions may be called from any goroutine.
package device

import (
	"context"
	"fmt"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// Resolve returns the device that a name means, "cpu" or "cuda:N". It fails with
// detect.ErrDevice if the name is misspelt or there is no such GPU.
func Resolve(name string) (string, error) {
	d, err := torch.ParseDevice(name)
	return d.String(), err
}

// GPUs returns the number of GPUs that libtorch can use: 0 without a driver, and 0 if the
// program is linked to the CPU's libtorch.
func GPUs() int { return torch.CUDADevices() }

// GPU describes a GPU, as its driver does.
type GPU struct {
	Name          string
	Memory, InUse int64 // bytes; InUse counts all programs, and what libtorch keeps for later
}

// Inspect describes the GPU that a name means. It fails with detect.ErrDevice if that is
// no GPU or the driver doesn't answer.
func Inspect(name string) (GPU, error) {
	d, err := torch.ParseDevice(name)
	if err != nil {
		return GPU{}, err
	}
	gpu, err := d.GPU()
	if err != nil {
		return GPU{}, err
	}
	return GPU{gpu.Name, gpu.Memory, gpu.InUse}, nil
}

// CPU returns the name of this machine's processor, or "unknown".
func CPU() string { return torch.HostProcessor().Name }

// Threads returns the number of CPU threads that an operation has by default:
// OMP_NUM_THREADS, or else GOMAXPROCS.
func Threads() int { return torch.DefaultThreads() }

// LiveTensors returns the number of tensors in this process, of all detectors.
func LiveTensors() int64 { return torch.Live() }

// A matrix of PeakRate's product keeps every core busy, and on a CPU it fits its cache.
const (
	matrixCPU = 1024
	matrixGPU = 8192
)

// PeakRate measures how many floating-point operations per second a device reaches in
// products of two matrices [n,n] of a type, "float32", "bfloat16" or "float16". threads
// is the number of CPU threads; 0 is Threads. It measures for about the given time and
// returns the best of at least three products.
func PeakRate(ctx context.Context, name, dtype string, threads int, long time.Duration) (rate float64, n int, err error) {
	d, err := torch.ParseDevice(name)
	if err != nil {
		return 0, 0, err
	}
	kind, ok := map[string]torch.DType{"float32": torch.Float32, "bfloat16": torch.BFloat16, "float16": torch.Float16}[dtype]
	if !ok {
		return 0, 0, fmt.Errorf("device: peak: unknown type %q", dtype)
	}
	engine, err := torch.Start(d, threads)
	if err != nil {
		return 0, 0, fmt.Errorf("device: peak: %w", err)
	}
	defer engine.Close()
	n = matrixCPU
	if d.IsCUDA() {
		n = matrixGPU
	}
	err = engine.Do(ctx, func(s *torch.Scope) error {
		rate = s.MatmulRate(kind, int64(n), long)
		return s.Err()
	})
	if err != nil {
		return 0, 0, fmt.Errorf("device: peak: %w", err)
	}
	return rate, n, nil
}
