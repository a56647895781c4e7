// Package device describes the devices of a detector and the libtorch of this process. It
// serves diagnosis and benchmarks; detection doesn't need it.
//
// Devices are named as in detect.Options.Device: "auto" (the first GPU if there is one,
// else the CPU), "cpu" or "cuda:N". All functions are safe for concurrent use.
package device

import (
	"context"
	"fmt"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// Resolve returns the device of a name, "cpu" or "cuda:N". It fails with detect.ErrDevice
// if the name is misspelt or there is no such GPU.
func Resolve(name string) (string, error) {
	d, err := torch.ParseDevice(name)
	return d.String(), err
}

// GPUs returns the number of GPUs that libtorch can use. It is 0 without a driver, and 0
// if the program is linked to the CPU's libtorch.
func GPUs() int { return torch.CUDADevices() }

// GPU is a GPU, as its driver describes it.
type GPU struct {
	Name string
	// Memory and InUse are bytes. InUse counts all programs, and memory that libtorch
	// keeps for later.
	Memory, InUse int64
}

// Inspect returns the GPU of a name. It fails with detect.ErrDevice if that is no GPU or
// the driver doesn't answer.
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

// Threads returns the default number of CPU threads of an operation: OMP_NUM_THREADS, or
// else GOMAXPROCS.
func Threads() int { return torch.DefaultThreads() }

// LiveTensors returns the number of tensors in this process, of all detectors.
func LiveTensors() int64 { return torch.Live() }

// Autotune sets whether cuDNN times its ways to convolve for each new size of pictures,
// and keeps the fastest. It is a setting of libtorch for the whole process, off by
// default, and may change the last digits of proposals. It pays for many pictures of one
// size, as of a camera. On a CPU it changes nothing.
func Autotune(on bool) { torch.Autotune(on) }

// PeakRate multiplies matrices of these sizes. They keep every core busy, and on a CPU
// fit its cache.
const (
	matrixCPU = 1024
	matrixGPU = 8192
)

// PeakRate returns the number of operations per second of a device in products of two
// [n,n] matrices, and n. dtype is "float32", "bfloat16", "float16" or "int8".
// threads is the number of CPU threads; 0 is Threads. The measurement takes about long.
// The rate is the best of at least three products.
func PeakRate(ctx context.Context, name, dtype string, threads int, long time.Duration) (rate float64, n int, err error) {
	d, err := torch.ParseDevice(name)
	if err != nil {
		return 0, 0, err
	}
	kind, ok := map[string]torch.DType{"float32": torch.Float32, "bfloat16": torch.BFloat16, "float16": torch.Float16, "int8": torch.Int8}[dtype]
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
