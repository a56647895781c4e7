package crop

import (
	"fmt"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// ready returns a picture of 640x480 and an engine, which is closed after the benchmark.
func ready(b *testing.B) (*pixels.RGB, *torch.Engine) {
	picture, err := pixels.DecodeFile("../../../testdata/images/scene-020.jpg", pixels.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	device, err := torch.ParseDevice("auto")
	if err != nil {
		b.Fatal(err)
	}
	e, err := torch.Start(device, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	return picture, e
}

// BenchmarkCrops measures cutting boxes of all sizes out of a picture of 640x480 and
// resizing them to CLIP's 224 pixels.
func BenchmarkCrops(b *testing.B) {
	picture, e := ready(b)
	random := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 64, 300} {
		rects := make([]image.Rectangle, n)
		for i := range rects {
			x, y := random.Float32()*600, random.Float32()*440
			rects[i] = Rect(box.Box{X0: x, Y0: y, X1: x + 10 + random.Float32()*300, Y1: y + 10 + random.Float32()*300}, 1, 640, 480)
		}
		for _, mode := range []Mode{CLIP, Pad} {
			b.Run(fmt.Sprintf("boxes=%d/mode=%s", n, mode), func(b *testing.B) {
				err := e.Do(b.Context(), func(s *torch.Scope) error {
					uploaded := Upload(s, picture)
					for b.Loop() {
						s.Within(func() torch.Tensor {
							Crops(s, uploaded, rects, mode, 224, []float64{0.5, 0.5, 0.5})
							return torch.Tensor{}
						})
						s.Synchronize()
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "crops/s")
			})
		}
	}
}

// BenchmarkUpload640x480 measures copying a picture to the device, plane by plane.
func BenchmarkUpload640x480(b *testing.B) {
	picture, e := ready(b)
	b.SetBytes(640 * 480 * 3)
	if err := e.Do(b.Context(), func(s *torch.Scope) error {
		for b.Loop() {
			s.Within(func() torch.Tensor {
				Upload(s, picture)
				return torch.Tensor{}
			})
			s.Synchronize()
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
}
