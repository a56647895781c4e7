package box

import (
	"image"
	"math"
)

// Box is an axis-aligned rectangle: left, top, right and bottom edge in pixels.
// In JSON it is the array [x0,y0,x1,y1].
type Box struct{ X0, Y0, X1, Y1 float32 }

// Empty says whether b has no interior: a width or height that is zero,
// negative or NaN.
func (b Box) Empty() bool { return !(b.X1 > b.X0 && b.Y1 > b.Y0) }

// Valid says whether all four edges are finite and in order, X0 <= X1 and
// Y0 <= Y1. A valid box may be empty.
func (b Box) Valid() bool {
	return finite(b.X0) && finite(b.Y0) && finite(b.X1) && finite(b.Y1) && b.X0 <= b.X1 && b.Y0 <= b.Y1
}

// Area is width times height in square pixels, 0 if b is empty. It is computed
// in float64, where it is exact for all edges of up to 16 million pixels that
// are whole.
func (b Box) Area() float64 {
	if b.Empty() {
		return 0
	}
	return (float64(b.X1) - float64(b.X0)) * (float64(b.Y1) - float64(b.Y0))
}

// Intersect is the part that b and c share, and the zero Box if they share no
// interior.
func (b Box) Intersect(c Box) Box {
	shared := Box{max(b.X0, c.X0), max(b.Y0, c.Y0), min(b.X1, c.X1), min(b.Y1, c.Y1)}
	if b.Empty() || c.Empty() || shared.Empty() {
		return Box{}
	}
	return shared
}

// IoU is the area that b and c share divided by the area that they cover
// together, in [0,1]. It is 0 if either is empty. Infinite boxes give NaN.
func (b Box) IoU(c Box) float64 {
	shared := b.Intersect(c).Area()
	if shared == 0 {
		return 0
	}
	return shared / (b.Area() + c.Area() - shared)
}

// Clip moves the edges that lie outside of an image of width x height pixels
// to its border. A box that lies wholly outside becomes an empty box on the
// border.
func (b Box) Clip(width, height int) Box {
	w, h := float32(width), float32(height)
	return Box{
		X0: min(max(b.X0, 0), w),
		Y0: min(max(b.Y0, 0), h),
		X1: min(max(b.X1, 0), w),
		Y1: min(max(b.Y1, 0), h),
	}
}

// Outward is the smallest rectangle of whole pixels that contains b: the floor
// of X0 and Y0, the ceiling of X1 and Y1. It does not clip to any image. Edges
// beyond the range of int32 are moved to its ends, and the rectangle of a box
// with a NaN edge is the zero Rectangle.
func (b Box) Outward() image.Rectangle {
	for _, edge := range [...]float32{b.X0, b.Y0, b.X1, b.Y1} {
		if edge != edge {
			return image.Rectangle{}
		}
	}
	return image.Rectangle{
		Min: image.Point{X: whole(math.Floor(float64(b.X0))), Y: whole(math.Floor(float64(b.Y0)))},
		Max: image.Point{X: whole(math.Ceil(float64(b.X1))), Y: whole(math.Ceil(float64(b.Y1)))},
	}
}

// whole converts v to int. Go leaves the conversion of a float beyond int's
// range to the platform, hence the limits.
func whole(v float64) int { return int(min(max(v, math.MinInt32), math.MaxInt32)) }

// finite reports whether v is neither infinite nor NaN.
func finite(v float32) bool { return -math.MaxFloat32 <= v && v <= math.MaxFloat32 }
