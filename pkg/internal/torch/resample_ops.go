package torch

import "fmt"

// resampleElements bounds the floats of one tensor of resampleOps: 256 MB.
const resampleElements = 64 << 20

// Axis is one direction of N pieces on the device: where each lies in the picture, and
// how its samples lie in the output. All are float64 [N,1], whole numbers of pixels.
type Axis struct {
	From, Length Tensor // the interval of the picture
	Resized      Tensor // how many samples the interval becomes
	Kept         Tensor // the first of them that is kept
	To, Samples  Tensor // the place of the kept ones in the output, and their number
}

// ResampleInOps is Resample in libtorch's operations, on any device, for pieces that are
// known to the device alone: all together in two products with matrices of weights, which
// are made on the device. The number of operations doesn't grow with the pieces, only
// with the picture's size in blocks of memory. Nothing is uploaded, and nothing waits.
//
// filled says that each piece fills its output, so that fill isn't needed. The pieces
// must lie in the picture and in the output, which isn't checked.
//
// Shape letters: N pieces, S the output's side, C channels, L source columns or rows of a
// block.
func (s *Scope) ResampleInOps(picture Tensor, across, down Axis, size int64, fill []float32, filled bool) Tensor {
	shape, pieces := s.Shape(picture), s.Shape(across.From)
	if s.Err() != nil {
		return Tensor{}
	}
	if len(shape) != 4 || shape[0] != 1 || shape[1] != int64(len(fill)) || s.DType(picture) != Uint8 {
		s.Fail(fmt.Errorf("torch: resample: a picture %v of %s with %d fill values; the picture must be [1,C,H,W] "+
			"of uint8 and the fill [C]", shape, s.DType(picture), len(fill)))
		return Tensor{}
	}
	return s.Within(func() Tensor { return s.resampleOps(picture, pieces[0], across, down, size, fill, filled) })
}

func (s *Scope) resampleOps(picture Tensor, n int64, across, down Axis, size int64, fill []float32, filled bool) Tensor {
	shape, channels := s.Shape(picture), int64(len(fill))
	xs := blocks(shape[3], n*size)
	ys := blocks(shape[2], n*size*channels)
	columns, lines := s.kernels(across, size), s.kernels(down, size)
	wide := make([]Tensor, len(xs)) // [N*S,L]
	var sumX Tensor                 // [N*S,1]
	for i, x := range xs {
		wide[i] = s.Reshape(s.weights(columns, x[0], x[1]), n*size, -1)
		sumX = s.plus(sumX, s.Reshape(s.Sum(wide[i], 1), -1, 1))
	}
	var out, sumY Tensor // [N,S*C,S], [N,1,S]
	for _, y := range ys {
		rows := s.Within(func() Tensor {
			var sum Tensor // [N*S,C*L]
			for i, x := range xs {
				part := s.Slice(s.Slice(picture, 2, y[0], y[1]), 3, x[0], x[1])
				source := s.Reshape(s.To(part, Float32), channels*(y[1]-y[0]), -1)
				sum = s.plus(sum, s.Matmul(wide[i], s.Permute(source, 1, 0)))
			}
			return s.Reshape(s.toBytes(s.Div(sum, sumX)), n, size*channels, -1) // [N,S*C,L]
		})
		weights := s.weights(lines, y[0], y[1]) // [N,S,L]
		out = s.plus(out, s.Matmul(rows, s.Permute(weights, 0, 2, 1)))
		sumY = s.plus(sumY, s.Reshape(s.Sum(weights, 2), n, 1, -1))
		s.Free(rows)
		s.Free(weights)
	}
	out = s.Reshape(s.toBytes(s.Div(out, sumY)), n, size, channels, size) // x, channel, y
	out = s.Permute(out, 0, 2, 3, 1)
	if !filled {
		inside := s.Mul(s.Reshape(s.inside(down, size), n, 1, -1, 1), s.Reshape(s.inside(across, size), n, 1, 1, -1))
		out = s.Add(s.Mul(out, inside), s.Mul(s.colour(fill), s.AddScalar(s.Scale(inside, -1), 1)))
	}
	return s.Contiguous(out)
}

// colour returns [1,C,1,1] of the values, without an upload.
func (s *Scope) colour(values []float32) Tensor {
	channels := make([]Tensor, len(values))
	for i, v := range values {
		channels[i] = s.Full(float64(v), Float32, 1, 1, 1, 1)
	}
	return s.Cat(1, channels...)
}

// blocks cuts [0,length) into blocks of which a row of count floats each fits the memory.
func blocks(length, count int64) [][2]int64 {
	step := max(1, resampleElements/count)
	var blocks [][2]int64
	for low := int64(0); low < length; low += step {
		blocks = append(blocks, [2]int64{low, min(low+step, length)})
	}
	return blocks
}

// kernels says where the kernel of each sample of the output lies: source sample l is
// (l - origin) step + rest away from its middle. The origin is a whole number, so that
// float32 has the differences exactly.
type kernels struct {
	Axis
	origin, rest Tensor // float32 [N,S,1]
	step         Tensor // float32 [N,1,1], 1 over the stretch
}

// kernels stretches Catmull-Rom's kernel by the scale where a piece is made smaller, as
// precompute_coeffs of Pillow's Resample.c does.
func (s *Scope) kernels(a Axis, size int64) kernels {
	scale := s.Div(a.Length, a.Resized)                                   // [N,1], source samples for each sample of the resized interval
	stretch := s.ClampMin(scale, 1)                                       // [N,1]
	place := s.Sub(s.Arange(0, size, Float64), a.To)                      // [N,S]
	place = s.Minimum(s.ClampMin(place, 0), s.AddScalar(a.Samples, -1))   // what is filled has a weight, too
	centre := s.Mul(s.AddScalar(s.Add(place, a.Kept), 0.5), scale)        // [N,S], from the piece's start
	whole := s.Floor(centre)                                              // so that float32 has the rest exactly
	rest := s.Div(s.AddScalar(s.Sub(whole, centre), 0.5), stretch)        // [N,S]
	step := s.To(s.Div(s.Full(1, Float64, 1, 1), stretch), Float32)       // [N,1]
	origin := s.Reshape(s.To(s.Add(whole, a.From), Float32), -1, size, 1) // [N,S,1]
	return kernels{a, origin, s.Reshape(s.To(rest, Float32), -1, size, 1), s.Reshape(step, -1, 1, 1)}
}

// weights returns how much of each source sample in [low,high) is in each sample of the
// output: [N,S,high-low], not yet divided by its sum.
func (s *Scope) weights(k kernels, low, high int64) Tensor {
	return s.Within(func() Tensor {
		source := s.Arange(low, high, Float64)                                                   // [L]
		within := s.Mul(s.GreaterEqual(source, k.From), s.Less(source, s.Add(k.From, k.Length))) // [N,L]
		t := s.Sub(s.To(source, Float32), k.origin)                                              // [N,S,L], and so on
		t = s.then(t, func() Tensor { return s.Mul(t, k.step) })
		t = s.then(t, func() Tensor { return s.Add(t, k.rest) })
		t = s.then(t, func() Tensor { return s.cubic(t) })
		return s.then(t, func() Tensor { return s.Mul(t, s.Reshape(s.To(within, Float32), -1, 1, high-low)) })
	})
}

// cubic is Catmull-Rom's kernel with a = -0.5. With z = max(0, 2-|x|) and v = max(0,
// 1-|x|) it is z²(z-1)/2 + v²(1-2v): the outer piece, and what the inner one adds to it.
func (s *Scope) cubic(x Tensor) Tensor {
	negative := s.Scale(s.Abs(x), -1)
	piece := func(end, linear, constant float64) Tensor { // z² (linear z + constant)
		return s.Within(func() Tensor {
			z := s.AddScalar(negative, end)
			z = s.then(z, func() Tensor { return s.ClampMin(z, 0) })
			line := s.Scale(z, linear)
			line = s.then(line, func() Tensor { return s.AddScalar(line, constant) })
			line = s.then(line, func() Tensor { return s.Mul(line, z) })
			return s.Mul(line, z)
		})
	}
	return s.plus(piece(2, 0.5, -0.5), piece(1, -2, 1))
}

// then returns the next step of t, and frees t and what the step made beside its result.
// The tensors of a block are large.
func (s *Scope) then(t Tensor, step func() Tensor) Tensor {
	next := s.Within(step)
	s.Free(t)
	return next
}

// inside is 1 for the samples of the output [N,S] where the piece goes, else 0.
func (s *Scope) inside(a Axis, size int64) Tensor {
	place := s.Arange(0, size, Float64)
	return s.To(s.Mul(s.GreaterEqual(place, a.To), s.Less(place, s.Add(a.To, a.Samples))), Float32)
}

// toBytes rounds and clamps to 0..255, as Pillow does after each direction.
func (s *Scope) toBytes(t Tensor) Tensor {
	return s.Within(func() Tensor {
		t := s.Round(t)
		return s.then(t, func() Tensor { return s.Clamp(t, 0, 255) })
	})
}

// plus is a + b, or b if there is no a. It frees both.
func (s *Scope) plus(a, b Tensor) Tensor {
	if a.c == nil {
		return b
	}
	sum := s.Add(a, b)
	s.Free(a)
	s.Free(b)
	return sum
}
