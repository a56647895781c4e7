package crop

import (
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// noise is a picture of random pixels, the hardest for resampling.
func noise(width, height int) *pixels.RGB {
	random := rand.New(rand.NewPCG(uint64(width), uint64(height)))
	picture := &pixels.RGB{Pix: make([]uint8, 3*width*height), Width: width, Height: height}
	for i := range picture.Pix {
		picture.Pix[i] = uint8(random.IntN(256))
	}
	return picture
}

// rectangles are of any size and shape within a picture.
func rectangles(random *rand.Rand, n, width, height int) (rects []image.Rectangle) {
	for range n {
		x, y := random.IntN(width), random.IntN(height)
		rects = append(rects, image.Rect(x, y, x+1+random.IntN(width-x), y+1+random.IntN(height-y)))
	}
	return rects
}

// cropped cuts rects in the way of the device, and returns what that took of it.
func cropped(t *testing.T, on torch.Device, picture *pixels.RGB, rects []image.Rectangle, mode Mode, size int) ([]float32, torch.Work) {
	t.Helper()
	engine, err := torch.Start(on, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	var values []float32
	var work torch.Work
	if err := engine.Do(t.Context(), func(s *torch.Scope) error {
		uploaded := Upload(s, picture)
		before := engine.Work()
		crops := Crops(s, uploaded, rects, mode, size, []float64{0.5, 0.25, 0.125})
		work = engine.Work().Sub(before)
		values = torch.Download[float32](s, crops)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return values, work
}

// The way of a GPU is the loops' way in other sums, which now and then round otherwise.
func TestCropsInOpsEqualTheLoops(t *testing.T) {
	const width, height, size = 157, 121, 32
	random := rand.New(rand.NewPCG(5, 6))
	picture := noise(width, height)
	for _, mode := range []Mode{CLIP, Squash, Pad} {
		rects := rectangles(random, 700, width, height)
		loops, _ := cropped(t, torch.CPU, picture, rects, mode, size)
		ops, _ := cropped(t, torch.CPUAsGPU, picture, rects, mode, size)
		off, total := 0, 0.0
		for i := range ops {
			difference := math.Abs(float64(ops[i]-loops[i])) * 255
			if difference > 2.001 {
				t.Fatalf("%s: value %d of %v is %v, and %v by the loops", mode, i%(3*size*size), rects[i/(3*size*size)], ops[i], loops[i])
			}
			if total += difference; difference > 1.001 {
				off++
			}
		}
		if mean := total / float64(len(ops)); mean > 0.005 || off > len(ops)/100_000 {
			t.Errorf("%s: the mean difference is %.5f of 255 and %d of %d values are off by 2, want at most 0.005 and 1 in 100,000", mode, mean, off, len(ops))
		}
	}
}

// Boxes that only the device knows become the rectangles that Rect makes of them.
func TestBoxesOnTheDeviceAreCutAsRectangles(t *testing.T) {
	const width, height, size = 157, 121, 16
	random := rand.New(rand.NewPCG(11, 12))
	boxes := []box.Box{{}, {X0: 3, Y0: 4, X1: 3, Y1: 9}, {X0: 9, Y0: 9, X1: 2, Y1: 12}, {X0: 200, Y0: 200, X1: 300, Y1: 210},
		{X0: -9, Y0: -9, X1: -2, Y1: -1}, {X0: 0, Y0: 0, X1: width, Y1: height}, {X0: -3e38, Y0: 1, X1: 3e38, Y1: 2},
		{X0: 0.5, Y0: 0.25, X1: 0.75, Y1: 0.5}, {X0: 12, Y0: 13, X1: 25, Y1: 14}}
	for range 600 {
		edge := func(side int) float32 { return float32(random.NormFloat64()*float64(side)/3) + float32(side)/2 }
		b := box.Box{X0: edge(width), Y0: edge(height), X1: edge(width), Y1: edge(height)}
		if random.IntN(3) > 0 {
			b = box.Box{X0: min(b.X0, b.X1), Y0: min(b.Y0, b.Y1), X1: max(b.X0, b.X1), Y1: max(b.Y0, b.Y1)}
		}
		boxes = append(boxes, b)
	}
	var edges []float32
	for _, b := range boxes {
		edges = append(edges, b.X0, b.Y0, b.X1, b.Y1)
	}
	engine, err := torch.Start(torch.CPUAsGPU, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	for _, context := range []float64{1, 1.5, 0.3, 100} {
		rects := make([]image.Rectangle, len(boxes))
		for i, b := range boxes {
			rects[i] = Rect(b, context, width, height)
		}
		for _, mode := range []Mode{CLIP, Squash, Pad} {
			var got, want []float32
			if err := engine.Do(t.Context(), func(s *torch.Scope) error {
				picture := Upload(s, noise(width, height))
				known := torch.Upload(s, edges, int64(len(boxes)), 4)
				before := engine.Work()
				crops := OnDevice(s, picture, known, context, mode, size, []float64{0.5, 0.25, 0.125})
				if took := engine.Work().Sub(before); took.Uploads+took.Downloads > 0 {
					t.Errorf("%s: %+v, want no copy", mode, took)
				}
				got = torch.Download[float32](s, crops)
				want = torch.Download[float32](s, Crops(s, picture, rects, mode, size, []float64{0.5, 0.25, 0.125}))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			const each = 3 * size * size
			for i := range boxes {
				if !slices.Equal(got[i*each:][:each], want[i*each:][:each]) {
					t.Fatalf("%s, context %v: the crop of %v isn't that of %v", mode, context, boxes[i], rects[i])
				}
			}
		}
	}
}

// The number of operations doesn't grow with the boxes, and no operation waits.
func TestCropsInOpsTakeFew(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	picture := noise(640, 480)
	_, few := cropped(t, torch.CPUAsGPU, picture, rectangles(random, 30, 640, 480), Pad, 224)
	_, many := cropped(t, torch.CPUAsGPU, picture, rectangles(random, 300, 640, 480), Pad, 224) // the mode of most
	t.Logf("%+v for 30 boxes, %+v for 300", few, many)
	if many.Operations > 250 || many.Downloads > 0 || many.Uploads > 2 {
		t.Errorf("300 boxes took %+v, want at most 250 operations, no download, and one upload beside the colour", many)
	}
}

// Boxes as thin and as tall as the picture take the memory of the blocks, and not that of
// their number times the picture's height, which would be 0.9 GB a tensor here.
func TestThinCropsInOpsTakeNoMemory(t *testing.T) {
	const most = 2 << 20 // KB; the blocks take about 1,400,000, and libtorch's own memory varies by 100,000
	rects := slices.Repeat([]image.Rectangle{image.Rect(3, 0, 4, 20_000)}, 60)
	grown := torchtest.PeakGrowth(t, func() { cropped(t, torch.CPUAsGPU, noise(64, 20_000), rects, Squash, 64) })
	t.Logf("60 boxes of 1x20,000 took %d KB", grown)
	if grown > most {
		t.Errorf("60 boxes of 1x20,000 took %d KB, want at most %d", grown, most)
	}
}
