package overlay

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
)

// noise returns a picture in which each pixel has its own colour.
func noise(r image.Rectangle) *image.NRGBA {
	random := rand.New(rand.NewPCG(1, 2))
	m := image.NewNRGBA(r)
	for i := range m.Pix {
		m.Pix[i] = uint8(random.Uint32())
		if i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	return m
}

func plain(width, height int, c color.Color) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(m, m.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	return m
}

// changed returns the smallest rectangle with all pixels in which a and b differ.
func changed(t *testing.T, a, b *image.RGBA) image.Rectangle {
	t.Helper()
	if a.Rect != b.Rect {
		t.Fatalf("pictures of %v and %v", a.Rect, b.Rect)
	}
	var r image.Rectangle
	for y := range a.Rect.Dy() {
		for x := range a.Rect.Dx() {
			if a.RGBAAt(x, y) != b.RGBAAt(x, y) {
				r = r.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return r
}

func TestNoMarksLeaveThePicture(t *testing.T) {
	ycbcr := image.NewYCbCr(image.Rect(2, 4, 32, 24), image.YCbCrSubsampleRatio420)
	for i := range ycbcr.Y {
		ycbcr.Y[i] = uint8(i)
	}
	for _, img := range []image.Image{noise(image.Rect(0, 0, 40, 30)), noise(image.Rect(-7, 11, 20, 40)), ycbcr, image.NewGray(image.Rect(0, 0, 1, 1)), image.NewGray(image.Rectangle{})} {
		b := img.Bounds()
		for name, out := range map[string]*image.RGBA{"original": Original(img), "proposals": Proposals(img, nil), "detections": Detections(img, nil)} {
			if out.Rect != image.Rect(0, 0, b.Dx(), b.Dy()) {
				t.Errorf("%s of %T at %v: bounds %v", name, img, b, out.Rect)
				continue
			}
			for y := range b.Dy() {
				for x := range b.Dx() {
					if got, want := out.RGBAAt(x, y), color.RGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)); got != want {
						t.Fatalf("%s of %T: (%d, %d) is %v, want %v", name, img, x, y, got, want)
					}
				}
			}
		}
	}
}

func TestTheImageIsNotDrawnOn(t *testing.T) {
	for _, img := range []*image.RGBA{plain(60, 40, color.White)} {
		before := bytes.Clone(img.Pix)
		marks := []Mark{{Box: box.Box{X0: 5, Y0: 5, X1: 30, Y1: 30}, Score: 0.5, Name: "cat"}, {Box: box.Box{X0: 15, Y0: 5, X1: 40, Y1: 30}, Score: 0.9, Name: "dog"}}
		first := marks[0]
		Proposals(img, marks)
		Detections(img, marks)
		if !bytes.Equal(img.Pix, before) || marks[0] != first {
			t.Error("the image or the marks have changed")
		}
	}
}

func TestUnseenBoxes(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	img := noise(image.Rect(0, 0, 50, 40))
	want := Original(img)
	for _, b := range []box.Box{
		{X0: nan, Y0: 1, X1: 9, Y1: 9}, {X0: 1, Y0: 1, X1: inf, Y1: 9}, {X0: -inf, Y0: 1, X1: 4, Y1: inf},
		{X0: 9, Y0: 1, X1: 3, Y1: 9}, {X0: 60, Y0: 1, X1: 70, Y1: 9}, {X0: -9, Y0: 1, X1: -3, Y1: 9},
		{X0: 1, Y0: 41, X1: 3, Y1: 50}, {X0: 1, Y0: -4, X1: 3, Y1: -2},
	} {
		marks := []Mark{{Box: b, Name: "ghost", Score: 0.5}}
		if r := changed(t, Detections(img, marks), want).Union(changed(t, Proposals(img, marks), want)); !r.Empty() {
			t.Errorf("%v: drawn at %v, want nothing", b, r)
		}
	}
	// A line or a point inside the picture has no area, but a tag.
	for _, b := range []box.Box{{X0: 9, Y0: 9, X1: 9, Y1: 9}, {X0: 9, Y0: 9, X1: 30, Y1: 9}, {X1: 50, Y1: 40}, {X0: -1e30, Y0: -1e30, X1: 1e30, Y1: 1e30}} {
		marks := []Mark{{Box: b, Name: "thin", Score: math.NaN()}}
		if changed(t, Detections(img, marks), want).Empty() || changed(t, Proposals(img, marks), want).Empty() {
			t.Errorf("%v: not drawn", b)
		}
	}
}

func TestAnySize(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {2, 1}, {1, 300}, {300, 1}, {7, 7}, {16, 16}, {24, 12}, {50, 50}, {3, 9000}, {9000, 3}} {
		img := plain(size.X, size.Y, color.White)
		marks := []Mark{
			{Box: box.Box{X1: float32(size.X), Y1: float32(size.Y)}, Name: "everything there is to see", Score: 0.9},
			{Box: box.Box{X0: 0.3, Y0: 0.2, X1: 0.9, Y1: 0.8}, Score: 0.2, Group: 1},
		}
		if d := Detections(img, marks); changed(t, d, img).Empty() {
			t.Errorf("%v: nothing drawn", size)
		}
		Proposals(img, marks)
	}
}

func TestBestOnTop(t *testing.T) {
	img := plain(500, 500, color.White) // lines of 2 pixels cover whole ones
	// Two frames cross, in both orders of the marks.
	marks := []Mark{
		{Box: box.Box{X0: 50, Y0: 100, X1: 250, Y1: 200}, Score: 0.3, Group: 1},
		{Box: box.Box{X0: 100, Y0: 50, X1: 200, Y1: 250}, Score: 0.8, Group: 2},
	}
	for range 2 {
		if got := Detections(img, marks).RGBAAt(100, 100); got != groupColour(2) {
			t.Errorf("where detections cross: %v, want that of the better, %v", got, groupColour(2))
		}
		p := Proposals(img, marks)
		if got, want := p.RGBAAt(100, 100), p.RGBAAt(100, 60); got != want {
			t.Errorf("where proposals cross: %v, want that of the better, %v", got, want)
		}
		marks[0], marks[1] = marks[1], marks[0]
	}
}

func TestBetterProposalsAreStronger(t *testing.T) {
	img := plain(600, 100, color.Black)
	var marks []Mark
	for i := range 10 {
		x := float32(20 + 55*i)
		marks = append(marks, Mark{Box: box.Box{X0: x, Y0: 20, X1: x + 40, Y1: 80}, Score: float64(i) / 10})
	}
	out := Proposals(img, marks)
	first, before := 0.0, 0.0
	for i, m := range marks {
		// The light in a row through the left line.
		sum := 0.0
		for x := int(m.Box.X0) - 8; x < int(m.Box.X0)+8; x++ {
			c := out.RGBAAt(x, 50)
			for _, v := range []uint8{c.R, c.G, c.B} {
				sum += float64(v)
			}
		}
		if sum < before {
			t.Errorf("proposal %d is fainter (%.0f) than the worse one before it (%.0f)", i, sum, before)
		}
		if before = sum; i == 0 {
			first = sum
		}
	}
	if before < 4*first {
		t.Errorf("the best proposal has %.0f light, which is not 4 times the worst's %.0f", before, first)
	}
}

func benchmarkMarks(n int) []Mark {
	random := rand.New(rand.NewPCG(5, 6))
	var marks []Mark
	for i := range n {
		x, y := random.Float32()*560, random.Float32()*400
		marks = append(marks, Mark{
			Box:   box.Box{X0: x, Y0: y, X1: x + 20 + random.Float32()*200, Y1: y + 20 + random.Float32()*200},
			Score: random.Float64(), Name: fmt.Sprint("object ", i%7), Group: i % 7,
		})
	}
	return marks
}

func BenchmarkProposals300(b *testing.B) {
	img, marks := noise(image.Rect(0, 0, 640, 480)), benchmarkMarks(300)
	for b.Loop() {
		Proposals(img, marks)
	}
}

func BenchmarkDetections20(b *testing.B) {
	img, marks := noise(image.Rect(0, 0, 640, 480)), benchmarkMarks(20)
	for b.Loop() {
		Detections(img, marks)
	}
}
