package overlay

import (
	"image"
	"image/color"
	"math"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
)

// shades draws f in white on black and returns a digit 0 to 9 for each pixel, or . if it
// is black.
func shades(width, height int, f frame) string {
	m := plain(width, height, color.Black)
	f.draw(m, color.RGBA{R: 255, G: 255, B: 255, A: 255}, 1)
	var out strings.Builder
	for y := range height {
		for x := range width {
			if v := m.RGBAAt(x, y).R; v == 0 {
				out.WriteByte('.')
			} else {
				out.WriteByte('0' + v/26)
			}
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func TestFrameCoversThePartsOfPixels(t *testing.T) {
	for _, test := range []struct {
		name  string
		box   box.Box
		width float64
		want  string
	}{
		{"whole edges, a line of 2: one pixel on either side", box.Box{X0: 2, Y0: 1, X1: 6, Y1: 4}, 2, `
.999999.
.999999.
.99..99.
.999999.
.999999.
........
`},
		{"a line of 1: half a pixel on either side", box.Box{X0: 2, Y0: 2, X1: 5, Y1: 4}, 1, `
........
.24442..
.47474..
.47474..
.24442..
........
`},
		{"at the picture's border: inside of it", box.Box{X0: 0, Y0: 0, X1: 8, Y1: 6}, 1, `
99999999
9......9
9......9
9......9
9......9
99999999
`},
		{"beyond the border: the part that is inside", box.Box{X0: -5, Y0: 3, X1: 4.5, Y1: 80}, 1, `
........
........
44444...
94449...
9...9...
99999...
`},
		{"a point", box.Box{X0: 4, Y0: 3, X1: 4, Y1: 3}, 2, `
........
........
...99...
...99...
........
........
`},
		{"a line wider than the picture", box.Box{X0: 1, Y0: 1, X1: 2, Y1: 2}, 20, `
99999999
99999999
99999999
99999999
99999999
99999999
`},
	} {
		f, ok := newFrame(test.box, image.Rect(0, 0, 8, 6), test.width)
		if got := shades(8, 6, f); !ok || "\n"+got != test.want {
			t.Errorf("%s:\n%swant%s", test.name, got, test.want)
		}
	}
}

// TestFrameArea compares the drawn light with the frame's area. It fails if draw skips
// pixels or draws some twice.
func TestFrameArea(t *testing.T) {
	for _, b := range []box.Box{{X0: 10.3, Y0: 7.8, X1: 41.6, Y1: 33.3}, {X0: 20, Y0: 20, X1: 21.2, Y1: 20.9}, {X0: 5, Y0: 5.5, X1: 50, Y1: 9}, {X0: 3.9, Y0: 4, X1: 8, Y1: 47}} {
		for _, width := range []float64{1, 1.7, 2, 3.3} {
			m := plain(60, 50, color.Black)
			f, _ := newFrame(b, m.Rect, width)
			f.draw(m, color.RGBA{R: 255, A: 255}, 1)
			ink := 0.0
			for i := 0; i < len(m.Pix); i += 4 {
				ink += float64(m.Pix[i]) / 255
			}
			w, h := float64(b.X1-b.X0), float64(b.Y1-b.Y0)
			area := (w+width)*(h+width) - max(0, w-width)*max(0, h-width)
			if math.Abs(ink-area) > 0.002*area+0.1 { // each pixel is rounded to 1 of 255
				t.Errorf("%v with a line of %v: %.2f pixels of ink, want %.2f", b, width, ink, area)
			}
		}
	}
}

func TestFrameOpacity(t *testing.T) {
	m := plain(3, 3, color.RGBA{R: 100, G: 100, B: 100, A: 255})
	rect{1, 1, 2, 2}.fill(m, color.RGBA{R: 200, G: 0, B: 100, A: 255}, 0.5)
	if got, want := m.RGBAAt(1, 1), (color.RGBA{R: 150, G: 50, B: 100, A: 255}); got != want {
		t.Errorf("half of (200, 0, 100) on (100, 100, 100): %v, want %v", got, want)
	}
	if got := m.RGBAAt(0, 1); got != (color.RGBA{R: 100, G: 100, B: 100, A: 255}) {
		t.Errorf("beside the rectangle: %v", got)
	}
}
