package detect

import (
	"context"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/pixels"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

// tiny returns archives with random weights. Their answers mean nothing and are always
// the same.
func tiny() model.Set { return model.Dir("../../testdata/models/tiny") }

func open(t testing.TB, options Options) *Detector {
	t.Helper()
	if options.Models == (model.Set{}) {
		options.Models = tiny()
	}
	options.Threads = 1 // go test runs packages side by side
	d, err := Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func queries(t testing.TB, d *Detector, names ...string) *Queries {
	t.Helper()
	list := make([]Query, len(names))
	for i, name := range names {
		list[i] = Query{Name: name}
	}
	q, err := d.Queries(t.Context(), list...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

// live returns the number of tensors, after the engine has freed what was dropped and
// what canceled calls left.
func live(t testing.TB, d *Detector) int64 {
	t.Helper()
	if err := d.engine.Do(context.Background(), func(*torch.Scope) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return torch.Live()
}

// with returns an image with boxes of objectness 1.
func with(img image.Image, boxes ...box.Box) WithProposals {
	p := WithProposals{Image: img}
	for _, b := range boxes {
		p.Proposals = append(p.Proposals, Proposal{b, 1})
	}
	return p
}

// scene returns a picture of noise with a few coloured blobs, all placed by the seed.
func scene(seed uint64, width, height int) image.Image {
	random := rand.New(rand.NewPCG(seed, 1))
	img := &pixels.RGB{Pix: make([]uint8, 3*width*height), Width: width, Height: height}
	for i := range img.Pix {
		img.Pix[i] = uint8(100 + random.IntN(30))
	}
	for range 6 {
		cx, cy, r := random.IntN(width), random.IntN(height), 8+random.IntN(max(1, min(width, height)/4))
		colour := [3]uint8{uint8(random.IntN(256)), uint8(random.IntN(256)), uint8(random.IntN(256))}
		for y := max(0, cy-r); y < min(height, cy+r); y++ {
			for x := max(0, cx-r); x < min(width, cx+r); x++ {
				if math.Hypot(float64(x-cx), float64(y-cy)) < float64(r) {
					copy(img.Pix[3*(y*width+x):], colour[:])
				}
			}
		}
	}
	return img
}
