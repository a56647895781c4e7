package torch

import (
	"fmt"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// number is a type of values that are copied between Go and libtorch.
type number interface{ uint8 | int64 | float32 }

func dtypeOf[T number]() DType {
	switch any(*new(T)).(type) {
	case uint8:
		return Uint8
	case int64:
		return Int64
	}
	return Float32
}

// Upload copies values, in row-major order, to a tensor of the shape on the engine's
// device. It doesn't keep the slice. A GPU copies from pinned memory, while the caller's
// thread runs on. libtorch keeps that memory for later uploads, and gives none out again
// that is being copied.
func Upload[T number](s *Scope, values []T, shape ...int64) Tensor {
	host := Host(s, values, shape...)
	s.engine.work.uploads.Add(1)
	if s.Err() != nil || !s.Device().IsCUDA() {
		return host
	}
	pinned, err := s.Try(func() Tensor {
		return s.op("_pin_memory", func(out *libtch.Ctensor) { libtch.Atg_PinMemory(out, host.c, s.Device().code()) })
	})
	if err != nil { // such as by a limit of locked memory
		pinned = host
	}
	return s.op("to", func(out *libtch.Ctensor) {
		libtch.AtgToDevice(out, pinned.c, s.Device().code(), int32(dtypeOf[T]()), 1, 0)
	})
}

// Host is Upload to the CPU, on any engine. It is for arguments that a module reads on
// the host, so that nothing waits for the device.
func Host[T number](s *Scope, values []T, shape ...int64) Tensor {
	if s.Err() != nil {
		return Tensor{}
	}
	dtype := dtypeOf[T]()
	if n := elements(shape); n != int64(len(values)) {
		s.Fail(fmt.Errorf("torch: upload: %d %s values don't fill the shape %v", len(values), dtype, shape))
		return Tensor{}
	}
	host := s.op("empty", func(out *libtch.Ctensor) {
		libtch.AtgEmpty(out, shape, len(shape), int32(dtype), CPU.code())
	})
	if s.Err() != nil {
		return Tensor{}
	}
	copy(hostSlice[T](host, len(values)), values)
	return host
}

// Download copies t's elements to a new slice, in row-major order. On a GPU it waits for
// the work that computes t. It returns nil after an error.
func Download[T number](s *Scope, t Tensor) []T {
	if s.Err() != nil {
		return nil
	}
	if got, want := DType(libtch.AtScalarType(t.c)), dtypeOf[T](); got != want {
		s.Fail(fmt.Errorf("torch: download: the tensor is %s, not %s", got, want))
		return nil
	}
	s.engine.work.downloads.Add(1)
	if s.Device().IsCUDA() {
		device := t
		t = s.op("to", func(out *libtch.Ctensor) { libtch.AtgTo(out, device.c, CPU.code()) })
	}
	t = s.Contiguous(t)
	if s.Err() != nil {
		return nil
	}
	values := make([]T, elements(shapeOf(t)))
	copy(values, hostSlice[T](t, len(values)))
	return values
}

// hostSlice returns the memory of a contiguous tensor of the CPU.
func hostSlice[T number](t Tensor, n int) []T {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(libtch.AtDataPtr(t.c)), n)
}

func shapeOf(t Tensor) []int64 {
	shape := make([]int64, libtch.AtDim(t.c))
	if len(shape) > 0 {
		libtch.AtShape(t.c, unsafe.Pointer(&shape[0]))
	}
	return shape
}

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}
