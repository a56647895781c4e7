package detect

import (
	"image"
	"math"
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// A GPU is given little to wait for: counted on the CPU, which does its work in the way
// of a GPU.
func TestAPictureInAStreamTakesFewCopies(t *testing.T) {
	device, options, err := Options{Models: tiny(), Threads: 1, Proposals: 20, Batch: 1000, ImageBatch: 1}.complete()
	if err != nil || device != torch.CPU {
		t.Fatal(device, err)
	}
	d, err := openOn(t.Context(), options, torch.CPUAsGPU)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	queries := queriesLike(t, d)
	const pictures = 6
	before := d.engine.Work()
	images := func(yield func(image.Image, error) bool) {
		for i := range pictures {
			if !yield(scene(uint64(i), 90+i, 70), nil) {
				return
			}
		}
	}
	plain := open(t, Options{Proposals: 20})
	same := queriesLike(t, plain)
	n := 0
	for result, err := range d.DetectAll(t.Context(), images, queries, Params{}) {
		if err != nil || len(result.Detections) == 0 {
			t.Fatalf("got %v (%v), want detections", result, err)
		}
		want, err := plain.Detect(t.Context(), scene(uint64(n), 90+n, 70), same, Params{})
		if err != nil {
			t.Fatal(err)
		}
		if len(result.Detections) != len(want.Detections) {
			t.Errorf("picture %d: %d detections, and %d in the CPU's way", n, len(result.Detections), len(want.Detections))
		}
		for i, d := range result.Detections[:min(len(result.Detections), len(want.Detections))] {
			if w := want.Detections[i]; math.Abs(float64(d.Score-w.Score)) > 1e-3 || d.Query == w.Query && d.Box == w.Box && d.Phrase != w.Phrase {
				t.Errorf("picture %d: detection %d is %+v, and %+v in the CPU's way", n, i, d, w)
			}
		}
		n++
	}
	took := d.engine.Work().Sub(before)
	t.Logf("%d pictures: %+v", n, took)
	if n != pictures || took.Uploads > 2*pictures || took.Downloads > 2*pictures {
		t.Errorf("%d pictures took %+v, want at most 2 uploads and 2 downloads each", n, took)
	}
}

func queriesLike(t *testing.T, d *Detector) *Queries {
	t.Helper()
	q, err := d.Queries(t.Context(), Query{Name: "dog"}, Query{Name: "cat", Phrases: []string{"a cat", "a kitten"}, Negatives: []string{"a dog"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}
