package torch

import (
	"fmt"

	"github.com/sugarme/gotch/libtch"
)

// DType is libtorch's number of an element type (c10/core/ScalarType.h).
type DType int32

// The dtypes that tensors are made in. Values of all but Float64 are copied between Go and
// libtorch.
const (
	Uint8   DType = 0
	Int64   DType = 4
	Float16 DType = 5
	Float32 DType = 6
	Float64 DType = 7
)

func (d DType) String() string {
	switch d {
	case Uint8:
		return "uint8"
	case Int64:
		return "int64"
	case Float16:
		return "float16"
	case Float32:
		return "float32"
	case Float64:
		return "float64"
	}
	return fmt.Sprintf("dtype %d", int32(d))
}

// Shape returns t's shape, or nil after an error.
func (s *Scope) Shape(t Tensor) []int64 {
	if s.Err() != nil {
		return nil
	}
	return shapeOf(t)
}

// DType returns t's dtype. After an error it means nothing.
func (s *Scope) DType(t Tensor) DType {
	if s.Err() != nil {
		return Float32
	}
	return DType(libtch.AtScalarType(t.c))
}

// Permute reorders t's dimensions, without a copy.
func (s *Scope) Permute(t Tensor, dims ...int64) Tensor {
	return s.op("permute", func(out *libtch.Ctensor) { libtch.AtgPermute(out, t.c, dims, len(dims)) })
}

// Contiguous returns t in row-major order.
func (s *Scope) Contiguous(t Tensor) Tensor {
	return s.op("contiguous", func(out *libtch.Ctensor) { libtch.AtgContiguous(out, t.c) })
}

// Reshape returns t with another shape. One -1 is computed.
func (s *Scope) Reshape(t Tensor, shape ...int64) Tensor {
	return s.op("reshape", func(out *libtch.Ctensor) { libtch.AtgReshape(out, t.c, shape, len(shape)) })
}

// Slice returns t[start:end] along dim, without a copy. end is clipped to the length.
func (s *Scope) Slice(t Tensor, dim, start, end int64) Tensor {
	return s.op("slice", func(out *libtch.Ctensor) { libtch.AtgSlice(out, t.c, dim, start, 0, end, 0, 1) })
}

// Cat joins tensors along dim.
func (s *Scope) Cat(dim int64, tensors ...Tensor) Tensor {
	return s.op("cat", func(out *libtch.Ctensor) { libtch.AtgCat(out, handles(tensors), len(tensors), dim) })
}

// Gather returns t[i][index[i][j]] along dim 1, and likewise along other dims.
func (s *Scope) Gather(t Tensor, dim int64, index Tensor) Tensor {
	return s.op("gather", func(out *libtch.Ctensor) { libtch.AtgGather(out, t.c, dim, index.c, 0) })
}

// IndexSelect returns the rows of t along dim that index, int64 [N], names.
func (s *Scope) IndexSelect(t Tensor, dim int64, index Tensor) Tensor {
	return s.op("index_select", func(out *libtch.Ctensor) { libtch.AtgIndexSelect(out, t.c, dim, index.c) })
}

// Expand repeats t's dimensions of length 1 to the shape, without a copy.
func (s *Scope) Expand(t Tensor, shape ...int64) Tensor {
	return s.op("expand", func(out *libtch.Ctensor) { libtch.AtgExpand(out, t.c, shape, len(shape), 0) })
}

// To converts t to the dtype.
func (s *Scope) To(t Tensor, dtype DType) Tensor {
	return s.op("to", func(out *libtch.Ctensor) { libtch.AtgToDtype(out, t.c, int32(dtype), 0, 0) })
}

// Matmul returns the matrix product of a and b.
func (s *Scope) Matmul(a, b Tensor) Tensor {
	return s.op("matmul", func(out *libtch.Ctensor) { libtch.AtgMatmul(out, a.c, b.c) })
}

// Add returns the sum of a and b, element by element, broadcast.
func (s *Scope) Add(a, b Tensor) Tensor {
	return s.op("add", func(out *libtch.Ctensor) { libtch.AtgAdd(out, a.c, b.c) })
}

// Sub returns a minus b, element by element, broadcast.
func (s *Scope) Sub(a, b Tensor) Tensor {
	return s.op("sub", func(out *libtch.Ctensor) { libtch.AtgSub(out, a.c, b.c) })
}

// Mul returns the product of a and b, element by element, broadcast.
func (s *Scope) Mul(a, b Tensor) Tensor {
	return s.op("mul", func(out *libtch.Ctensor) { libtch.AtgMul(out, a.c, b.c) })
}

// Div returns a over b, element by element, broadcast.
func (s *Scope) Div(a, b Tensor) Tensor {
	return s.op("div", func(out *libtch.Ctensor) { libtch.AtgDiv(out, a.c, b.c) })
}

// Scale returns t times factor.
func (s *Scope) Scale(t Tensor, factor float64) Tensor {
	return s.withScalar("mul", t, factor, libtch.AtgMulScalar)
}

// DivBy returns t over divisor. Scale by 1/divisor would round differently.
func (s *Scope) DivBy(t Tensor, divisor float64) Tensor {
	return s.withScalar("div", t, divisor, libtch.AtgDivScalar)
}

// Sqrt returns the square root of each element.
func (s *Scope) Sqrt(t Tensor) Tensor {
	return s.op("sqrt", func(out *libtch.Ctensor) { libtch.AtgSqrt(out, t.c) })
}

// Log returns the natural logarithm of each element.
func (s *Scope) Log(t Tensor) Tensor {
	return s.op("log", func(out *libtch.Ctensor) { libtch.AtgLog(out, t.c) })
}

// Softmax returns exp(t) over its sum along dim.
func (s *Scope) Softmax(t Tensor, dim int64) Tensor {
	return s.op("softmax", func(out *libtch.Ctensor) { libtch.AtgSoftmax(out, t.c, dim, int32(Float32)) })
}

// LogSumExp returns the logarithm of the sum of exp(t) along dim, and removes dim. No exp
// overflows.
func (s *Scope) LogSumExp(t Tensor, dim int64) Tensor {
	return s.op("logsumexp", func(out *libtch.Ctensor) { libtch.AtgLogsumexp(out, t.c, []int64{dim}, 1, 0) })
}

// Sum returns the sum of t along dim, and removes dim.
func (s *Scope) Sum(t Tensor, dim int64) Tensor {
	return s.op("sum", func(out *libtch.Ctensor) {
		libtch.AtgSumDimIntlist(out, t.c, []int64{dim}, 1, 0, int32(Float32))
	})
}

// Unit scales t to Euclidean length 1 along its last dimension.
func (s *Scope) Unit(t Tensor) Tensor {
	two := libtch.AtsFloat(2)
	defer libtch.AtsFree(two)
	norm := s.op("linalg_norm", func(out *libtch.Ctensor) {
		libtch.AtgLinalgNorm(out, t.c, two, []int64{-1}, 1, 1, int32(Float32))
	})
	return s.Div(t, norm)
}

// Max returns the largest element along dim, or NaN if there is one, and removes dim.
func (s *Scope) Max(t Tensor, dim int64) Tensor {
	return s.op("amax", func(out *libtch.Ctensor) { libtch.AtgAmax(out, t.c, []int64{dim}, 1, 0) })
}

// ArgMax returns the int64 index of the largest element along dim, and removes dim.
func (s *Scope) ArgMax(t Tensor, dim int64) Tensor {
	out := make([]libtch.Ctensor, 2)
	s.ops("max", out, func(p *libtch.Ctensor) { libtch.AtgMaxDim(p, t.c, dim, 0) })
	return Tensor{out[1]}
}

// TopK returns the k largest elements along dim, largest first, and their int64 indices.
// libtorch doesn't define the order of equal elements.
func (s *Scope) TopK(t Tensor, k, dim int64) (values, indices Tensor) {
	out := make([]libtch.Ctensor, 2)
	s.ops("topk", out, func(p *libtch.Ctensor) { libtch.AtgTopk(p, t.c, k, dim, 1, 1) })
	return Tensor{out[0]}, Tensor{out[1]}
}

func handles(tensors []Tensor) []libtch.Ctensor {
	out := make([]libtch.Ctensor, len(tensors))
	for i, t := range tensors {
		out[i] = t.c
	}
	return out
}
