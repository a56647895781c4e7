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

// Full returns a tensor of one value.
func (s *Scope) Full(value float64, dtype DType, shape ...int64) Tensor {
	scalar := libtch.AtsFloat(value)
	defer libtch.AtsFree(scalar)
	return s.op("full", func(out *libtch.Ctensor) {
		libtch.AtgFull(out, shape, len(shape), scalar, int32(dtype), s.Device().code())
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

// Maximum returns the larger of a and b, element by element, broadcast.
func (s *Scope) Maximum(a, b Tensor) Tensor {
	return s.op("maximum", func(out *libtch.Ctensor) { libtch.AtgMaximum(out, a.c, b.c) })
}

// Where returns a where condition is true, else b, element by element, broadcast.
func (s *Scope) Where(condition, a, b Tensor) Tensor {
	return s.op("where", func(out *libtch.Ctensor) { libtch.AtgWhereSelf(out, condition.c, a.c, b.c) })
}

// WhereElse returns t where condition is true, else the value.
func (s *Scope) WhereElse(condition, t Tensor, value float64) Tensor {
	return s.withScalar("where", t, value, func(out *libtch.Ctensor, t libtch.Ctensor, value libtch.Cscalar) {
		libtch.AtgWhereScalarother(out, condition.c, t, value)
	})
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

// Ceil returns the smallest whole number from each element on.
func (s *Scope) Ceil(t Tensor) Tensor {
	return s.op("ceil", func(out *libtch.Ctensor) { libtch.AtgCeil(out, t.c) })
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
