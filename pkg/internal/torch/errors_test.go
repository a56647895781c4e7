package torch

import (
	"errors"
	"testing"
)

func TestLibtorchError(t *testing.T) {
	for _, test := range []struct {
		name, text, want string
		memory           bool
	}{
		{"a backtrace goes", "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)\nException raised from meta at a.cpp:1\nframe #0: x", "libtorch: op: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)", false},
		{"a script's traceback goes", "The following operation failed in the TorchScript interpreter.\nTraceback of TorchScript, serialized code (most recent call last):\n  File \"a.py\", line 4, in forward\n    ops.prim.RaiseException(_0)\nRuntimeError: raised on purpose\n", "libtorch: op: raised on purpose", false},
		{"the GPU is full", "CUDA out of memory. Tried to allocate 2.00 GiB", "libtorch: out of memory: op: CUDA out of memory. Tried to allocate 2.00 GiB", true},
		{"the host is full", "[enforce fail at alloc_cpu.cpp:83] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.", "libtorch: out of memory: op: [enforce fail at alloc_cpu.cpp:83] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.", true},
		{"cuBLAS finds no memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "libtorch: out of memory: op: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", true},
	} {
		err := libtorchError("op", test.text)
		if err.Error() != test.want {
			t.Errorf("%s: got %q, want %q", test.name, err, test.want)
		}
		if !errors.Is(err, ErrLibtorch) || errors.Is(err, ErrOutOfMemory) != test.memory {
			t.Errorf("%s: %v is of the wrong kind", test.name, err)
		}
	}
}

func TestHostOutOfMemory(t *testing.T) {
	err := start(t).Do(t.Context(), func(s *Scope) error {
		a := Upload(s, []float32{1}, 1)
		s.Contiguous(s.Expand(a, 1<<46))
		return nil
	})
	if !errors.Is(err, ErrOutOfMemory) {
		t.Errorf("an allocation of 256 TiB gave %v, want ErrOutOfMemory", err)
	}
}

func TestALostDeviceHasItsOwnError(t *testing.T) {
	const text = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported at some other API call"
	if err := libtorchError("matmul", text); !errors.Is(err, ErrLost) || !errors.Is(err, ErrDevice) || errors.Is(err, ErrOutOfMemory) {
		t.Errorf("got %v, want ErrLost", err)
	}
	if err := libtorchError("matmul", "CUDA error: invalid argument"); errors.Is(err, ErrLost) {
		t.Errorf("got %v, want no ErrLost", err)
	}
}
