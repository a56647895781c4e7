package box

import (
	"image"
	"math"
)

// Box is an axis-aligned rectangle, given by its left, top, right and bottom edges in
// pixels. In JSON it is the array [x0,y0,x1,y1].
type Box struct{ X0, Y0, X1, Y1 float32 }

// Empty reports whether b has no interior: whether its width or height is zero, negative
// or NaN.
func (b Box) Empty() bool { return !(b.X1 > b.X0 && b.Y1 > b.Y0) }

// Valid reports whether all four edges are finite and in order: X0 <= X1 and Y0 <= Y1. A
// valid box may be empty.
func (b Box) Valid() bool {
	return finite(b.X0) && finite(b.Y0) && finite(b.X1) && finite(b.Y1) && b.X0 <= b.X1 && b.Y0 <= b.Y1
}

// Area returns width times height in square pixels, or 0 if b is empty. It computes in
// float64, which is exact for whole edges of up to 16 million pixels.
func (b Box) Area() float64 {
	if b.Empty() {
		return 0
	}
	return (float64(b.X1) - float64(b.X0)) * (float64(b.Y1) - float64(b.Y0))
}

// Intersect returns the part that b and c share, or the zero Box if they share no
// interior.
func (b Box) Intersect(c Box) Box {
	shared := Box{max(b.X0, c.X0), max(b.Y0, c.Y0), min(b.X1, c.X1), min(b.Y1, c.Y1)}
	if b.Empty() || c.Empty() || shared.Empty() {
		return Box{}
	}
	return shared
}

// IoU returns the area that b and c share, divided by the area that they cover together.
// It is in [0,1]: 0 if either box is empty. It is NaN if the shared area is infinite.
func (b Box) IoU(c Box) float64 {
	shared := b.Intersect(c).Area()
	if shared == 0 {
		return 0
	}
	return shared / (b.Area() + c.Area() - shared)
}

// Clip returns b with each edge outside an image of width x height pixels moved to the
// image's border. A box wholly outside becomes an empty box on the border.
func (b Box) Clip(width, height int) Box {
	w, h := float32(width), float32(height)
	return Box{
		X0: min(max(b.X0, 0), w),
		Y0: min(max(b.Y0, 0), h),
		X1: min(max(b.X1, 0), w),
		Y1: min(max(b.Y1, 0), h),
	}
}

// Outward returns the smallest rectangle of whole pixels that contains b: the floor of X0
// and Y0, the ceiling of X1 and Y1. It clips edges to the range of int32, but not to an
// image. If an edge is NaN, it returns the zero Rectangle.
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

// whole converts v to int. It needs limits because Go doesn't define the conversion of a
// float beyond int's range.
func whole(v float64) int { return int(min(max(v, math.MinInt32), math.MaxInt32)) }

// finite reports whether v is neither infinite nor NaN.
func finite(v float32) bool { return -math.MaxFloat32 <= v && v <= math.MaxFloat32 }
