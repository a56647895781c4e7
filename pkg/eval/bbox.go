package eval

import (
	"fmt"
	"math"

	"github.com/clipdet/clipdet/pkg/box"
)

// BBox is a box in COCO's form: x and y of the top left corner, width and height, in
// pixels.
type BBox [4]float64

// FromBox converts a box given by its edges. It computes width and height in float64.
func FromBox(b box.Box) BBox {
	x, y := float64(b.X0), float64(b.Y0)
	return BBox{x, y, float64(b.X1) - x, float64(b.Y1) - y}
}

// Box returns the edges of b, each rounded to the nearest float32.
func (b BBox) Box() box.Box {
	return box.Box{X0: float32(b[0]), Y0: float32(b[1]), X1: float32(b[0] + b[2]), Y1: float32(b[1] + b[3])}
}

func (b BBox) area() float64 { return b[2] * b[3] }

// IoU returns the area that a detection b and a truth share, divided by the area that
// they cover together. If the truth is a crowd region, IoU returns the share of b that
// lies in the region (bbIou in pycocotools' maskApi.c). It returns 0 if they share
// nothing.
func (b BBox) IoU(truth BBox, crowd bool) float64 {
	w := min(b[2]+b[0], truth[2]+truth[0]) - max(b[0], truth[0])
	if w <= 0 {
		return 0
	}
	h := min(b[3]+b[1], truth[3]+truth[1]) - max(b[1], truth[1])
	if h <= 0 {
		return 0
	}
	// The conversions keep Go from fusing a product with the sum below, which changes the
	// last bit on some processors.
	shared, own, its := float64(w*h), float64(b[2]*b[3]), float64(truth[2]*truth[3])
	if crowd {
		return shared / own
	}
	return shared / (own + its - shared)
}

// check fails with ErrBBox if no metric can be computed with b.
func (b BBox) check() error {
	for _, v := range b {
		if !finite(v) {
			return fmt.Errorf("%w: %v holds a number that isn't finite", ErrBBox, b)
		}
	}
	if b[2] < 0 || b[3] < 0 {
		return fmt.Errorf("%w: %v has a negative width or height; write [x,y,width,height]", ErrBBox, b)
	}
	if !finite(b[0]+b[2]) || !finite(b[1]+b[3]) || !finite(b.area()) {
		return fmt.Errorf("%w: %v is too large to compute its area", ErrBBox, b)
	}
	return nil
}

// finite reports whether v is neither infinite nor NaN. The test v-v == 0 would be wrong:
// if v is a product, arm64 fuses it with the subtraction, which leaves its rounding
// error.
func finite(v float64) bool { return math.Abs(v) <= math.MaxFloat64 }
