package overlay

import (
	"image"
	"image/color"
	"math"

	"github.com/clipdet/clipdet/pkg/box"
)

// rect is a rectangle with edges between pixels.
type rect struct{ x0, y0, x1, y1 float64 }

// frame is the area between two rectangles: the line around a box.
type frame struct{ outer, inner rect }

// newFrame returns the line along b's edges, half outside and half inside of b. It moves
// a line that would leave the picture into it. It returns false for a box that can't be
// seen.
func newFrame(b box.Box, picture image.Rectangle, width float64) (frame, bool) {
	w, h := float64(picture.Dx()), float64(picture.Dy())
	if !b.Valid() || float64(b.X0) > w || float64(b.Y0) > h || b.X1 < 0 || b.Y1 < 0 || picture.Empty() {
		return frame{}, false
	}
	b = b.Clip(picture.Dx(), picture.Dy())
	var f frame
	f.outer.x0, f.inner.x0 = line(b.X0, w, width)
	f.outer.y0, f.inner.y0 = line(b.Y0, h, width)
	f.inner.x1, f.outer.x1 = line(b.X1, w, width)
	f.inner.y1, f.outer.y1 = line(b.Y1, h, width)
	return f, true
}

// line returns the start and end of the line along an edge, within 0 to limit.
func line(edge float32, limit, width float64) (from, to float64) {
	from = max(0, min(float64(edge)-width/2, limit-width))
	return from, min(from+width, limit)
}

// grown returns f with its line wider on either side.
func (f frame) grown(by float64) frame {
	o, i := f.outer, f.inner
	return frame{
		rect{o.x0 - by, o.y0 - by, o.x1 + by, o.y1 + by},
		rect{i.x0 + by, i.y0 + by, i.x1 - by, i.y1 - by},
	}
}

// draw blends f into m, each pixel in proportion to its covered part.
func (f frame) draw(m *image.RGBA, c color.RGBA, opacity float64) {
	if opacity < 1.0/512 { // too faint to change a pixel
		return
	}
	left, right := covered(f.outer.x0, f.outer.x1, m.Rect.Dx())
	top, bottom := covered(f.outer.y0, f.outer.y1, m.Rect.Dy())
	for y := top; y < bottom; y++ {
		outer := cover(f.outer.y0, f.outer.y1, y)
		inner := cover(f.inner.y0, f.inner.y1, y)
		for x := left; x < right; x++ {
			hole := cover(f.inner.x0, f.inner.x1, x)
			if inner == 1 && hole == 1 {
				// The pixels up to the line at the right don't change.
				x = max(x, min(int(f.inner.x1), right)-1)
				continue
			}
			blend(m, x, y, c, opacity*(outer*cover(f.outer.x0, f.outer.x1, x)-inner*hole))
		}
	}
}

// fill blends r into m.
func (r rect) fill(m *image.RGBA, c color.RGBA, opacity float64) {
	frame{outer: r, inner: rect{r.x0, r.y0, r.x0, r.y0}}.draw(m, c, opacity)
}

// covered returns the pixels of a row of n that lie at least partly between from and to.
func covered(from, to float64, n int) (first, end int) {
	return max(0, int(math.Floor(from))), min(n, int(math.Ceil(to)))
}

// pixels returns the pixels that r touches.
func (r rect) pixels() image.Rectangle {
	return image.Rect(int(math.Floor(r.x0)), int(math.Floor(r.y0)), int(math.Ceil(r.x1)), int(math.Ceil(r.y1)))
}

// cover returns the part of pixel i, which is from i to i+1, between from and to.
func cover(from, to float64, i int) float64 {
	return max(0, min(to, float64(i+1))-max(from, float64(i)))
}

// blend mixes a part of c, in [0,1], into a pixel.
func blend(m *image.RGBA, x, y int, c color.RGBA, part float64) {
	if part <= 0 {
		return
	}
	p := m.Pix[m.PixOffset(x, y):][:4]
	weight := int32(part*(1<<16) + 0.5)
	for i, v := range [4]uint8{c.R, c.G, c.B, c.A} {
		p[i] += uint8(((int32(v)-int32(p[i]))*weight + 1<<15) >> 16)
	}
}
