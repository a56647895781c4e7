package crop

import (
	"encoding/json"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/pixels"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

type cropCase struct {
	Mode    Mode
	Context float64
	Box     box.Box
}

func goldenCrops(t *testing.T) (picture *pixels.RGB, sheet image.Image, size int, pad []float64, cases []cropCase) {
	t.Helper()
	text, err := os.ReadFile("../../../testdata/crops/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Size  int
		Pad   []float64
		Cases []cropCase
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for i := range golden.Pad {
		golden.Pad[i] /= 255
	}
	picture, err = pixels.FromImage(readPNG(t, "../../../testdata/crops/picture.png"))
	if err != nil {
		t.Fatal(err)
	}
	return picture, readPNG(t, "../../../testdata/crops/crops.png"), golden.Size, golden.Pad, golden.Cases
}

func readPNG(t *testing.T, path string) image.Image {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	img, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestCropsEqualPillow compares crops with Pillow's. Pillow sums in fixed point and torch
// in float32, so a value may round the other way, and then differs by one.
func TestCropsEqualPillow(t *testing.T) {
	for name, device := range map[string]torch.Device{"loops": torch.CPU, "operations": torch.CPUAsGPU} {
		t.Run(name, func(t *testing.T) { equalPillow(t, device) })
	}
}

func equalPillow(t *testing.T, device torch.Device) {
	picture, sheet, size, pad, cases := goldenCrops(t)
	engine, err := torch.Start(device, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	total, count := 0.0, 0
	for i, c := range cases {
		var values []float32
		rect := Rect(c.Box, c.Context, picture.Width, picture.Height)
		err := engine.Do(t.Context(), func(s *torch.Scope) error {
			values = torch.Download[float32](s, Crops(s, Upload(s, picture), []image.Rectangle{rect}, c.Mode, size, pad))
			return nil
		})
		if err != nil {
			t.Fatalf("case %d, %+v: %v", i, c, err)
		}
		worst := 0.0
		for y := range size {
			for x := range size {
				r, g, b, _ := sheet.At(i*size+x, y).RGBA()
				for channel, want := range []uint32{r >> 8, g >> 8, b >> 8} {
					got := float64(values[(channel*size+y)*size+x]) * 255
					difference := math.Abs(got - float64(want))
					worst = max(worst, difference)
					total, count = total+difference, count+1
				}
			}
		}
		if worst > 1.001 {
			t.Errorf("case %d, %+v: a value differs from Pillow's by %.3f of 255, more than 1", i, c, worst)
		}
	}
	if mean := total / float64(count); mean > 0.005 {
		t.Errorf("mean difference from Pillow is %.4f of 255, more than 0.005", mean)
	}
}

// TestCropsEqualImaging compares crops with imaging's CatmullRom, which is Pillow's
// BICUBIC in Go, so that it can try many boxes without Python. In noise, a value that
// rounds the other way along x may make values differ by 2 after y. A few do.
func TestCropsEqualImaging(t *testing.T) {
	const width, height, size, boxes = 157, 121, 32, 200
	random := rand.New(rand.NewPCG(1, 2))
	picture := &pixels.RGB{Pix: make([]uint8, 3*width*height), Width: width, Height: height}
	for i := range picture.Pix {
		picture.Pix[i] = uint8(random.IntN(256))
	}
	var rects []image.Rectangle
	for range boxes {
		x, y := random.Float32()*width, random.Float32()*height
		b := box.Box{X0: x, Y0: y, X1: x + 80*random.Float32(), Y1: y + 80*random.Float32()}
		rects = append(rects, Rect(b, 1, width, height))
	}
	engine := torchtest.Start(t)
	for _, mode := range []Mode{CLIP, Squash} {
		var values []float32
		if err := engine.Do(t.Context(), func(s *torch.Scope) error {
			crops := Crops(s, Upload(s, picture), rects, mode, size, []float64{0, 0, 0})
			values = torch.Download[float32](s, crops)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		off := 0
		for i, r := range rects {
			piece := mode.piece(r, size)
			want := imaging.Resize(imaging.Crop(picture, r), piece.Width, piece.Height, imaging.CatmullRom)
			for at := range 3 * size * size {
				channel, y, x := at/(size*size), at/size%size, at%size
				got := math.Round(float64(values[i*3*size*size+at]) * 255)
				expected := float64(want.Pix[want.PixOffset(piece.Left+x, piece.Top+y)+channel])
				if got != expected {
					off++
				}
				if math.Abs(got-expected) > 2 {
					t.Fatalf("%s of %v: channel %d at %d,%d is %v, imaging's is %v", mode, r, channel, x, y, got, expected)
				}
			}
		}
		if share := float64(off) / (boxes * 3 * size * size); share > 2e-3 {
			t.Errorf("%s: %.3f %% of the values differ from imaging's, more than 0.2 %%", mode, share*100)
		}
	}
}

func TestCropsOfABatchEqualSingleOnes(t *testing.T) {
	picture, _, size, pad, cases := goldenCrops(t)
	engine := torchtest.Start(t)
	var rects []image.Rectangle
	for _, c := range cases {
		rects = append(rects, Rect(c.Box, 1, picture.Width, picture.Height))
	}
	var batch, single []float32
	err := engine.Do(t.Context(), func(s *torch.Scope) error {
		p := Upload(s, picture)
		batch = torch.Download[float32](s, Crops(s, p, rects, CLIP, size, pad))
		for i := range rects {
			single = append(single, torch.Download[float32](s, Crops(s, p, rects[i:i+1], CLIP, size, pad))...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(batch) != len(single) {
		t.Fatalf("the batch has %d values, the single crops have %d", len(batch), len(single))
	}
	for i := range batch {
		if batch[i] != single[i] {
			t.Fatalf("value %d is %v in the batch and %v alone", i, batch[i], single[i])
		}
	}
}

func TestCropRect(t *testing.T) {
	for _, test := range []struct {
		name    string
		context float64
		box     box.Box
		want    image.Rectangle
	}{
		{"whole pixels stay", 1, box.Box{X0: 3, Y0: 4, X1: 10, Y1: 12}, image.Rect(3, 4, 10, 12)},
		{"fractions go outward", 1, box.Box{X0: 3.9, Y0: 4.1, X1: 9.1, Y1: 11.9}, image.Rect(3, 4, 10, 12)},
		{"clipped to the picture", 1, box.Box{X0: -5, Y0: -5, X1: 500, Y1: 7}, image.Rect(0, 0, 100, 7)},
		{"twice about the centre", 2, box.Box{X0: 40, Y0: 20, X1: 60, Y1: 30}, image.Rect(30, 15, 70, 35)},
		{"half about the centre", 0.5, box.Box{X0: 40, Y0: 20, X1: 60, Y1: 32}, image.Rect(45, 23, 55, 29)},
		{"half of a box beyond float32", 0.5, box.Box{X0: -3e38, Y0: 20, X1: 3e38, Y1: 32}, image.Rect(0, 23, 100, 29)},
		{"twice a box beyond float32", 2, box.Box{X0: -3e38, Y0: 20, X1: 3e38, Y1: 30}, image.Rect(0, 15, 100, 35)},
		{"a point is a pixel", 1, box.Box{X0: 7, Y0: 7, X1: 7, Y1: 7}, image.Rect(7, 7, 8, 8)},
		{"the far corner is its last pixel", 1, box.Box{X0: 100, Y0: 50, X1: 100, Y1: 50}, image.Rect(99, 49, 100, 50)},
		{"beyond is the nearest pixel", 1, box.Box{X0: -30, Y0: 90, X1: -20, Y1: 95}, image.Rect(0, 49, 1, 50)},
		{"upside down is a pixel", 1, box.Box{X0: 20, Y0: 20, X1: 10, Y1: 10}, image.Rect(20, 20, 21, 21)},
		{"not a number is a pixel", 1, box.Box{X0: float32(math.NaN()), Y0: 1, X1: 2, Y1: 3}, image.Rect(0, 0, 1, 1)},
	} {
		if got := Rect(test.box, test.context, 100, 50); got != test.want {
			t.Errorf("%s: %v with context %v gives %v, want %v", test.name, test.box, test.context, got, test.want)
		}
	}
}
