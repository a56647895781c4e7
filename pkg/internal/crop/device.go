package crop

import (
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// OnDevice is Rect and Crops for boxes that only the device knows, float32 [N,4] (x0, y0,
// x1, y1): nothing is uploaded, and nothing waits. A box with a NaN becomes a crop of NaN,
// or of any pixels.
func OnDevice(s *torch.Scope, picture, boxes torch.Tensor, context float64, mode Mode, size int, mean []float64) torch.Tensor {
	return s.Within(func() torch.Tensor {
		shape := s.Shape(picture)
		if s.Err() != nil {
			return torch.Tensor{}
		}
		low, length := outward(s, scaled(s, boxes, context), shape[3], shape[2])
		across, down := mode.axes(s, low, length, int64(size))
		return s.DivBy(s.ResampleInOps(picture, across, down, int64(size), values(mean), mode != Pad), 255)
	})
}

// scaled scales boxes [N,4] about their centres, with Rect's own sums in float32. Boxes
// without an area stay as they are.
func scaled(s *torch.Scope, boxes torch.Tensor, context float64) torch.Tensor {
	if context == 1 {
		return boxes
	}
	low, high := s.Slice(boxes, 1, 0, 2), s.Slice(boxes, 1, 2, 4)
	more := s.Scale(s.Sub(s.Scale(high, 0.5), s.Scale(low, 0.5)), float64(float32(context-1)))
	side := s.To(s.Less(low, high), torch.Float32) // 1 where x1 > x0, and where y1 > y0
	area := s.Mul(s.Slice(side, 1, 0, 1), s.Slice(side, 1, 1, 2))
	return s.Where(s.Less(s.Full(0, torch.Float32, 1, 1), area), s.Cat(1, s.Sub(low, more), s.Add(high, more)), boxes)
}

// outward rounds boxes [N,4] outward and clips them to the picture, as Rect does. It
// returns the corner and the sides of each, whole pixels, float64 [N,2].
func outward(s *torch.Scope, boxes torch.Tensor, width, height int64) (low, length torch.Tensor) {
	boxes = s.To(boxes, torch.Float64)
	low, high := s.Floor(s.Slice(boxes, 1, 0, 2)), s.Ceil(s.Slice(boxes, 1, 2, 4))
	sides := s.Cat(1, s.Full(float64(width), torch.Float64, 1, 1), s.Full(float64(height), torch.Float64, 1, 1))
	low = s.Minimum(s.ClampMin(low, 0), s.AddScalar(sides, -1))
	high = s.Minimum(s.Maximum(high, s.AddScalar(low, 1)), sides)
	return low, s.Sub(high, low)
}

// axes plans the resampling of rectangles, as piece does. low and length are float64
// [N,2], along x and y.
func (m Mode) axes(s *torch.Scope, low, length torch.Tensor, size int64) (across, down torch.Axis) {
	side, zero := s.Full(float64(size), torch.Float64, 1, 1), s.Full(0, torch.Float64, 1, 1)
	axis := func(i int64) torch.Axis {
		own, other := s.Slice(length, 1, i, i+1), s.Slice(length, 1, 1-i, 2-i)
		a := torch.Axis{From: s.Slice(low, 1, i, i+1), Length: own, Resized: side, Kept: zero, To: zero, Samples: side}
		// How long the side becomes if the other becomes the output's. A quotient of
		// whole numbers below 2^26 isn't rounded up to the next whole number.
		share := func() torch.Tensor { return s.Floor(s.Div(s.Scale(own, float64(size)), other)) }
		switch m { // pkg/detect has checked it
		case Squash:
		case Pad:
			a.Resized = s.Clamp(share(), 1, float64(size))
			a.To, a.Samples = s.Floor(s.Scale(s.Sub(side, a.Resized), 0.5)), a.Resized
		case CLIP, "":
			a.Resized = s.ClampMin(share(), float64(size))
			a.Kept = s.Round(s.Scale(s.Sub(a.Resized, side), 0.5)) // half to even
		}
		return a
	}
	return axis(0), axis(1)
}
