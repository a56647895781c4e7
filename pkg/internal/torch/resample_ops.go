package torch

// resampleElements bounds the floats of one tensor of resampleOps: 256 MB.
const resampleElements = 64 << 20

// axis is one direction of N pieces on the device: where each starts and ends in the
// picture, and how its samples lie there. All are float64 [N,1], exact for any picture.
type axis struct {
	from, length Tensor // the source interval
	scale        Tensor // source samples for each sample of the resized interval
	kept, to     Tensor // the first kept sample, and its place in the output
	samples      Tensor // kept
	low, high    int64  // the part of the picture that any piece needs
}

// Columns of the plan of a direction.
const (
	planFrom = iota
	planLength
	planResized
	planKept
	planTo
	planSamples
	planColumns
)

// resampleOps resamples on any device, all pieces together in libtorch's operations: two
// products with matrices of weights, which are made on the device. The number of
// operations doesn't grow with the pieces, only with the picture's size in blocks of
// memory.
//
// Shape letters: N pieces, S the output's side, C channels, L source columns or rows of a
// block.
func (s *Scope) resampleOps(picture Tensor, pieces []Piece, size int64, fill []float32) Tensor {
	n, channels := int64(len(pieces)), int64(len(fill))
	across, down := s.axes(pieces)
	xs := s.blocks(across.low, across.high, n*size)
	ys := s.blocks(down.low, down.high, n*size*channels)
	wide := make([]Tensor, len(xs)) // [N*S,L]
	var sumX Tensor                 // [N*S,1]
	for i, x := range xs {
		wide[i] = s.Reshape(s.weights(across, x[0], x[1], size), n*size, -1)
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
		weights := s.weights(down, y[0], y[1], size) // [N,S,L]
		out = s.plus(out, s.Matmul(rows, s.Permute(weights, 0, 2, 1)))
		sumY = s.plus(sumY, s.Reshape(s.Sum(weights, 2), n, 1, -1))
		s.Free(rows)
		s.Free(weights)
	}
	out = s.Reshape(s.toBytes(s.Div(out, sumY)), n, size, channels, size) // x, channel, y
	out = s.Permute(out, 0, 2, 3, 1)
	if !filled(pieces, int(size)) {
		inside := s.Mul(s.Reshape(s.inside(down, size), n, 1, -1, 1), s.Reshape(s.inside(across, size), n, 1, 1, -1))
		colour := Upload(s, fill, 1, channels, 1, 1)
		out = s.Add(s.Mul(out, inside), s.Mul(colour, s.AddScalar(s.Scale(inside, -1), 1)))
	}
	return s.Contiguous(out)
}

// filled reports whether each piece fills its output.
func filled(pieces []Piece, size int) bool {
	for _, p := range pieces {
		if p.To.Dx() != size || p.To.Dy() != size {
			return false
		}
	}
	return true
}

// axes uploads how the pieces lie along x and y.
func (s *Scope) axes(pieces []Piece) (across, down axis) {
	plans := make([]int64, 0, 2*planColumns*len(pieces))
	bounds := pieces[0].From
	for _, p := range pieces {
		bounds = bounds.Union(p.From)
		plans = append(plans,
			int64(p.From.Min.X), int64(p.From.Dx()), int64(p.Width), int64(p.Left), int64(p.To.Min.X), int64(p.To.Dx()),
			int64(p.From.Min.Y), int64(p.From.Dy()), int64(p.Height), int64(p.Top), int64(p.To.Min.Y), int64(p.To.Dy()))
	}
	plan := s.To(Upload(s, plans, int64(len(pieces)), 2*planColumns), Float64)
	of := func(first, low, high int) axis {
		column := func(i int64) Tensor { return s.Slice(plan, 1, int64(first)+i, int64(first)+i+1) }
		return axis{
			from: column(planFrom), length: column(planLength), scale: s.Div(column(planLength), column(planResized)),
			kept: column(planKept), to: column(planTo), samples: column(planSamples),
			low: int64(low), high: int64(high),
		}
	}
	return of(0, bounds.Min.X, bounds.Max.X), of(planColumns, bounds.Min.Y, bounds.Max.Y)
}

// blocks cuts [low,high) into blocks of which a row of count floats each fits the memory.
func (s *Scope) blocks(low, high, count int64) [][2]int64 {
	step := max(1, resampleElements/count)
	var blocks [][2]int64
	for ; low < high; low += step {
		blocks = append(blocks, [2]int64{low, min(low+step, high)})
	}
	return blocks
}

// weights returns how much of each source sample in [low,high) is in each sample of the
// output: [N,S,high-low], not yet divided by its sum. The kernel is Catmull-Rom's, a =
// -0.5, stretched by the scale where the piece is made smaller, as in precompute_coeffs
// of Pillow's Resample.c.
func (s *Scope) weights(a axis, low, high, size int64) Tensor {
	return s.Within(func() Tensor {
		stretch := s.ClampMin(a.scale, 1)                                                        // [N,1]
		place := s.Sub(s.Arange(0, size, Float64), a.to)                                         // [N,S]
		place = s.Minimum(s.ClampMin(place, 0), s.AddScalar(a.samples, -1))                      // what is filled has a weight, too
		centre := s.Mul(s.AddScalar(s.Add(place, a.kept), 0.5), a.scale)                         // [N,S], from the piece's start
		whole := s.Floor(centre)                                                                 // so that float32 has the rest exactly
		rest := s.Div(s.AddScalar(s.Sub(whole, centre), 0.5), stretch)                           // [N,S]
		step := s.To(s.Div(s.Ones(Float64, 1, 1), stretch), Float32)                             // [N,1]
		source := s.Arange(low, high, Float64)                                                   // [L]
		within := s.Mul(s.GreaterEqual(source, a.from), s.Less(source, s.Add(a.from, a.length))) // [N,L]
		origin := s.Reshape(s.To(s.Add(whole, a.from), Float32), -1, size, 1)
		t := s.Sub(s.To(source, Float32), origin) // [N,S,L], and so on
		t = s.then(t, func() Tensor { return s.Mul(t, s.Reshape(step, -1, 1, 1)) })
		t = s.then(t, func() Tensor { return s.Add(t, s.Reshape(s.To(rest, Float32), -1, size, 1)) })
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
func (s *Scope) inside(a axis, size int64) Tensor {
	place := s.Arange(0, size, Float64)
	return s.To(s.Mul(s.GreaterEqual(place, a.to), s.Less(place, s.Add(a.to, a.samples))), Float32)
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
