package torch

// #include "libtch.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// number is a type of values that are copied between Go and libtorch. A uint16 has the
// bits of a float16 (IEEE 754's binary16), since Go has no such type.
type number interface {
	uint8 | uint16 | int64 | float32
}

func dtypeOf[T number]() DType {
	switch any(*new(T)).(type) {
	case uint8:
		return Uint8
	case uint16:
		return Float16
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

// Borrow returns a tensor of the CPU that reads values where they are, without a copy.
// They must not change, and memory that isn't Go's must stay mapped, until the tensor is
// freed or the scope's work returns. Go's memory stays until Unborrow, or that return.
func Borrow[T number](s *Scope, values []T, shape ...int64) Tensor {
	if s.Err() != nil {
		return Tensor{}
	}
	dtype := dtypeOf[T]()
	if n := elements(shape); n != int64(len(values)) || n == 0 {
		s.Fail(fmt.Errorf("torch: borrow: %d %s values don't fill the shape %v, or are none", len(values), dtype, shape))
		return Tensor{}
	}
	strides := make([]int64, len(shape))
	for i, step := len(shape)-1, int64(1); i >= 0; i-- {
		strides[i], step = step, step*shape[i]
	}
	s.pins.Pin(&values[0])
	return s.op("from_blob", func(out *libtch.Ctensor) {
		*out = libtch.Ctensor(C.at_tensor_of_blob(unsafe.Pointer(&values[0]), (*C.int64_t)(&shape[0]), C.size_t(len(shape)),
			(*C.int64_t)(&strides[0]), C.size_t(len(strides)), C.int(dtype), C.int(CPU.code())))
	})
}

// Unborrow lets go of all values that were borrowed. Their tensors must be freed before.
func (s *Scope) Unborrow() { s.pins.Unpin() }

// ToDevice copies t to the engine's device, or returns another handle of it if it is
// there.
func (s *Scope) ToDevice(t Tensor) Tensor {
	s.engine.work.uploads.Add(1)
	return s.op("to", func(out *libtch.Ctensor) { libtch.AtgTo(out, t.c, s.Device().code()) })
}

// CopyInto copies t into buffer, which has t's shape, and converts it to the buffer's
// dtype. It is the only operation that changes a tensor: a buffer that its caller made for
// that, so that a loop doesn't take new memory in each turn.
func (s *Scope) CopyInto(buffer, t Tensor) {
	if s.Err() != nil {
		return
	}
	s.engine.work.operations.Add(1)
	libtch.AtCopy_(buffer.c, t.c)
	if err := takeError("copy_"); err != nil {
		s.Fail(err)
	}
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
