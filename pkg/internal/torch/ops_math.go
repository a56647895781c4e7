package torch

import "github.com/sugarme/gotch/libtch"

// Arange returns the whole numbers in [low,high), [high-low].
func (s *Scope) Arange(low, high int64, dtype DType) Tensor {
	start, end := libtch.AtsInt(low), libtch.AtsInt(high)
	defer libtch.AtsFree(start)
	defer libtch.AtsFree(end)
	return s.op("arange", func(out *libtch.Ctensor) {
		libtch.AtgArangeStart(out, start, end, int32(dtype), s.Device().code())
	})
}

// Ones returns a tensor of ones.
func (s *Scope) Ones(dtype DType, shape ...int64) Tensor {
	return s.op("ones", func(out *libtch.Ctensor) {
		libtch.AtgOnes(out, shape, len(shape), int32(dtype), s.Device().code())
	})
}

// AddScalar returns t + value.
func (s *Scope) AddScalar(t Tensor, value float64) Tensor {
	return s.withScalar("add", t, value, libtch.AtgAddScalar)
}

// ClampMin returns the larger of each element and least.
func (s *Scope) ClampMin(t Tensor, least float64) Tensor {
	return s.withScalar("clamp_min", t, least, libtch.AtgClampMin)
}

// Clamp returns t with each element in [least,most].
func (s *Scope) Clamp(t Tensor, least, most float64) Tensor {
	low, high := libtch.AtsFloat(least), libtch.AtsFloat(most)
	defer libtch.AtsFree(low)
	defer libtch.AtsFree(high)
	return s.op("clamp", func(out *libtch.Ctensor) { libtch.AtgClamp(out, t.c, low, high) })
}

// Minimum returns the smaller of a and b, element by element, broadcast.
func (s *Scope) Minimum(a, b Tensor) Tensor {
	return s.op("minimum", func(out *libtch.Ctensor) { libtch.AtgMinimum(out, a.c, b.c) })
}

// GreaterEqual reports a >= b, element by element, broadcast. The result is of bool.
func (s *Scope) GreaterEqual(a, b Tensor) Tensor {
	return s.op("ge", func(out *libtch.Ctensor) { libtch.AtgGeTensor(out, a.c, b.c) })
}

// Less reports a < b, element by element, broadcast. The result is of bool.
func (s *Scope) Less(a, b Tensor) Tensor {
	return s.op("lt", func(out *libtch.Ctensor) { libtch.AtgLtTensor(out, a.c, b.c) })
}

// Abs returns the absolute values.
func (s *Scope) Abs(t Tensor) Tensor {
	return s.op("abs", func(out *libtch.Ctensor) { libtch.AtgAbs(out, t.c) })
}

// Floor returns the largest whole number up to each element.
func (s *Scope) Floor(t Tensor) Tensor {
	return s.op("floor", func(out *libtch.Ctensor) { libtch.AtgFloor(out, t.c) })
}

// Round returns the nearest whole number of each element, an even one of two.
func (s *Scope) Round(t Tensor) Tensor {
	return s.op("round", func(out *libtch.Ctensor) { libtch.AtgRound(out, t.c) })
}

func (s *Scope) withScalar(name string, t Tensor, value float64, call func(*libtch.Ctensor, libtch.Ctensor, libtch.Cscalar)) Tensor {
	scalar := libtch.AtsFloat(value)
	defer libtch.AtsFree(scalar)
	return s.op(name, func(out *libtch.Ctensor) { call(out, t.c, scalar) })
}
