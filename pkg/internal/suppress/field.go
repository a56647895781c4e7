package suppress

import (
	"image"
	"math"

	"github.com/clipdet/clipdet/pkg/box"
)

// Field holds boxes, of any number of which it finds those that overlap another without a
// look at all. The zero Field holds none.
type Field struct {
	// layers have cells of 1, 2, 4, ... pixels a side. A box is in the first whose cells are
	// larger than it, at the cell of its upper left corner, and ends in the next cell at
	// most.
	layers []map[image.Point][]box.Box
}

// Add adds a box in pixels of a picture. An empty box overlaps none.
func (f *Field) Add(b box.Box) {
	if b.Empty() {
		return
	}
	_, layer := math.Frexp(max(float64(b.X1)-float64(b.X0), float64(b.Y1)-float64(b.Y0)))
	layer = max(layer, 0)
	for len(f.layers) <= layer {
		f.layers = append(f.layers, make(map[image.Point][]box.Box))
	}
	at := cell(b.X0, b.Y0, math.Ldexp(1, layer))
	f.layers[layer][at] = append(f.layers[layer][at], b)
}

// Any reports whether is holds for a box that has more than a share of b's area in common
// with b. It asks some of the other boxes too.
func (f *Field) Any(b box.Box, share float64, is func(box.Box) bool) bool {
	if b.Empty() {
		return false
	}
	anyOf := func(boxes []box.Box) bool {
		for _, c := range boxes {
			if is(c) {
				return true
			}
		}
		return false
	}
	for layer, cells := range f.layers {
		side := math.Ldexp(1, layer)
		if len(cells) == 0 || side*side <= share*b.Area() {
			continue
		}
		around := image.Rectangle{Min: cell(b.X0, b.Y0, side).Sub(image.Pt(1, 1)), Max: cell(b.X1, b.Y1, side).Add(image.Pt(1, 1))}
		if around.Dx()*around.Dy() > len(cells) {
			for at, boxes := range cells {
				if at.In(around) && anyOf(boxes) {
					return true
				}
			}
			continue
		}
		for y := around.Min.Y; y < around.Max.Y; y++ {
			for x := around.Min.X; x < around.Max.X; x++ {
				if anyOf(cells[image.Pt(x, y)]) {
					return true
				}
			}
		}
	}
	return false
}

// cell returns the cell of a point.
func cell(x, y float32, side float64) image.Point {
	return image.Pt(int(math.Floor(float64(x)/side)), int(math.Floor(float64(y)/side)))
}
