package torch_test

import (
	"image"
	"math"
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
)

// TestResampleOfAThinPicture has a picture of 2 million rows, which has a few KB as a
// file. Resample once allocated memory for each row.
func TestResampleOfAThinPicture(t *testing.T) {
	const height, size = 2_000_000, 64
	e := torchtest.Start(t)
	pixels := make([]uint8, 2*height)
	for i := range pixels {
		pixels[i] = uint8(i / 2 * 256 / height)
	}
	var values []float32
	grown := torchtest.PeakGrowth(t, func() {
		if err := e.Do(t.Context(), func(s *torch.Scope) error {
			piece := torch.Piece{From: image.Rect(0, 0, 2, height), Width: size, Height: size, To: image.Rect(0, 0, size, size)}
			values = torch.Download[float32](s, s.Resample(torch.Upload(s, pixels, 1, 1, height, 2), []torch.Piece{piece}, size, []float32{0}))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
	if grown > 200_000 {
		t.Errorf("it took %d KB, want far less than 500,000", grown)
	}
	for i, v := range values {
		// Each row of the output covers 4 levels.
		if want := float64(i/size)*4 + 1.5; math.Abs(float64(v)-want) > 2 {
			t.Fatalf("row %d has the value %v, want about %v", i/size, v, want)
		}
	}
}
